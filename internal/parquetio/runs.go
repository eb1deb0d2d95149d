package parquetio

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go/format"

	"github.com/asof-store/asof/feature"
)

// Runs is a column in which a value that repeats stands once: value i is that of the rows from Ends[i-1], or 0, to Ends[i]. Without Ends each row has
// a value of its own.
type Runs struct {
	Values arrow.Array
	Ends   []int32
}

// ReadRuns is [File.Read] of a column of which neighbours are often equal, as keys of sorted rows are. It must be neither a list nor a column of floats. A
// NULL is an ErrCorrupt.
func (f *File) ReadRuns(rowGroup int, path string, t feature.Type, spans []Span) (_ Runs, err error) {
	s, err := f.Scan(rowGroup, path, t)
	if err != nil {
		return Runs{}, err
	}
	defer f.guard(&err, "column "+path)
	ends := &runEnds{}
	s.cursor = f.runsCursor(rowGroup, f.byPath[path], t, ends)
	if s.cursor == nil {
		return Runs{}, feature.Errorf(feature.ErrInternal, "%s: column %s: %s has no runs", f.path, path, t)
	}
	defer s.cursor.free()
	if spans == nil {
		spans = []Span{{0, s.rows}}
	}
	for _, span := range spans {
		ends.expected += int32(span.To - span.From)
	}
	if err := s.collect(spans, s.cursor.expectTo); err != nil {
		return Runs{}, err
	}
	if ends.null {
		return Runs{}, f.corrupt("row group %d: column %s has a NULL", rowGroup, path)
	}
	if ends.rows > 0 {
		ends.ends = append(ends.ends, ends.rows)
	}
	values := s.cursor.finish()
	if text, ok := values.(*array.String); ok { // each value once, not each row
		for i := range text.Len() {
			if v := text.Value(i); !utf8.ValidString(v) {
				return Runs{}, f.notText(path, v)
			}
		}
	}
	if values.Len() != len(ends.ends) {
		return Runs{}, f.corrupt("column %s: %d values of %d runs", path, values.Len(), len(ends.ends))
	}
	return Runs{values, ends.ends}, nil
}

// notText says that a value of a column is not what its type says.
func (f *File) notText(path, value string) error {
	return feature.Errorf(feature.ErrInvalid, "%s: column %s (%s): the value %.40q is not UTF-8: read the column as bytes", f.path, path, f.byPath[path].info.Physical, value)
}

// runsCursor ties a kind that keys can have to its decoder and sink; nil for others.
func (f *File) runsCursor(group int, c *column, t feature.Type, ends *runEnds) cursor {
	switch {
	case t.List:
		return nil
	case t.Kind == feature.Bool:
		return newCursor(f, group, c, t, c.asBool(), &runSink[bool]{sink: &boolSink{}, runEnds: ends, same: same[bool], keep: itself[bool]})
	case t.Kind == feature.Int32:
		return newCursor(f, group, c, t, c.asInt32(), &numberRunSink[int32]{runSink: &runSink[int32]{sink: &numberSink[int32]{memory: f.memory}, runEnds: ends, same: same[int32], keep: itself[int32]}})
	case t.Kind == feature.Int64 || t.Kind == feature.Timestamp:
		return newCursor(f, group, c, t, c.asInt64(), &numberRunSink[int64]{runSink: &runSink[int64]{sink: &numberSink[int64]{memory: f.memory}, runEnds: ends, same: same[int64], keep: itself[int64]}})
	case t.Kind == feature.String || t.Kind == feature.Bytes:
		sink := &textRunSink{runSink[[]byte]{sink: &bytesSink{}, runEnds: ends, same: bytes.Equal, keep: bytes.Clone}}
		texts := newCursor(f, group, c, t, c.asBytes(c.kind == kindUUID), sink)
		if cursor, ok := texts.(*columnCursor[[]byte]); ok && c.physical == format.ByteArray && c.kind != kindUUID && c.kind != kindNull {
			cursor.texts = sink
		}
		return texts
	}
	return nil
}

func same[T comparable](a, b T) bool { return a == b }
func itself[T any](v T) T            { return v }

// runEnds are the ends of the runs that are complete.
type runEnds struct {
	ends     []int32
	rows     int32
	expected int32 // rows in the end
	null     bool
}

// runSink hands the first value of each run to another sink.
type runSink[T any] struct {
	sink[T]
	*runEnds
	same func(a, b T) bool
	keep func(T) T // makes a value outlast its page
	last T
	new  []T

	places []int32 // of a run of a dictionary's
}

func (s *runSink[T]) reserve(int)   {}
func (s *runSink[T]) spare(int) []T { return nil }

func (s *runSink[T]) add(values []T) {
	if len(values) == 0 {
		return
	}
	s.new = s.new[:0]
	last := s.last
	for i, v := range values {
		if row := s.rows + int32(i); row == 0 {
			s.new, last = append(s.new, v), v
		} else if !s.same(v, last) {
			s.new, s.ends, last = append(s.new, v), append(s.ends, row), v
		}
	}
	s.added(len(values), last)
}

// addIndexed compares places in dict, and values only where these differ: a dictionary may have one twice.
func (s *runSink[T]) addIndexed(dict []T, indices []int32) error {
	s.new = s.new[:0]
	if err := s.addPlaces(dict, indices); err != nil {
		return err
	}
	s.added(0, s.last)
	return nil
}

// addRuns is addIndexed of places that are not decoded yet: of each run one is looked at.
func (s *runSink[T]) addRuns(dict []T, body []byte, n int) error {
	if n == 0 {
		return nil
	}
	width, body, err := indexWidth(body)
	s.new = s.new[:0]
	for n > 0 && err == nil {
		var run hybridRun
		if run, body, err = nextRun(body, width); err != nil {
			break
		}
		count := min(run.count, n)
		if n -= count; run.packed == nil {
			err = s.addPlace(dict, int32(run.value), count)
			continue
		}
		s.places = sized(s.places, count)
		unpack(s.places, run.packed, uint(width))
		err = s.addPlaces(dict, s.places)
	}
	if err == nil {
		s.added(0, s.last)
	}
	return err
}

// addPlaces notes the values at places of dict.
func (s *runSink[T]) addPlaces(dict []T, places []int32) error {
	for i := 0; i < len(places); {
		end := i + 1
		for end < len(places) && places[end] == places[i] {
			end++
		}
		if err := s.addPlace(dict, places[i], end-i); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// addPlace notes so many rows of the value at a place of dict.
func (s *runSink[T]) addPlace(dict []T, place int32, rows int) error {
	if uint(place) >= uint(len(dict)) {
		return errIndex(place, len(dict))
	}
	if rows == 0 {
		return nil
	}
	if v := dict[place]; s.rows == 0 {
		s.new, s.last = append(s.new, v), v
	} else if !s.same(v, s.last) {
		s.new, s.ends, s.last = append(s.new, v), append(s.ends, s.rows), v
	}
	s.rows += int32(rows)
	return nil
}

// added ends adding so many values, of which new begin runs, and last is the last one.
func (s *runSink[T]) added(n int, last T) {
	s.rows += int32(n)
	if len(s.new) > 0 {
		s.sink.add(s.new)
		s.last = s.keep(last)
	}
}

func (s *runSink[T]) addMasked(values []T, defs []byte, max uint8) int {
	n := countLevel(defs, max)
	s.null = s.null || n < len(defs)
	s.add(values[:n])
	return n
}

// numberRunSink is a runSink of numbers, which takes no branch at a value, since where runs end cannot be foreseen; of deltas at each four.
type numberRunSink[T int32 | int64] struct {
	*runSink[T]
	deltas []T // of a miniblock
}

// grow makes room for n runs, and where there is less, for as many as there will be if they go on as they have begun.
func (s *numberRunSink[T]) grow(n int) {
	if n <= cap(s.ends)-len(s.ends) {
		return
	}
	if s.rows > 0 && s.expected > s.rows {
		n += min(int(float64(len(s.ends))/float64(s.rows)*1.1*float64(s.expected-s.rows)), reserveMax)
	}
	s.ends = slices.Grow(s.ends, n)
	s.sink.reserve(n)
}

func (s *numberRunSink[T]) add(values []T) {
	if s.rows == 0 && len(values) > 0 {
		s.runSink.add(values[:1])
		values = values[1:]
	}
	s.grow(len(values))
	n, at := 0, len(s.ends)
	s.new, s.ends = sized(s.new, len(values)), s.ends[:at+len(values)]
	begins, row, last := s.ends[at:], s.rows, s.last
	for i, v := range values {
		s.new[n], begins[n] = v, row+int32(i) // which the next value overwrites, unless this one is new
		if v != last {
			n++
		}
		last = v
	}
	s.ends, s.rows, s.last = s.ends[:at+n], row+int32(len(values)), last
	s.sink.add(s.new[:n])
}

// addDeltas finds runs end where a delta is not 0. In most miniblocks of long runs all are.
func (s *numberRunSink[T]) addDeltas(body []byte, n int) error {
	if n == 0 {
		return nil
	}
	d, body, err := deltasOf[T](body, n)
	if err != nil {
		return err
	}
	s.add([]T{d.first})
	n--
	s.grow(n)
	runs, at := 0, len(s.ends)
	s.new, s.ends = sized(s.new, n), s.ends[:at+n]
	_, err = d.each(body, n, func(from int, packed []byte, width uint, least T, count int) {
		if width == 0 && least == 0 {
			return
		}
		s.deltas = sized(s.deltas, count)
		unpack(s.deltas, packed, width)
		k, last, row := 0, s.last, s.rows+int32(from)
		begun, begins := s.new[runs:], s.ends[at+runs:]
		for first := 0; first < count; first += 64 {
			deltas := s.deltas[first:min(first+64, count)]
			for changes := differ(deltas, -least); changes != 0; changes &= changes - 1 {
				i := bits.TrailingZeros64(changes)
				last += deltas[i] + least
				begun[k], begins[k] = last, row+int32(first+i)
				k++
			}
		}
		s.last, runs = last, runs+k
	})
	s.ends, s.rows = s.ends[:at+runs], s.rows+int32(n)
	s.sink.add(s.new[:runs])
	return err
}

// differ returns a bit for each of up to 64 values, which is set where it is another than v. Most are v.
func differ[T int32 | int64](values []T, v T) (set uint64) {
	each := func(values []T, first int) {
		for i, value := range values {
			var bit uint64
			if value != v {
				bit = 1
			}
			set |= bit << ((first + i) & 63)
		}
	}
	i := 0
	for ; i+4 <= len(values); i += 4 {
		if four := values[i : i+4 : i+4]; (four[0]^v)|(four[1]^v)|(four[2]^v)|(four[3]^v) != 0 {
			each(four, i)
		}
	}
	each(values[i:], i)
	return set
}

// textRunSink is a runSink of texts.
type textRunSink struct{ runSink[[]byte] }

func (s *textRunSink) addTexts(enc format.Encoding, body []byte, n int) (known bool, err error) {
	if enc != format.Plain {
		return false, nil
	}
	return true, s.addPlain(body, n)
}

// addPlain finds out how often a text comes again by comparing the body with itself, further on by the length of the text.
func (s *textRunSink) addPlain(body []byte, n int) error {
	s.new = s.new[:0]
	last := s.last
	for at, row := 0, 0; row < n; {
		if len(body)-at < 4 || uint64(binary.LittleEndian.Uint32(body[at:])) > uint64(len(body)-at-4) {
			return errShortPage
		}
		width := 4 + int(binary.LittleEndian.Uint32(body[at:]))
		if text := body[at+4 : at+width]; s.rows == 0 && row == 0 {
			s.new, last = append(s.new, text), text
		} else if !bytes.Equal(text, last) {
			s.new, s.ends, last = append(s.new, text), append(s.ends, s.rows+int32(row)), text
		}
		at, row = at+width, row+1
		for again, more := 1, true; again > 0; {
			size := again * width
			if row+again <= n && size <= len(body)-at && bytes.Equal(body[at:at+size], body[at-width:at-width+size]) {
				at, row = at+size, row+again
			} else {
				more = false
			}
			if more {
				again *= 2
			} else {
				again /= 2
			}
		}
	}
	s.added(n, last)
	return nil
}

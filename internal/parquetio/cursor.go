package parquetio

import (
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/asof-store/asof/feature"
	"github.com/parquet-go/parquet-go/format"
)

// Read returns rows of a column of a row group as an array of t: those of spans (ascending, disjoint), or all when
// spans is nil. It has exactly the rows asked for, or there is an error. Pages outside spans are not
// decompressed, and with an offset index not even visited.
func (f *File) Read(rowGroup int, path string, t feature.Type, spans []Span) (arrow.Array, error) {
	s, err := f.Scan(rowGroup, path, t)
	if err != nil {
		return nil, err
	}
	defer s.cursor.free()
	if spans == nil {
		spans = []Span{{0, f.groups[rowGroup].Rows}}
	}
	return s.Spans(spans)
}

// Scan returns a scanner over a column of a row group, decoded as t. It fails with ErrInvalid when there is no
// such column or its type cannot be read as t.
func (f *File) Scan(rowGroup int, path string, t feature.Type) (*Scanner, error) {
	c := f.byPath[path]
	switch {
	case c == nil:
		return nil, feature.Errorf(feature.ErrInvalid, "%s: there is no column %s", f.path, path)
	case rowGroup < 0 || rowGroup >= len(f.groups):
		return nil, feature.Errorf(feature.ErrInternal, "%s: row group %d of %d", f.path, rowGroup, len(f.groups))
	}
	if err := f.checkReads(c, t); err != nil {
		return nil, err
	}
	return &Scanner{file: f, path: path, rows: f.groups[rowGroup].Rows, cursor: f.cursor(rowGroup, c, t)}, nil
}

// Scanner reads a column of a row group from front to back in pieces of any size. It holds one page in memory. It
// belongs to one goroutine, and after an error to none.
type Scanner struct {
	file   *File
	path   string
	rows   int
	row    int // next
	cursor cursor
}

// Next returns the next n rows; asking for more than are left is an error.
func (s *Scanner) Next(n int) (arrow.Array, error) {
	return s.read(n, []Span{{s.row, s.row + n}}, func(int) {})
}

// Spans returns the rows of the given spans (ascending, disjoint, none before Row), which are rows of the row group.
func (s *Scanner) Spans(spans []Span) (arrow.Array, error) {
	rows := 0
	for _, span := range spans {
		rows += span.To - span.From
	}
	return s.read(rows, spans, s.cursor.expectTo)
}

// Skip moves over the next n rows.
func (s *Scanner) Skip(n int) error {
	_, err := s.read(0, []Span{{s.row + n, s.row + n}}, func(int) {})
	return err
}

// Free gives the memory of pages back, and ends the scan.
func (s *Scanner) Free() { s.cursor.free() }

// Row returns the row that comes next.
func (s *Scanner) Row() int { return s.row }

// read returns the rows of spans, so many, and tells expect where each of these ends.
func (s *Scanner) read(rows int, spans []Span, expect func(row int)) (out arrow.Array, err error) {
	defer s.file.guard(&err, "column "+s.path)
	s.cursor.reserve(rows)
	if err := s.collect(spans, expect); err != nil {
		return nil, err
	}
	out = s.cursor.finish()
	if out.Len() != rows {
		return nil, s.file.corrupt("column %s: %d rows where %d were promised", s.path, out.Len(), rows)
	}
	return out, nil
}

// collect has the cursor take the rows of spans.
func (s *Scanner) collect(spans []Span, expect func(row int)) error {
	for _, span := range spans {
		if span.From < s.row || span.To < span.From || span.To > s.rows {
			return feature.Errorf(feature.ErrInternal, "%s: column %s: rows [%d, %d) asked for at row %d of %d", s.file.path, s.path, span.From, span.To, s.row, s.rows)
		}
		expect(span.To)
		if err := s.cursor.skip(s.row, span.From-s.row); err != nil {
			return err
		}
		if err := s.cursor.take(span.To - span.From); err != nil {
			return err
		}
		s.row = span.To
	}
	if s.row == s.rows {
		if err := s.cursor.end(); err != nil {
			return err
		}
	}
	return nil
}

// cursor is a columnCursor of some value type.
type cursor interface {
	reserve(rows int)
	skip(row, n int) error // row is where it stands
	expectTo(row int)      // rows from there on will not be wanted
	take(n int) error
	pick(rows []int32) error // from the first row on; they ascend strictly
	end() error              // checks, after the last row, that nothing is left
	restart(group int)       // goes on with another row group
	free()                   // gives back what was read into; the cursor has no use after that
	finish() arrow.Array
}

// columnCursor decodes a column chunk page by page into a sink.
type columnCursor[T any] struct {
	walk    *walker
	column  *column
	typ     feature.Type
	decode  decodeFunc[T]
	textMax int                          // bytes of an array
	view    func(body []byte, n int) []T // of plain values that need no decoding; nil where they do
	sink    sink[T]
	lists   listSink // of a list column

	dict   []T
	values []T    // of the page, NULLs left out; none where there are places in dict instead, or where the sink has them already
	value  int    // next of values
	in     pageIn // where they are
	defs   []byte // nil when nothing is NULL
	reps   []byte
	levels int // of the page
	level  int // next of levels

	indexed indexedSink[T] // nil: values of a dictionary are looked up here
	runs    runsSink[T]    // nil: runs of places in a dictionary are decoded here
	texts   textSink       // nil: texts are decoded here
	deltas  deltaSink      // nil: deltas are added up here

	scratch        []T // what values was decoded into
	picked         []T
	indices        []int32
	defBuf, repBuf []byte
	defsPicked     []byte
}

func newCursor[T any](f *File, group int, c *column, t feature.Type, decode decodeFunc[T], s sink[T]) cursor {
	cc := &columnCursor[T]{walk: f.walk(group, c), column: c, typ: t, decode: decode, view: viewOf[T](c, t), sink: s, textMax: offsetMax}
	if c.maxRep > 0 {
		return &listCursor[T]{columnCursor: cc}
	}
	cc.indexed, _ = s.(indexedSink[T])
	cc.runs, _ = s.(runsSink[T])
	if c.asStored(t.Kind) {
		cc.deltas, _ = s.(deltaSink)
	}
	return cc
}

// pageIn tells where the values of a page are.
type pageIn uint8

const (
	inValues  pageIn = iota // in columnCursor.values
	inIndices               // in columnCursor.dict, at columnCursor.indices
	inSink                  // all of them, which are wanted, in the sink
)

func (c *columnCursor[T]) reserve(rows int) { c.sink.reserve(rows) }

func (c *columnCursor[T]) finish() arrow.Array {
	data := c.sink.finish(c.typ.Arrow())
	defer data.Release() // the array holds it
	return array.MakeFromData(data)
}

func (c *columnCursor[T]) take(n int) error {
	for n > 0 {
		if c.level == c.levels {
			if err := c.next(n); err != nil {
				return err
			}
			continue
		}
		m := min(n, c.levels-c.level)
		switch {
		case c.in == inIndices:
			if err := c.indexed.addIndexed(c.dict, c.indices[c.value:c.value+m]); err != nil {
				return c.fail(err)
			}
			c.value += m
		case c.defs != nil:
			c.value += c.sink.addMasked(c.values[c.value:], c.defs[c.level:c.level+m], c.column.maxDef)
		case c.in == inValues:
			c.sink.add(c.values[c.value : c.value+m])
			c.value += m
		}
		if err := c.checkSize(); err != nil {
			return err
		}
		c.level += m
		n -= m
	}
	return nil
}

func (c *columnCursor[T]) skip(row, n int) error {
	if m := min(n, c.levels-c.level); m > 0 {
		c.forward(m)
		row, n = row+m, n-m
	}
	if n == 0 {
		return nil
	}
	n, err := c.walk.seek(row, n)
	for err == nil && n > 0 {
		if c.level == c.levels {
			err = c.next(0)
			continue
		}
		m := min(n, c.levels-c.level)
		c.forward(m)
		n -= m
	}
	return err
}

func (c *columnCursor[T]) expectTo(row int) { c.walk.expectTo(row) }

// forward moves over n levels of the page.
func (c *columnCursor[T]) forward(n int) {
	c.value += n
	if c.defs != nil {
		c.value -= n - countLevel(c.defs[c.level:c.level+n], c.column.maxDef)
	}
	c.level += n
}

func (c *columnCursor[T]) end() error {
	if c.level < c.levels || !c.walk.done() {
		return c.walk.corrupt("values follow the last of its %d rows", c.walk.file.groups[c.walk.group].Rows)
	}
	return nil
}

func (c *columnCursor[T]) restart(group int) {
	c.walk = c.walk.restart(group)
	c.dict, c.values, c.value, c.level, c.levels = nil, nil, 0, 0, 0
}

func (c *columnCursor[T]) free() { c.walk.free() }

func (c *columnCursor[T]) checkSize() error {
	if c.sink.bytes() > c.textMax {
		return c.fail(ErrTooMuch)
	}
	return nil
}

// next loads the next data page, of which the caller takes the first so many rows.
func (c *columnCursor[T]) next(wanted int) error {
	for {
		p, err := c.walk.header()
		if err != nil {
			return c.walk.ended(err)
		}
		if p.kind == format.DictionaryPage && c.dict == nil {
			if err := c.loadDictionary(p); err != nil {
				return err
			}
		}
		if p.kind == format.DataPage || p.kind == format.DataPageV2 {
			if err := c.load(p, wanted); err != nil {
				return err
			}
			return c.walk.pass(p)
		}
		if err := c.walk.pass(p); err != nil { // index pages and whatever comes later
			return err
		}
	}
}

// fail turns an error of decoding into one that names file and column.
func (c *columnCursor[T]) fail(err error) error {
	if v := (valueError{}); errors.As(err, &v) {
		return feature.Errorf(feature.ErrInvalid, "%s: column %s (%s): %w", c.walk.file.path, c.column.info.Path, c.column.info.Physical, v)
	}
	if feature.KindOf(err) != feature.ErrInternal {
		return err
	}
	return c.walk.corrupt("%v", err)
}

// loadDictionary decodes the dictionary page p. Its values may refer to the body, which therefore is its own.
func (c *columnCursor[T]) loadDictionary(p *page) error {
	//lint:ignore SA1019 old files have it, and it has to be read
	if p.encoding != format.Plain && p.encoding != format.PlainDictionary {
		return c.walk.corrupt("a dictionary in the encoding %s", p.encoding)
	}
	own, err := c.walk.loadToKeep(p)
	if err != nil {
		return err
	}
	if c.dict, err = c.decode(make([]T, 0), format.Plain, own, p.values); err != nil {
		return c.fail(fmt.Errorf("dictionary: %w", err))
	}
	return nil
}

// findDictionary reads the dictionary at the head of the chunk when the pages before this one were jumped over.
func (c *columnCursor[T]) findDictionary() error {
	if c.dict != nil {
		return nil
	}
	p, err := c.walk.headerAt(c.walk.start)
	if err != nil {
		return err
	}
	if p.kind != format.DictionaryPage {
		return c.walk.corrupt("it refers to a dictionary that is not there")
	}
	return c.loadDictionary(p)
}

// load decodes the data page p, straight into the sink where all of it is wanted and nothing in it is NULL.
func (c *columnCursor[T]) load(p *page, wanted int) error {
	if isDictionary(p.encoding) {
		if err := c.findDictionary(); err != nil {
			return err
		}
	}
	body, err := c.walk.load(p)
	if err != nil {
		return err
	}
	body, err = c.loadLevels(p, body)
	if err != nil {
		return c.fail(err)
	}
	count := p.values
	if c.defs != nil {
		count = countLevel(c.defs, c.column.maxDef)
	}
	if p.nulls >= 0 && p.nulls != p.values-count && c.column.maxRep == 0 {
		return c.walk.corrupt("%d NULLs where its header says %d", p.values-count, p.nulls)
	}
	c.in = inValues
	if err := c.loadValues(p, body, count, wanted); err != nil {
		return c.fail(err)
	}
	c.value, c.level, c.levels = 0, 0, p.values
	return nil
}

// loadValues decodes the count values of p, of which the first so many rows are wanted, or leaves that to the sink.
func (c *columnCursor[T]) loadValues(p *page, body []byte, count, wanted int) (err error) {
	all := c.defs == nil && p.values <= wanted
	if all && c.runs != nil && isDictionary(p.encoding) {
		c.in = inSink
		return c.runs.addRuns(c.dict, body, count)
	}
	if c.defs == nil && wanted > 0 && c.indexed != nil && isDictionary(p.encoding) {
		c.in, c.indices = inIndices, sized(c.indices, count)
		return decodeIndices(c.indices, body)
	}
	if all && c.texts != nil {
		if known, err := c.texts.addTexts(p.encoding, body, count); known {
			c.in = inSink
			return err
		}
	}
	if all && c.deltas != nil && p.encoding == format.DeltaBinaryPacked {
		c.in = inSink
		return c.deltas.addDeltas(body, count)
	}
	if all {
		if into := c.sink.spare(count); into != nil {
			c.values, err = c.decodeValues(into, p.encoding, body, count)
			return err
		}
	}
	if c.view != nil && p.encoding == format.Plain {
		if c.values = c.view(body, count); len(c.values) < count {
			return errShortPage
		}
		return nil
	}
	if c.values, err = c.decodeValues(c.scratch, p.encoding, body, count); err == nil {
		c.scratch = c.values
	}
	return err
}

func isDictionary(e format.Encoding) bool {
	//lint:ignore SA1019 old files have it, and it has to be read
	return e == format.PlainDictionary || e == format.RLEDictionary
}

// loadLevels decodes the levels of p and returns the values' part of the body.
func (c *columnCursor[T]) loadLevels(p *page, body []byte) (_ []byte, err error) {
	reps, defs := body[:p.repLen], body[p.repLen:p.repLen+p.defLen]
	if p.v2 {
		body = body[p.repLen+p.defLen:]
	}
	c.defs, c.reps = nil, nil
	if c.column.maxRep > 0 {
		if !p.v2 {
			if reps, body, err = splitLevels(body, p.repEnc, c.column.maxRep, p.values); err != nil {
				return nil, err
			}
		}
		if c.reps, err = decodeLevels(c.repBuf, reps, p.repEnc, c.column.maxRep, p.values); err != nil {
			return nil, err
		}
		if c.reps == nil { // all 1: the page continues a list
			c.reps = sized(c.repBuf, p.values)
			for i := range c.reps {
				c.reps[i] = c.column.maxRep
			}
		}
		c.repBuf = c.reps
	}
	if c.column.maxDef > 0 {
		if !p.v2 {
			if defs, body, err = splitLevels(body, p.defEnc, c.column.maxDef, p.values); err != nil {
				return nil, err
			}
		}
		if c.defs, err = decodeLevels(c.defBuf, defs, p.defEnc, c.column.maxDef, p.values); err != nil {
			return nil, err
		}
		if c.defs != nil {
			c.defBuf = c.defs
		}
	}
	return body, nil
}

// decodeValues decodes n values in dst's memory where it suffices.
func (c *columnCursor[T]) decodeValues(dst []T, enc format.Encoding, body []byte, n int) ([]T, error) {
	if n == 0 {
		return dst[:0], nil
	}
	if !isDictionary(enc) {
		return c.decode(dst, enc, body, n)
	}
	c.indices = sized(c.indices, n)
	if err := decodeIndices(c.indices, body); err != nil {
		return nil, err
	}
	dict, out := c.dict, sized(dst, n)
	for i, k := range c.indices {
		if uint(k) >= uint(len(dict)) {
			return nil, errIndex(k, len(dict))
		}
		out[i] = dict[k]
	}
	return out, nil
}

func errIndex(k int32, values int) error {
	return fmt.Errorf("index %d into a dictionary of %d values", uint32(k), values)
}

func countLevel(levels []byte, level uint8) int {
	n := 0
	for _, l := range levels {
		if l == level {
			n++
		}
	}
	return n
}

package parquetio

import (
	"bytes"
	"hash/crc32"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"

	"github.com/asof-store/asof/feature"
)

// chunk is the column of a row group, with offsets that count from its first byte until it is moved.
type chunk struct {
	pages  []byte
	meta   format.ColumnMetaData
	bounds format.ColumnIndex
	places []format.PageLocation
}

// moveTo tells c where in the file it lies.
func (c *chunk) moveTo(offset int64) {
	c.meta.DataPageOffset += offset
	if c.meta.Encoding[0] == format.RLEDictionary {
		c.meta.DictionaryPageOffset = offset
	}
	for i := range c.places {
		c.places[i].Offset += offset
	}
}

// newChunkEncoder returns an encoder of a column's chunks.
func newChunkEncoder(spec ColumnSpec, opts *WriterOptions) *chunkEncoder {
	e := &chunkEncoder{spec: spec, opts: opts, pageRows: opts.PageRows, values: newValues(spec.Type.Kind), present: 1}
	if spec.PageRows > 0 {
		e.pageRows = min(e.pageRows, spec.PageRows)
	}
	if spec.Required {
		e.present = 0
	}
	if spec.Type.List {
		e.present += 2
	}
	return e
}

// encode encodes arrays, the column of a row group, and appends it to pages.
func (e *chunkEncoder) encode(arrays []arrow.Array, pages []byte) (chunk, error) {
	e.chunk, e.first, e.low, e.high, e.dictionary = chunk{}, 0, nil, nil, nil
	encoding := encodingFor(e.spec, e.values, arrays)
	if encoding == format.RLEDictionary {
		if e.dictionary = e.values.dictionary(arrays, e.spec.dictionaryBytesMax()); e.dictionary == nil {
			encoding = undictionaried(e.spec) // too many values for one
		}
	}
	e.pages = pages
	e.meta = format.ColumnMetaData{Type: physicalOf(e.spec.Type.Kind), Encoding: []format.Encoding{encoding, format.RLE}, PathInSchema: e.spec.leaf(),
		Codec: e.opts.Codec.CompressionCodec()}
	if encoding == format.RLEDictionary {
		e.meta.Encoding = append(e.meta.Encoding, format.Plain)
		if err := e.writeDictionary(); err != nil {
			return chunk{}, err
		}
	}
	e.meta.DataPageOffset = int64(len(e.pages))
	for _, a := range arrays {
		if err := e.write(a); err != nil {
			return chunk{}, err
		}
	}
	if err := e.endPage(); err != nil {
		return chunk{}, err
	}
	e.finish()
	return e.chunk, nil
}

// plainSize returns about how many bytes arrays take at most as pages.
func plainSize(arrays []arrow.Array) (size int) {
	for _, a := range arrays {
		if a = elementsOf(a); a.Len() == 0 {
			continue
		}
		if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
			size += a.Len() * (t.BitWidth() + 1) / 8
			continue
		}
		offsets := a.(interface{ ValueOffsets() []int32 }).ValueOffsets()
		size += int(offsets[a.Len()]-offsets[0]) + 4*a.Len()
	}
	return size * 33 / 32 // levels and headers
}

// chunkEncoder encodes a column, a row group at a time, in pages of equal row counts, save for very wide values.
type chunkEncoder struct {
	chunk // being encoded

	spec       ColumnSpec
	opts       *WriterOptions
	pageRows   int   // the most of a page
	present    uint8 // the definition level of a value
	dictionary dictionary

	values     pageValues // of the page to come, NULLs left out
	defs, reps []byte     // their levels; no definition levels while nothing is NULL
	count      int        // of values and NULLs
	rows       int
	first      int // row of the page

	low, high []byte // of the chunk
	packed    []byte
	levels    []byte
}

// write adds the rows of a.
func (e *chunkEncoder) write(a arrow.Array) error {
	for from := 0; from < a.Len(); {
		n := min(a.Len()-from, e.pageRows-e.rows)
		if list, ok := a.(*array.List); ok {
			n = rowsWithin(n, func(i int) int {
				begin, _ := list.ValueOffsets(from)
				_, end := list.ValueOffsets(from + i - 1)
				return int(end - begin)
			}, e.values.most(list.ListValues(), 0))
			e.addLists(list, from, from+n)
		} else {
			n = min(n, e.values.most(a, from))
			e.add(a, from, from+n, e.present)
			e.count += n
		}
		from, e.rows = from+n, e.rows+n
		if e.rows == e.pageRows || e.values.size() >= writtenPageBytesMax {
			if err := e.endPage(); err != nil {
				return err
			}
		}
	}
	return nil
}

// rowsWithin returns how many rows, at least one and at most n, have at most limit elements; elements tells how many the first i have.
func rowsWithin(n int, elements func(i int) int, limit int) int {
	if elements(n) <= limit {
		return n
	}
	low := 1
	for high := n; low < high; {
		if mid := (low + high + 1) / 2; elements(mid) <= limit {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// add adds values [from, to) of a, which have the given definition level, NULLs the one below.
func (e *chunkEncoder) add(a arrow.Array, from, to int, level uint8) {
	e.values.take(a, from, to)
	if level == 0 {
		return
	}
	at := len(e.defs)
	e.defs = slices.Grow(e.defs, to-from)[:at+to-from]
	fill(e.defs[at:], level)
	eachStretch(a, from, to, func(first, end int, valid bool) {
		if !valid {
			fill(e.defs[at+first-from:at+end-from], level-1)
		}
	})
}

func fill(b []byte, value byte) {
	for i := range b {
		b[i] = value
	}
}

// addLists adds lists. Below the level of a list it is NULL, at it empty, one above an element is NULL, two above it is there.
func (e *chunkEncoder) addLists(list *array.List, from, to int) {
	elements, empty := list.ListValues(), e.present-2
	for i := from; i < to; i++ {
		first, end := list.ValueOffsets(i)
		at := len(e.reps)
		switch {
		case list.IsNull(i):
			e.defs, e.reps = append(e.defs, empty-1), append(e.reps, 0)
		case first == end:
			e.defs, e.reps = append(e.defs, empty), append(e.reps, 0)
		default:
			e.add(elements, int(first), int(end), e.present)
			e.reps = append(e.reps, bytes.Repeat([]byte{1}, int(end-first))...)
			e.reps[at] = 0
		}
		e.count += len(e.reps) - at
	}
}

// endPage encodes the rows that have been added as a page.
func (e *chunkEncoder) endPage() (err error) {
	if e.rows == 0 {
		return nil
	}
	nulls := e.count - e.values.len()
	h := format.DataPageHeaderV2{NumValues: int32(e.count), NumNulls: int32(nulls), NumRows: int32(e.rows), Encoding: e.meta.Encoding[0]}
	e.levels = e.levels[:0]
	if e.spec.Type.List {
		if h.RepetitionLevelsByteLength, err = e.addLevels(e.reps, 1); err != nil {
			return err
		}
	}
	if e.present > 0 {
		if h.DefinitionLevelsByteLength, err = e.addLevels(e.defs, e.present); err != nil {
			return err
		}
	}
	e.noteBounds(nulls)
	var body []byte
	if e.dictionary != nil {
		body, err = e.dictionary.encode(e.values.len())
	} else {
		body, err = e.values.encode(h.Encoding)
	}
	if err != nil {
		return err
	}
	packed, compressed, err := e.compress(body)
	if err != nil {
		return err
	}
	h.IsCompressed.Set(compressed)
	header := format.PageHeader{Type: format.DataPageV2, UncompressedPageSize: int32(len(e.levels) + len(body)), CompressedPageSize: int32(len(e.levels) + len(packed))}
	header.DataPageHeaderV2.Set(h)
	at := int64(len(e.pages))
	if err := e.writePage(&header, e.levels, packed); err != nil {
		return err
	}
	e.places = append(e.places, format.PageLocation{Offset: at, CompressedPageSize: int32(int64(len(e.pages)) - at), FirstRowIndex: int64(e.first)})
	e.meta.NumValues += int64(e.count)
	e.meta.Statistics.NullCount += int64(nulls)
	e.values.reset()
	e.defs, e.reps, e.count, e.first, e.rows = e.defs[:0], e.reps[:0], 0, e.first+e.rows, 0
	return nil
}

// addLevels encodes levels, of which the greatest is most, and returns their length in bytes.
func (e *chunkEncoder) addLevels(levels []byte, most uint8) (int32, error) {
	width := 1
	if most > 1 {
		width = 2 // up to 3
	}
	coder := rle.Encoding{BitWidth: width}
	b, err := coder.EncodeLevels(nil, levels)
	e.levels = append(e.levels, b...)
	return int32(len(b)), err
}

// compress returns body compressed, or as it is where that saves less than a sixteenth: it is then read without being decompressed.
func (e *chunkEncoder) compress(body []byte) (packed []byte, compressed bool, err error) {
	if e.meta.Codec == format.Uncompressed || len(body) == 0 {
		return body, false, nil
	}
	if len(body) >= 2*shrinkSample {
		if shrinks, err := e.shrinks(body[:shrinkSample]); err != nil || !shrinks {
			return body, false, err
		}
	}
	shrinks, err := e.shrinks(body)
	if err != nil || !shrinks {
		return body, false, err
	}
	return e.packed, true, nil
}

// shrinkSample are the bytes at the beginning of a page that tell whether it is worth while to compress all of it.
const shrinkSample = 16 << 10

// shrinks compresses b to e.packed, and reports whether that saves a sixteenth.
func (e *chunkEncoder) shrinks(b []byte) (_ bool, err error) {
	e.packed, err = e.opts.Codec.Encode(e.packed[:cap(e.packed)], b)
	return len(e.packed) <= len(b)-len(b)/16, err
}

// writePage writes a page with a body of two parts.
func (e *chunkEncoder) writePage(h *format.PageHeader, levels, body []byte) error {
	h.CRC = int32(crc32.Update(crc32.ChecksumIEEE(levels), crc32.IEEETable, body))
	header, err := marshal(h)
	if err != nil {
		return err
	}
	e.meta.TotalUncompressedSize += int64(len(header)) + int64(h.UncompressedPageSize)
	e.meta.TotalCompressedSize += int64(len(header)) + int64(h.CompressedPageSize)
	e.pages = slices.Grow(e.pages, len(header)+len(levels)+len(body))
	e.pages = append(append(append(e.pages, header...), levels...), body...)
	return nil
}

// writeDictionary writes the page with the values of the dictionary, which is always compressed.
func (e *chunkEncoder) writeDictionary() error {
	body, n, err := e.dictionary.plain()
	if err != nil {
		return err
	}
	packed := body
	if e.meta.Codec != format.Uncompressed {
		if packed, err = e.opts.Codec.Encode(nil, body); err != nil {
			return err
		}
	}
	h := format.PageHeader{Type: format.DictionaryPage, UncompressedPageSize: int32(len(body)), CompressedPageSize: int32(len(packed))}
	h.DictionaryPageHeader.Set(format.DictionaryPageHeader{NumValues: int32(n), Encoding: format.Plain})
	return e.writePage(&h, nil, packed)
}

// noteBounds notes what the page's values lie between.
func (e *chunkEncoder) noteBounds(nulls int) {
	var low, high []byte
	if e.spec.bounded() {
		low, high = e.values.bounds()
	}
	if low != nil {
		if e.low == nil || comparePlain(e.spec.Type.Kind, low, e.low) < 0 {
			e.low = low
		}
		if e.high == nil || comparePlain(e.spec.Type.Kind, high, e.high) > 0 {
			e.high = high
		}
	}
	if len(low)+len(high) > pageBoundMax && !e.spec.Ordered {
		low, high = nil, nil
	}
	b := &e.bounds
	b.NullPages = append(b.NullPages, nulls == e.count)
	b.MinValues, b.MaxValues = append(b.MinValues, low), append(b.MaxValues, high)
	b.NullCounts = append(b.NullCounts, int64(nulls))
}

// pageBoundMax is how many bytes the bounds of a page may have, save for a column that is sorted: readers rely on the bounds of that, and
// others could be as long as the text itself. Bounds that are both empty are none.
const pageBoundMax = 128

// finish completes the metadata.
func (e *chunkEncoder) finish() {
	e.meta.Statistics.MinValue, e.meta.Statistics.MaxValue = e.low, e.high
	e.bounds.BoundaryOrder = format.Unordered
	less := func(a, b []byte) int { return comparePlain(e.spec.Type.Kind, a, b) }
	if e.spec.Ordered && !slices.Contains(e.bounds.NullPages, true) && slices.IsSortedFunc(e.bounds.MinValues, less) && slices.IsSortedFunc(e.bounds.MaxValues, less) {
		e.bounds.BoundaryOrder = format.Ascending
	}
}

// pageValues are what a page holds that is not NULL. They may lie in the memory of the arrays that they are taken from.
type pageValues interface {
	take(a arrow.Array, from, to int)
	// most returns how many values may be taken at once, so that a page ends not far beyond writtenPageBytesMax.
	most(a arrow.Array, from int) int
	len() int
	size() int // bytes, plainly encoded
	bounds() (low, high []byte)
	// encode returns their encoded form, which is good until the next call, or reset.
	encode(encoding format.Encoding) ([]byte, error)
	reset()
	// repeat reports whether at most half of the first sampleRows values of arrays are distinct.
	repeat(arrays []arrow.Array) bool
	// dictionary returns one of all values of arrays, nil where it would take more than most bytes.
	dictionary(arrays []arrow.Array, most int) dictionary
}

// dictionary numbers the distinct values of a chunk.
type dictionary interface {
	// plain returns the values, plainly encoded.
	plain() (body []byte, n int, err error)
	// encode returns the encoded numbers of the next so many values, which are good until the next call.
	encode(values int) ([]byte, error)
}

func newValues(k feature.Kind) pageValues {
	switch k {
	case feature.Bool:
		return &boolValues{}
	case feature.Int32:
		return &numberValues[int32]{of: func(a arrow.Array) []int32 { return a.(*array.Int32).Int32Values() }}
	case feature.Int64:
		return &numberValues[int64]{of: func(a arrow.Array) []int64 { return a.(*array.Int64).Int64Values() }}
	case feature.Timestamp:
		return &numberValues[int64]{of: func(a arrow.Array) []int64 { return timestamps(a.(*array.Timestamp)) }}
	case feature.Float32:
		return &numberValues[float32]{of: func(a arrow.Array) []float32 { return a.(*array.Float32).Float32Values() }}
	case feature.Float64:
		return &numberValues[float64]{of: func(a arrow.Array) []float64 { return a.(*array.Float64).Float64Values() }}
	}
	return &textValues{distinct: map[string]struct{}{}}
}

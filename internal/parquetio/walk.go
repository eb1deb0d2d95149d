package parquetio

import (
	"errors"
	"hash/crc32"
	"io"
	"math"
	"sort"

	"github.com/asof-store/asof/feature"
	"github.com/parquet-go/parquet-go/format"
)

const (
	headerBytesMax  = 16 << 20 // headers carry minima and maxima, which may be long strings
	readAheadBytes  = 256 << 10
	pageHeaderBytes = 512 // few are longer
	// A page decompresses to at most inflatedMax, and beyond inflatedFree only if it shrank by no more than
	// inflationMax: real pages are about 1 MiB, and a megabyte of hostile input must not ask for gigabytes.
	inflatedMax  = 1 << 30
	inflatedFree = 64 << 20
	inflationMax = 2048
	// A page of more than pageRowsFree values must have at least a bit for every eight of them.
	pageRowsFree = 1 << 24
	// bodySlack is what bit unpacking may read beyond the end of a body.
	bodySlack = 64
)

// walker walks the pages of a column chunk in order. What it returns is valid until the next call.
type walker struct {
	file   *File
	column *column
	chunk  *format.ColumnChunk
	group  int

	start  int64 // of the chunk
	off    int64 // of the next page header
	end    int64 // of what may be pages
	ahead  int64 // up to where reading ahead pays: not beyond last
	last   int64 // end of the chunk as declared
	values int64 // in pages not yet walked
	pages  int   // not yet walked, when a jump has made them known; else -1
	head   *page // header at off, when it has been read already

	index  []format.PageLocation // nil when there is none
	looked bool                  // for the index

	buffer piece
	body   []byte // decompressed
}

// page is a page header that has been checked.
type page struct {
	kind           format.PageType
	values         int
	rows           int // -1 when the header does not tell
	nulls          int // -1 when the header does not tell
	encoding       format.Encoding
	defEnc, repEnc format.Encoding
	defLen, repLen int // bytes of levels before a compressed section, version 2 only
	v2, packed     bool
	off            int64 // of the body
	stored, full   int   // bytes of the body, as stored and decompressed
	crc            int32
}

func (f *File) walk(group int, c *column) *walker {
	chunk := &f.meta.RowGroups[group].Columns[c.index]
	m := &chunk.MetaData
	w := &walker{file: f, column: c, chunk: chunk, group: group, end: f.pagesEnd(), values: m.NumValues, pages: -1}
	w.start = m.DataPageOffset
	if d := m.DictionaryPageOffset; d >= magicBytes && d < w.start {
		w.start = d
	}
	w.off, w.last = w.start, w.start
	if m.TotalCompressedSize > 0 && m.TotalCompressedSize <= w.end-w.start {
		w.last += m.TotalCompressedSize
	}
	w.ahead = w.last
	return w
}

// restart returns a walker of the same column in another row group, which takes over the memory of w.
func (w *walker) restart(group int) *walker {
	next := w.file.walk(group, w.column)
	next.buffer.block, next.body = w.buffer.block, w.body
	return next
}

func (w *walker) corrupt(format string, args ...any) error {
	return w.file.corrupt("row group %d, column %s, page at byte %d: "+format, append([]any{w.group, w.column.info.Path, w.off}, args...)...)
}

// peek returns at least n bytes of the file from off, fewer only where the pages end.
func (w *walker) peek(off int64, n int) ([]byte, error) {
	if max := w.end - off; int64(n) > max {
		n = int(max)
	}
	if b := w.buffer.at(off, int64(n)); b != nil {
		return b, nil
	}
	return w.file.read(&w.buffer, off, max(int64(n), min(w.ahead-off, readAheadBytes)))
}

// free gives the memory of pages back. What they were decoded to has been copied.
func (w *walker) free() {
	if m := w.file.memory; m != nil {
		m.Free(w.buffer.block)
		m.Free(w.body)
	}
	w.buffer, w.body = piece{}, nil
}

// done reports whether the last page has been walked.
func (w *walker) done() bool { return w.values == 0 || w.pages == 0 }

// header returns the header of the next page, io.EOF after the last one.
func (w *walker) header() (*page, error) {
	if w.done() {
		return nil, io.EOF
	}
	if w.head != nil {
		return w.head, nil
	}
	p, err := w.headerAt(w.off)
	if err == nil {
		w.head = p
	}
	return p, err
}

func (w *walker) headerAt(off int64) (*page, error) {
	for size := pageHeaderBytes; ; size *= 8 {
		b, err := w.peek(off, size)
		if err != nil {
			return nil, err
		}
		var h format.PageHeader
		n, err := decodePageHeader(b, &h)
		if errors.Is(err, errShort) && len(b) >= size && size < headerBytesMax {
			continue
		} else if err != nil {
			return nil, w.corrupt("page header: %v", err)
		}
		return w.checked(&h, off+int64(n))
	}
}

// checked returns the header h, whose body begins at off, after holding its sizes against the file.
func (w *walker) checked(h *format.PageHeader, off int64) (*page, error) {
	p := &page{kind: h.Type, rows: -1, nulls: -1, off: off, stored: int(h.CompressedPageSize), full: int(h.UncompressedPageSize), crc: h.CRC}
	codec := w.chunk.MetaData.Codec
	p.packed = codec != format.Uncompressed
	var values int32
	switch {
	case p.kind == format.DataPage && h.DataPageHeader.Valid:
		d := &h.DataPageHeader.V
		values, p.encoding, p.defEnc, p.repEnc = d.NumValues, d.Encoding, d.DefinitionLevelEncoding, d.RepetitionLevelEncoding
		if w.column.maxRep == 0 {
			p.rows = int(values)
		}
	case p.kind == format.DataPageV2 && h.DataPageHeaderV2.Valid:
		d := &h.DataPageHeaderV2.V
		values, p.encoding, p.defEnc, p.repEnc = d.NumValues, d.Encoding, format.RLE, format.RLE
		p.v2, p.rows, p.nulls = true, int(d.NumRows), int(d.NumNulls)
		p.defLen, p.repLen = int(d.DefinitionLevelsByteLength), int(d.RepetitionLevelsByteLength)
		p.packed = p.packed && (!d.IsCompressed.Valid || d.IsCompressed.V)
		if p.defLen < 0 || p.repLen < 0 || p.defLen+p.repLen > min(p.stored, p.full) {
			return nil, w.corrupt("levels of %d and %d bytes in a page of %d", p.repLen, p.defLen, p.stored)
		}
		if w.column.maxRep == 0 && d.NumRows != values || d.NumRows < 0 || d.NumNulls < 0 || d.NumNulls > values {
			return nil, w.corrupt("%d values, %d rows and %d nulls do not agree", values, d.NumRows, d.NumNulls)
		}
	case p.kind == format.DictionaryPage && h.DictionaryPageHeader.Valid:
		values, p.encoding = h.DictionaryPageHeader.V.NumValues, h.DictionaryPageHeader.V.Encoding
	case p.kind == format.DataPage || p.kind == format.DataPageV2 || p.kind == format.DictionaryPage:
		return nil, w.corrupt("the header of a %s is missing", p.kind)
	}
	p.values = int(values)
	switch {
	case p.stored < 0 || p.full < 0 || p.values < 0:
		return nil, w.corrupt("negative size or count")
	case int64(p.stored) > w.end-off:
		return nil, w.corrupt("%d bytes reach beyond the end of the file", p.stored)
	case p.full > inflatedMax || p.full > inflatedFree && p.full/inflationMax > p.stored:
		return nil, w.corrupt("it claims to decompress from %d to %d bytes, beyond what a page may", p.stored, p.full)
	case p.values > pageRowsFree && p.values/64 > p.full:
		return nil, w.corrupt("it claims %d values in %d bytes", p.values, p.full)
	case !supports(codec):
		return nil, feature.Errorf(feature.ErrInvalid, "%s: column %s is compressed with %s, which is not supported: write the file with zstd, snappy or lz4_raw",
			w.file.path, w.column.info.Path, codec)
	}
	return p, nil
}

// pass moves behind p, the page at off.
func (w *walker) pass(p *page) error {
	if p.kind == format.DataPage || p.kind == format.DataPageV2 {
		if int64(p.values) > w.values {
			return w.corrupt("%d values where the metadata leaves %d", p.values, w.values)
		}
		w.values -= int64(p.values)
		if w.pages > 0 {
			w.pages--
		}
	}
	w.off, w.head = p.off+int64(p.stored), nil
	return nil
}

// load returns the decompressed body of p, with bodySlack bytes to spare in its capacity. The levels of a version
// 2 page stay in front.
func (w *walker) load(p *page) ([]byte, error) {
	b, err := w.peek(p.off, p.stored)
	if err != nil {
		return nil, err
	}
	b = b[:p.stored]
	if w.file.sums == nil && p.crc != 0 && crc32.ChecksumIEEE(b) != uint32(p.crc) {
		return nil, w.corrupt("its checksum does not match its bytes")
	}
	if !p.packed {
		return b, nil
	}
	levels := p.defLen + p.repLen
	w.body = w.file.grown(w.body, p.full+bodySlack)[:p.full]
	copy(w.body, b[:levels])
	if p.full == levels && len(b) == levels { // nothing but NULLs
		return w.body, nil
	}
	if err := w.file.inflater.inflate(w.chunk.MetaData.Codec, w.body[levels:], b[levels:]); err != nil {
		return nil, w.corrupt("decompressing it with %s: %v", w.chunk.MetaData.Codec, err)
	}
	return w.body, nil
}

// loadToKeep is load of a body that outlasts the next call.
func (w *walker) loadToKeep(p *page) ([]byte, error) {
	body, err := w.load(p)
	if err != nil {
		return nil, err
	}
	if p.packed {
		w.body = nil
		return body, nil
	}
	return append(make([]byte, 0, len(body)+bodySlack), body...), nil
}

// seek moves forward to the page that holds the row which lies skip rows behind the next page's first row, the
// row-th of the row group, and returns how many rows of that page lie before it. Without an index, and for
// pages whose headers do not tell their rows, it stops earlier.
func (w *walker) seek(row, skip int) (int, error) {
	if i := w.indexed(row + skip); i > 0 && w.index[i].Offset > w.off {
		if err := w.jump(i, row); err != nil {
			return 0, err
		}
		return row + skip - int(w.index[i].FirstRowIndex), nil
	}
	for skip > 0 {
		p, err := w.header()
		if err != nil {
			return 0, w.ended(err)
		}
		if isData := p.kind == format.DataPage || p.kind == format.DataPageV2; isData && (p.rows < 0 || p.rows > skip) {
			break
		} else if isData {
			skip -= p.rows
		}
		if err := w.pass(p); err != nil {
			return 0, err
		}
	}
	return skip, nil
}

// expect has reading ahead go as far as rows lie on pages next to each other: those from the first of rows on, which ascend. Without an index it goes as
// far as the chunk does.
func (w *walker) expect(rows []int32) {
	w.ahead = w.last
	for i := w.indexed(int(rows[0])) + 1; i > 0 && i < len(w.index); i++ {
		first := w.index[i].FirstRowIndex
		rows = rows[sort.Search(len(rows), func(r int) bool { return int64(rows[r]) >= first }):]
		if next := w.indexed(int(first)) + 1; len(rows) == 0 || next < len(w.index) && int64(rows[0]) >= w.index[next].FirstRowIndex {
			w.ahead = w.index[i].Offset
			return
		}
	}
}

// expectTo is expect of all rows up to the given one.
func (w *walker) expectTo(row int) {
	w.ahead = w.last
	if i := w.indexed(row-1) + 1; i > 0 && i < len(w.index) {
		w.ahead = w.index[i].Offset
	}
}

// ended turns the end of the pages into an error: it was met before the rows that the metadata promises.
func (w *walker) ended(err error) error {
	if err == io.EOF {
		return w.corrupt("the column ends before its %d rows", w.file.groups[w.group].Rows)
	}
	return err
}

// indexed returns the number of the page that holds row, -1 without an offset index.
func (w *walker) indexed(row int) int {
	if !w.looked {
		w.looked = true
		w.index = w.file.pageLocations(w.group, w.column)
	}
	return sort.Search(len(w.index), func(i int) bool { return w.index[i].FirstRowIndex > int64(row) }) - 1
}

// pageRows returns the rows of page i of the index.
func (w *walker) pageRows(i int) int64 {
	end := int64(w.file.groups[w.group].Rows)
	if i+1 < len(w.index) {
		end = w.index[i+1].FirstRowIndex
	}
	return end - w.index[i].FirstRowIndex
}

// jump moves to page i of the index from a page that begins with row. The values jumped over count as walked; how
// many they are is known of a flat column, for a list the pages are counted instead.
func (w *walker) jump(i, row int) error {
	to := w.index[i]
	w.pages = len(w.index) - i
	if w.column.maxRep == 0 {
		w.values -= to.FirstRowIndex - int64(row)
	} else {
		w.values = math.MaxInt64
	}
	w.off, w.head = to.Offset, nil
	p, err := w.header()
	if err != nil {
		return w.ended(err)
	}
	if p.kind != format.DataPage && p.kind != format.DataPageV2 || p.rows >= 0 && int64(p.rows) != w.pageRows(i) {
		return w.corrupt("it is not what the offset index says")
	}
	return nil
}

// sized returns a slice of n elements, s itself where its capacity allows.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

package parquetio

import (
	"bytes"
	"encoding/binary"
	"math"

	"github.com/asof-store/asof/feature"
	"github.com/parquet-go/parquet-go/format"
)

// indexBytesMax bounds the index of one column chunk: a million pages take some 40 MB.
const indexBytesMax = 128 << 20

// PageBound describes a page of a column chunk from the page index alone.
type PageBound struct {
	FirstRow, Rows int
	// Min and Max bound the values as those of [File.Bounds] do; both are nil when they are not known.
	Min, Max any
	AllNull  bool
	Nulls    int64 // -1 when it is not known; an empty list counts as one
}

// Pages returns the pages of a column chunk from its column and offset index; nil when the file has none that is
// usable.
func (f *File) Pages(rowGroup int, path string) (pages []PageBound) {
	c := f.byPath[path]
	if c == nil || rowGroup < 0 || rowGroup >= len(f.groups) {
		return nil
	}
	defer func() {
		if recover() != nil {
			pages = nil
		}
	}()
	locations := f.pageLocations(rowGroup, c)
	if locations == nil {
		return nil
	}
	rows := f.groups[rowGroup].Rows
	pages = make([]PageBound, len(locations))
	for i, l := range locations {
		end := rows
		if i+1 < len(locations) {
			end = int(locations[i+1].FirstRowIndex)
		}
		pages[i] = PageBound{FirstRow: int(l.FirstRowIndex), Rows: end - int(l.FirstRowIndex), Nulls: -1}
	}
	chunk := &f.meta.RowGroups[rowGroup].Columns[c.index]
	var index format.ColumnIndex
	if !f.readIndex(chunk.ColumnIndexOffset, chunk.ColumnIndexLength, &index) ||
		len(index.NullPages) != len(pages) || len(index.MinValues) != len(pages) || len(index.MaxValues) != len(pages) {
		return pages
	}
	for i := range pages {
		pages[i].AllNull = index.NullPages[i]
		if len(index.NullCounts) == len(pages) {
			pages[i].Nulls = index.NullCounts[i]
		}
		if (c.kind == kindBytes || c.kind == kindText) && len(index.MinValues[i])+len(index.MaxValues[i]) == 0 {
			continue // Writer and parquet-go write these where they give no bounds
		}
		if low, high, ok := c.bounds(index.MinValues[i], index.MaxValues[i]); ok && !pages[i].AllNull {
			pages[i].Min, pages[i].Max = low, high
		}
	}
	return pages
}

// pageLocations returns the offset index of a column chunk, nil when there is none or it contradicts itself: it is
// an aid, and without it the pages are walked. It is read once.
func (f *File) pageLocations(group int, c *column) []format.PageLocation {
	at := [2]int{group, c.index}
	f.placesMu.Lock()
	places, ok := f.places[at]
	f.placesMu.Unlock()
	if ok {
		return places
	}
	places = f.readPageLocations(group, c)
	f.placesMu.Lock()
	defer f.placesMu.Unlock()
	if f.places == nil {
		f.places = map[[2]int][]format.PageLocation{}
	}
	f.places[at] = places
	return places
}

func (f *File) readPageLocations(group int, c *column) []format.PageLocation {
	chunk := &f.meta.RowGroups[group].Columns[c.index]
	var index format.OffsetIndex
	if !f.readIndex(chunk.OffsetIndexOffset, chunk.OffsetIndexLength, &index) {
		return nil
	}
	locations, rows := index.PageLocations, int64(f.groups[group].Rows)
	for i, l := range locations {
		if i == 0 && l.FirstRowIndex != 0 || l.FirstRowIndex < 0 || l.FirstRowIndex >= rows || l.Offset < magicBytes || l.Offset >= f.size ||
			i > 0 && (l.FirstRowIndex < locations[i-1].FirstRowIndex || l.Offset <= locations[i-1].Offset) {
			return nil
		}
	}
	return locations
}

func (f *File) readIndex(off int64, length int32, v any) bool {
	if off < magicBytes || length <= 0 || length > indexBytesMax {
		return false
	}
	b, err := f.read(&piece{}, off, int64(length))
	if err == nil {
		_, err = decodeThrift(b[:length], v)
	}
	return err == nil
}

// Bounds returns the least and greatest value of a column chunk as its statistics tell: a value of the column's
// natural type, int32 widened to int64, and timestamps as [feature.Time]. ok is false when there are none or they
// cannot be trusted, and for lists. Bounds of strings and bytes may be truncated, and bound all the same.
func (f *File) Bounds(rowGroup int, path string) (min, max any, ok bool) {
	c := f.byPath[path]
	if c == nil || rowGroup < 0 || rowGroup >= len(f.groups) {
		return nil, nil, false
	}
	s := &f.meta.RowGroups[rowGroup].Columns[c.index].MetaData.Statistics
	if s.MinValue != nil && s.MaxValue != nil {
		return c.bounds(s.MinValue, s.MaxValue)
	}
	// The older pair was compared as signed bytes by some writers; for signed numbers that does not matter.
	signed := c.kind == kindInt && !c.unsigned || c.kind == kindDate || c.kind == kindTimestamp || c.kind == kindFloat || c.kind == kindDouble
	if signed && s.Min != nil && s.Max != nil {
		return c.bounds(s.Min, s.Max)
	}
	return nil, nil, false
}

// NullCount returns how many values of a column chunk are NULL as its statistics tell; ok is false when they do not.
// Zero is never reported as known: the format cannot tell it from absence.
func (f *File) NullCount(rowGroup int, path string) (nulls int64, ok bool) {
	c := f.byPath[path]
	if c == nil || rowGroup < 0 || rowGroup >= len(f.groups) {
		return 0, false
	}
	nulls = f.meta.RowGroups[rowGroup].Columns[c.index].MetaData.Statistics.NullCount
	return nulls, nulls > 0
}

// bounds decodes a pair of statistics; ok is false unless both are values and in order.
func (c *column) bounds(low, high []byte) (min, max any, ok bool) {
	if c.maxRep > 0 {
		return nil, nil, false
	}
	switch c.kind {
	case kindBool:
		if len(low) != 1 || len(high) != 1 {
			return nil, nil, false
		}
		return low[0] != 0, high[0] != 0, low[0] <= high[0]
	case kindInt, kindDate, kindTimestamp:
		return c.intBounds(low, high)
	case kindFloat, kindDouble:
		return c.floatBounds(low, high)
	case kindText:
		return string(low), string(high), string(low) <= string(high)
	case kindBytes:
		if c.physical == format.ByteArray {
			return low, high, bytes.Compare(low, high) <= 0
		}
	}
	return nil, nil, false
}

func (c *column) intBounds(low, high []byte) (min, max any, ok bool) {
	var v [2]int64
	for i, b := range [][]byte{low, high} {
		switch {
		case c.physical == format.Int32 && len(b) == 4 && c.unsigned:
			v[i] = int64(binary.LittleEndian.Uint32(b))
		case c.physical == format.Int32 && len(b) == 4:
			v[i] = int64(int32(binary.LittleEndian.Uint32(b)))
		case c.physical == format.Int64 && len(b) == 8:
			v[i] = int64(binary.LittleEndian.Uint64(b))
		default:
			return nil, nil, false
		}
		if c.unsigned && v[i] < 0 { // beyond int64
			return nil, nil, false
		}
	}
	if c.kind == kindInt {
		return v[0], v[1], v[0] <= v[1]
	}
	from, ok1 := c.micros(v[0])
	to, ok2 := c.micros(v[1])
	return feature.Time(from), feature.Time(to), ok1 && ok2 && from <= to
}

// floatBounds refuses NaN, which bounds nothing, and spreads a zero over both zeros.
func (c *column) floatBounds(low, high []byte) (min, max any, ok bool) {
	var v [2]float64
	for i, b := range [][]byte{low, high} {
		switch {
		case c.kind == kindFloat && len(b) == 4:
			v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case c.kind == kindDouble && len(b) == 8:
			v[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		default:
			return nil, nil, false
		}
	}
	if v[0] == 0 {
		v[0] = math.Copysign(0, -1)
	}
	if v[1] == 0 {
		v[1] = 0
	}
	return v[0], v[1], v[0] <= v[1]
}

package parquetio

import (
	"slices"
	"sort"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/parquet-go/parquet-go/format"

	"github.com/asof-store/asof/feature"
)

// Take is [File.Read] of single rows, which ascend strictly: pages that have none of them are not decompressed, and of the others no more
// is decoded than the encoding demands.
func (f *File) Take(rowGroup int, path string, t feature.Type, rows []int32) (out arrow.Array, err error) {
	s, err := f.Scan(rowGroup, path, t)
	if err != nil {
		return nil, err
	}
	defer f.guard(&err, "column "+path)
	defer s.cursor.free()
	s.cursor.reserve(len(rows))
	for i, last := 0, int32(-1); i < len(rows); i++ {
		if rows[i] <= last || int(rows[i]) >= s.rows {
			return nil, feature.Errorf(feature.ErrInternal, "%s: column %s: row %d asked for out of turn, of %d rows", f.path, path, rows[i], s.rows)
		}
		last = rows[i]
	}
	if err := s.cursor.pick(rows); err != nil {
		return nil, err
	}
	out = s.cursor.finish()
	if out.Len() != len(rows) {
		return nil, f.corrupt("column %s: %d rows where %d were promised", path, out.Len(), len(rows))
	}
	return out, nil
}

func (c *columnCursor[T]) pick(rows []int32) error {
	if c.sparse(rows) {
		return c.pickPlaces(rows)
	}
	row := 0 // where the cursor stands
	for len(rows) > 0 {
		if c.level == c.levels && (row == 0 || c.walk.off >= c.walk.ahead) {
			c.walk.expect(rows)
		}
		if err := c.skip(row, int(rows[0])-row); err != nil {
			return err
		}
		row = int(rows[0])
		if c.level == c.levels {
			if err := c.next(0); err != nil {
				return err
			}
			continue
		}
		n := sort.Search(len(rows), func(i int) bool { return int(rows[i])-row >= c.levels-c.level })
		c.pickOfPage(rows[:n], row)
		if err := c.checkSize(); err != nil {
			return err
		}
		last := int(rows[n-1])
		c.forward(last + 1 - row)
		row, rows = last+1, rows[n:]
	}
	return nil
}

// sparse reports whether rows are so few that reading each where it lies takes less than reading their pages, and whether it is known where they lie: plain
// numbers without NULLs end a page that is not compressed. That it is not, its size says; that it is so at all, only of files of our own, of which every byte
// that is read is checked.
func (c *columnCursor[T]) sparse(rows []int32) bool {
	w := c.walk
	m := &w.chunk.MetaData
	if c.view == nil || w.file.sums == nil || w.column.maxRep > 0 || m.Statistics.NullCount > 0 || int64(len(rows))*4*blockBytes > m.TotalCompressedSize {
		return false
	}
	for _, e := range m.Encoding {
		if e != format.Plain && e != format.RLE {
			return false
		}
	}
	width := int64(unsafe.Sizeof(*new(T)))
	for _, r := range rows {
		i := w.indexed(int(r))
		if i < 0 || int64(w.index[i].CompressedPageSize) < width*w.pageRows(i) {
			return false
		}
	}
	return true
}

// pickPlaces collects rows, of which sparse has said that it can.
func (c *columnCursor[T]) pickPlaces(rows []int32) error {
	w, width := c.walk, int64(unsafe.Sizeof(*new(T)))
	c.picked = c.picked[:0]
	for _, r := range rows {
		i := w.indexed(int(r))
		p := &w.index[i]
		at := p.Offset + int64(p.CompressedPageSize) - width*(w.pageRows(i)-int64(r)+p.FirstRowIndex)
		b := w.buffer.at(at, width)
		if b == nil {
			var err error
			if b, err = w.file.read(&w.buffer, at, width); err != nil {
				return err
			}
		}
		c.picked = append(c.picked, c.view(b, 1)...)
	}
	c.sink.add(c.picked)
	return nil
}

// pickOfPage collects rows of the page, which stands at row.
func (c *columnCursor[T]) pickOfPage(rows []int32, row int) {
	if c.defs == nil {
		picked := c.sink.spare(len(rows))
		if picked == nil {
			c.picked = sized(c.picked, len(rows))
			picked = c.picked
		}
		values := c.values[c.value:]
		for i, r := range rows {
			picked[i] = values[int(r)-row]
		}
		c.sink.add(picked)
		return
	}
	c.picked = slices.Grow(c.picked[:0], len(rows))
	c.defsPicked = c.defsPicked[:0]
	level, value := c.level, c.value
	for _, r := range rows {
		to := c.level + int(r) - row
		value += countLevel(c.defs[level:to], c.column.maxDef)
		level = to
		c.defsPicked = append(c.defsPicked, c.defs[to])
		if c.defs[to] == c.column.maxDef {
			c.picked = append(c.picked, c.values[value])
		}
	}
	c.sink.addMasked(c.picked, c.defsPicked, c.column.maxDef)
}

package parquetio

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/asof-store/asof/feature"
)

// listCursor reads lists of scalars. A level that repeats (1) belongs to the list before it, which may have begun
// on an earlier page; a level of 0 begins a row.
type listCursor[T any] struct {
	*columnCursor[T]
	elements int // collected in the sink
}

func (c *listCursor[T]) reserve(rows int) { c.lists.offsets = reserved(c.lists.offsets, rows+1) }

func (c *listCursor[T]) finish() arrow.Array {
	elements := feature.Scalar(c.typ.Kind).Arrow()
	c.elements = 0
	return array.MakeFromData(c.lists.finish(c.typ, c.sink.finish(elements)))
}

// take collects n rows. The last of them is complete only when the next row or the end of the chunk is seen.
func (c *listCursor[T]) take(n int) error { return c.rows(n, c.collect) }

func (c *listCursor[T]) skip(row, n int) error {
	if n == 0 {
		return nil
	}
	if c.level == c.levels {
		var err error
		if n, err = c.walk.seek(row, n); err != nil {
			return err
		}
	} else if i := c.walk.indexed(row + n); i > 0 && c.walk.index[i].Offset > c.walk.off {
		// The rest of this page counts as walked with those jumped over.
		c.level, c.value = c.levels, 0
		var err error
		if n, err = c.walk.seek(row, n); err != nil {
			return err
		}
	}
	return c.rows(n, c.pass)
}

func (c *listCursor[T]) pick(rows []int32) error {
	row := 0
	for _, r := range rows {
		if err := c.skip(row, int(r)-row); err != nil {
			return err
		}
		if err := c.take(1); err != nil {
			return err
		}
		row = int(r) + 1
	}
	return nil
}

// rows hands levels of the next n rows to do, in pieces that lie in one page.
func (c *listCursor[T]) rows(n int, do func(from, to int) error) error {
	if n == 0 {
		return nil
	}
	begun := 0
	for {
		if c.level == c.levels {
			if c.walk.done() {
				break
			}
			if err := c.next(0); err != nil {
				return err
			}
			continue
		}
		from, to, done := c.level, c.level, false
		for ; to < c.levels; to++ {
			if c.reps[to] == 0 {
				if begun == n {
					done = true
					break
				}
				begun++
			} else if begun == 0 {
				return c.walk.corrupt("a row begins with the repetition level %d", c.reps[to])
			}
		}
		if err := do(from, to); err != nil {
			return err
		}
		c.level = to
		if done {
			return nil
		}
	}
	if begun < n {
		return c.walk.corrupt("the column ends before its %d rows", c.walk.file.groups[c.walk.group].Rows)
	}
	return nil
}

// pass moves over the levels [from, to).
func (c *listCursor[T]) pass(from, to int) error {
	if c.defs == nil {
		c.value += to - from
	} else {
		c.value += countLevel(c.defs[from:to], c.column.maxDef)
	}
	return nil
}

// collect adds the levels [from, to) to the sinks.
func (c *listCursor[T]) collect(from, to int) error {
	if len(c.lists.offsets) == 0 {
		c.lists.offsets = append(c.lists.offsets, 0)
	}
	start := c.value
	for i := from; i < to; i++ {
		def := c.column.maxDef
		if c.defs != nil {
			def = c.defs[i]
		}
		if c.reps[i] == 0 {
			c.lists.offsets = append(c.lists.offsets, int32(c.elements))
			if def+1 < c.column.listDef {
				c.lists.valid.addNull()
			} else {
				c.lists.valid.addValid(1)
			}
		} else if def < c.column.listDef {
			return c.walk.corrupt("an empty list has elements")
		}
		switch {
		case def == c.column.maxDef:
			c.elements++
			c.value++
			c.lists.offsets[len(c.lists.offsets)-1] = int32(c.elements)
		case def >= c.column.listDef:
			return feature.Errorf(feature.ErrInvalid, "%s: column %s: a list in row group %d has a NULL element, which is not supported: leave it out, or put a number in its place",
				c.walk.file.path, c.column.info.Path, c.walk.group)
		}
	}
	c.sink.add(c.values[start:c.value])
	if c.elements > offsetMax {
		return feature.Errorf(feature.ErrInvalid, "%s: column %s: more than 2^31 elements in one batch: read fewer rows at once", c.walk.file.path, c.column.info.Path)
	}
	return c.checkSize()
}

package expr

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// column is an Arrow array as kernels see it, a chunk at a time.
type column struct {
	array  arrow.Array
	vector vector // the chunk at hand, if loaded; never pooled, since it may be the array's own memory
	loaded bool
}

// bind finds the columns of the plan and checks them.
func (p *plan) bind(cols func(string) arrow.Array, rows int) ([]*column, error) {
	columns := make([]*column, len(p.columns))
	for i, n := range p.columns {
		a := cols(n.name)
		if a == nil {
			return nil, feature.Errorf(feature.ErrInternal, "expression column %s was not given", n.name)
		}
		if t, ok := feature.TypeOfArrow(a.DataType()); !ok || t != n.typ {
			return nil, feature.Errorf(feature.ErrInternal, "expression column %s has the Arrow type %s where %s is needed", n.name, a.DataType(), n.typ)
		}
		if a.Len() != rows {
			return nil, feature.Errorf(feature.ErrInternal, "expression column %s has %d rows where %d are needed", n.name, a.Len(), rows)
		}
		columns[i] = &column{array: a}
	}
	return columns, nil
}

// load returns the column's values of the frame's chunk, without a copy where the memory is alike.
func (c *column) load(f *frame) *vector {
	if !c.loaded {
		loadVector(&c.vector, c.array, f.from, f.rows, f.capacity)
		c.loaded = true
	}
	return &c.vector
}

// loadVector makes v the rows [from, from+rows) of an Arrow array. Memory of an earlier load of up to capacity rows
// is used again.
func loadVector(v *vector, a arrow.Array, from, rows, capacity int) {
	if v.valid == nil {
		v.valid = newBitmap(capacity)
	}
	if a.NullN() == 0 {
		v.valid.fill(rows)
	} else {
		v.valid.load(a.NullBitmapBytes(), a.Data().Offset()+from, rows)
	}
	to := from + rows
	switch a := a.(type) {
	case *array.Boolean:
		v.layout = physicalBits
		values := reuse[uint64](v, (capacity+63)/64)
		if rows > 0 { // an empty array may have no memory
			bitmap(values).load(a.Data().Buffers()[1].Bytes(), a.Data().Offset()+from, rows)
		}
		v.data = bitmap(values)
	case *array.Int32:
		v.layout, v.data = physicalInt32, a.Int32Values()[from:to]
	case *array.Int64:
		v.layout, v.data = physicalInt64, a.Int64Values()[from:to]
	case *array.Timestamp:
		v.layout, v.data = physicalInt64, arrow.GetData[int64](arrow.GetBytes(a.TimestampValues()[from:to]))
	case *array.Float32:
		v.layout, v.data = physicalFloat32, a.Float32Values()[from:to]
	case *array.Float64:
		v.layout, v.data = physicalFloat64, a.Float64Values()[from:to]
	case *array.String:
		v.layout = physicalString
		values := reuse[string](v, capacity)
		for i := range rows {
			values[i] = a.Value(from + i)
		}
		v.data = values
	case *array.Binary:
		v.layout = physicalString
		values := reuse[string](v, capacity)
		for i := range rows {
			values[i] = a.ValueString(from + i)
		}
		v.data = values
	case *array.List:
		v.layout = physicalList
		v.data = loadLists(reuse[list](v, capacity), a, from, rows)
	}
}

// reuse returns v's values as a slice to write, made anew if there is none.
func reuse[T any](v *vector, size int) []T {
	switch data := v.data.(type) {
	case []T:
		return data
	case bitmap:
		if words, ok := any([]uint64(data)).([]T); ok {
			return words
		}
	}
	return make([]T, size)
}

// loadLists returns the lists of a's rows, whose elements share one vector.
func loadLists(lists []list, a *array.List, from, rows int) []list {
	if rows == 0 {
		return lists
	}
	first, _ := a.ValueOffsets(from)
	_, last := a.ValueOffsets(from + rows - 1)
	elements := &vector{}
	loadVector(elements, a.ListValues(), int(first), int(last-first), int(last-first))
	for i := range rows {
		start, end := a.ValueOffsets(from + i)
		lists[i] = list{elements, int(start - first), int(end - first)}
	}
	return lists
}

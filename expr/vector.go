package expr

import (
	"math/bits"

	"github.com/asof-store/asof/feature"
)

// chunkRows is how many rows a kernel takes at once. Of 256 to 65536, 1024 was the best or next to it for `x * 2 + y`,
// `x > 100 and i < 0 or s is null` and `if(i > 0, x, y)` of BenchmarkEval: 9, 11 and 10 ns a row on a busy machine, where 256 rows
// took 13, 19 and 17 and whole columns of 65536 took 71, 53 and 24, since their intermediate results leave the caches.
const chunkRows = 1024

// physical is how the values of a type lie in memory.
type physical uint8

const (
	physicalBits    physical = iota // bitmap: bool
	physicalInt32                   // []int32
	physicalInt64                   // []int64: int64, timestamp
	physicalFloat32                 // []float32
	physicalFloat64                 // []float64
	physicalString                  // []string: string, bytes
	physicalList                    // []list
	physicals
)

func physicalOf(t feature.Type) physical {
	if t.List {
		return physicalList
	}
	switch t.Kind {
	case feature.Bool:
		return physicalBits
	case feature.Int32:
		return physicalInt32
	case feature.Int64, feature.Timestamp:
		return physicalInt64
	case feature.Float32:
		return physicalFloat32
	case feature.Float64:
		return physicalFloat64
	}
	return physicalString
}

// vector is the values of a chunk. Values at rows that are NULL or not active are anything.
type vector struct {
	valid  bitmap
	data   any // as physical says
	layout physical
	pooled bool // the vector belongs to a frame and is written again after give
}

// list is one value of a list type: elements [from, to) of a vector. The zero list is empty.
type list struct {
	of       *vector
	from, to int
}

func newVector(p physical, rows int) *vector {
	v := &vector{valid: newBitmap(rows), layout: p}
	switch p {
	case physicalBits:
		v.data = newBitmap(rows)
	case physicalInt32:
		v.data = make([]int32, rows)
	case physicalInt64:
		v.data = make([]int64, rows)
	case physicalFloat32:
		v.data = make([]float32, rows)
	case physicalFloat64:
		v.data = make([]float64, rows)
	case physicalString:
		v.data = make([]string, rows)
	case physicalList:
		v.data = make([]list, rows)
	}
	return v
}

// frame is the memory of one run of a plan: the chunk at hand and the vectors that kernels borrow.
type frame struct {
	plan      *plan
	capacity  int    // rows that a pooled vector holds
	from      int    // the chunk's first row in the batch
	rows      int    // the chunk's rows, at most capacity
	all       bitmap // the chunk's rows, all of them active
	columns   []*column
	constants []*vector
	shared    []vector // values with several readers, by their slots
	free      [physicals][]*vector
	masks     []bitmap // free masks
}

// valuesOf returns the values of v for the rows of the chunk.
func valuesOf[T any](f *frame, v *vector) []T { return v.data.([]T)[:f.rows] }

// bitsOf returns the values of a bool vector.
func bitsOf(v *vector) bitmap { return v.data.(bitmap) }

// move goes to another chunk.
func (f *frame) move(from, rows int) {
	f.from, f.rows = from, rows
	f.all.fill(rows)
	for _, c := range f.columns {
		c.loaded = false
	}
}

// take lends a vector for values of type t; its contents are anything. Whoever takes one gives it back, or hands
// it to the caller as its result.
func (f *frame) take(t feature.Type) *vector {
	p := physicalOf(t)
	free := f.free[p]
	if k := len(free); k > 0 {
		f.free[p] = free[:k-1]
		return free[k-1]
	}
	v := newVector(p, f.capacity)
	v.pooled = true
	return v
}

// give takes a result back after its last use.
func (f *frame) give(vs ...*vector) {
	for _, v := range vs {
		if v.pooled {
			f.free[v.layout] = append(f.free[v.layout], v)
		}
	}
}

// mask lends a bitmap.
func (f *frame) mask() bitmap {
	if k := len(f.masks); k > 0 {
		m := f.masks[k-1]
		f.masks = f.masks[:k-1]
		return m
	}
	return newBitmap(f.capacity)
}

// giveMask takes a bitmap back.
func (f *frame) giveMask(m bitmap) { f.masks = append(f.masks, m) }

// copyWhere copies the values and validity of the masked rows.
func (v *vector) copyWhere(from *vector, mask bitmap) {
	for w, m := range mask {
		v.valid[w] = v.valid[w]&^m | from.valid[w]&m
	}
	switch to := v.data.(type) {
	case bitmap:
		for w, m := range mask {
			to[w] = to[w]&^m | from.data.(bitmap)[w]&m
		}
	case []int32:
		copyMasked(to, from.data.([]int32), mask)
	case []int64:
		copyMasked(to, from.data.([]int64), mask)
	case []float32:
		copyMasked(to, from.data.([]float32), mask)
	case []float64:
		copyMasked(to, from.data.([]float64), mask)
	case []string:
		copyMasked(to, from.data.([]string), mask)
	case []list:
		copyMasked(to, from.data.([]list), mask)
	}
}

func copyMasked[T any](to, from []T, mask bitmap) {
	for w, m := range mask {
		base := w << 6
		if m == ^uint64(0) {
			copy(to[base:base+64], from[base:base+64])
			continue
		}
		for ; m != 0; m &= m - 1 { // set bit by set bit: a branch for each row would be mispredicted half the time
			i := base + bits.TrailingZeros64(m)
			to[i] = from[i]
		}
	}
}

// valueAt returns the value of row i, as a literal holds it.
func (v *vector) valueAt(t feature.Type, i int) any {
	if !v.valid.get(i) {
		return nil
	}
	switch data := v.data.(type) {
	case bitmap:
		return data.get(i)
	case []int32:
		return data[i]
	case []int64:
		if t.Kind == feature.Timestamp {
			return feature.Time(data[i])
		}
		return data[i]
	case []float32:
		return data[i]
	case []float64:
		return data[i]
	case []string:
		return data[i]
	}
	return nil
}

// constantVector returns a vector that holds the value in every row.
func constantVector(t feature.Type, value any, rows int) *vector {
	v := newVector(physicalOf(t), rows)
	if value == nil {
		return v
	}
	v.valid.fill(rows)
	switch value := value.(type) {
	case bool:
		if value {
			bitsOf(v).fill(rows)
		}
	case int32:
		fill(v, value)
	case int64:
		fill(v, value)
	case feature.Time:
		fill(v, int64(value))
	case float32:
		fill(v, value)
	case float64:
		fill(v, value)
	case string:
		fill(v, value)
	}
	return v
}

func fill[T any](v *vector, value T) {
	data := v.data.([]T)
	for i := range data {
		data[i] = value
	}
}

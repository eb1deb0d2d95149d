package aggregate

import (
	"errors"
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// FuzzFold folds outside bytes as each of the states that are stored as bytes: they are refused as corrupt, or what they say is
// stored in the one form that it has. More: go test -run '^$' -fuzz FuzzFold -fuzzminimizetime 20x ./aggregate
func FuzzFold(f *testing.F) {
	values := columnOf([]float64{1e300, 1, 1e-300, -2, 0, 3})
	for which, spec := range bytesStates(f) {
		s := spec.New()
		s.Reset(1)
		s.Add(values, Times{}, []Span{{To: int32(values.Len())}})
		columns, err := s.Store()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(which), columns[len(columns)-1].(*array.Binary).Value(0))
	}
	f.Add(uint8(1), []byte{2, 4, 0, 0, 0, 0, 0, 16, 1, 2, 3})
	f.Fuzz(func(t *testing.T, which uint8, stored []byte) {
		specs := bytesStates(t)
		spec := specs[int(which)%len(specs)]
		s := spec.New()
		s.Reset(1)
		if err := s.Fold(bytesColumns(&spec, stored), Times{}, []Span{{To: 1}}); err != nil {
			if !errors.Is(err, feature.ErrCorrupt) {
				t.Fatalf("%x: %v", stored, err)
			}
			return
		}
		first, err := s.Store()
		if err != nil {
			t.Fatal(err)
		}
		again := spec.New()
		again.Reset(1)
		if err := again.Fold(first, Times{}, []Span{{To: 1}}); err != nil {
			t.Fatalf("%x is taken, and what it is stored as, %v, is not: %v", stored, first, err)
		}
		second, err := again.Store()
		if err != nil {
			t.Fatal(err)
		}
		for i := range first {
			if bitsOf(first[i]) != bitsOf(second[i]) {
				t.Fatalf("%x is stored as %v, and that as %v", stored, first, second)
			}
		}
	})
}

// bytesStates are the states that are stored as bytes, or can be.
func bytesStates(t testing.TB) []Spec {
	var specs []Spec
	for _, name := range []string{"sum", "approx_count_distinct", "approx_percentile", "var_pop"} {
		call, err := New(feature.Aggregation{Function: name, Input: feature.Field{Name: "x", Type: feature.Scalar(feature.Float64)}, Parameters: parametersOf(name)})
		if err != nil {
			t.Fatal(err)
		}
		specs = append(specs, call.Specs[len(call.Specs)-1])
	}
	return specs
}

// bytesColumns returns a tile whose bytes are the given ones.
func bytesColumns(spec *Spec, stored []byte) []arrow.Array {
	var columns []arrow.Array
	for _, c := range spec.Columns {
		if c.Type.Kind != feature.Bytes {
			columns = append(columns, columnOf([]float64{1}))
			continue
		}
		b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
		b.Append(stored)
		columns = append(columns, b.NewArray())
	}
	return columns
}

// TestStoredBytes pins the bytes of stored states, which docs/format/states.md describes.
func TestStoredBytes(t *testing.T) {
	for which, c := range []struct {
		values []float64
		want   string
	}{
		{[]float64{1e20, 1, -1e-20}, "00007715af1d78b58c400003ffffffffffffffff431af79b6deee8"},
		{[]float64{1, 2, 2, 3}, "02040001000000000000000302f218520000000c8c8cbf028ad7880fbccd8006"},
		{[]float64{1, 2, 2, -3, 0}, "0104b580801001b68080100180808010012202"},
		{[]float64{1, 1e-20, 3}, "0000eea0000000000000000000000000000000008b61313bbabcde78723240843240"},
	} {
		spec := bytesStates(t)[which]
		s := spec.New()
		s.Reset(1)
		s.Add(columnOf(c.values), Times{}, []Span{{To: int32(len(c.values))}})
		columns, err := s.Store()
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", columns[len(columns)-1].(*array.Binary).Value(0)); got != c.want {
			t.Errorf("%s of %v is stored as %s, want %s", spec.Name(), c.values, got, c.want)
		}
	}
}

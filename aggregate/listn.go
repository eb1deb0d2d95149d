package aggregate

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// firstNFunction is first_n: the values of the earliest n rows, oldest first.
func firstNFunction() functionEntry { return endsFunction("first", false) }

// lastNFunction is last_n: the values of the latest n rows, oldest first.
func lastNFunction() functionEntry { return endsFunction("last", true) }

func endsFunction(which string, latest bool) functionEntry {
	return functionEntry{name: which + "_n", parameters: []string{"n"}, call: func(a feature.Aggregation) (*Call, error) {
		if err := needScalar(a.Input.Type); err != nil {
			return nil, err
		}
		if a.N < 1 {
			return nil, feature.Errorf(feature.ErrInvalid, "needs n of at least 1, not %d", a.N)
		}
		list := feature.ListOf(a.Input.Type.Kind)
		spec := Spec{
			Columns: []feature.Field{{Name: fmt.Sprintf("%s__%s_%d", a.Input.Name, which, a.N), Type: list}},
			Timed:   true,
			New:     func() States { return newLists(a.Input.Type, a.N, latest) },
		}
		return &Call{Type: list, Specs: []Spec{spec}, Finish: finishStored}, nil
	}}
}

func newLists(t feature.Type, n int, latest bool) States {
	return byType(t, scalars[States]{
		bool:      func(c *codec[bool]) States { return &lists[bool]{codec: c, n: n, latest: latest} },
		int32:     func(c *codec[int32]) States { return &lists[int32]{codec: c, n: n, latest: latest} },
		int64:     func(c *codec[int64]) States { return &lists[int64]{codec: c, n: n, latest: latest} },
		float32:   func(c *codec[float32]) States { return &lists[float32]{codec: c, n: n, latest: latest} },
		float64:   func(c *codec[float64]) States { return &lists[float64]{codec: c, n: n, latest: latest} },
		timestamp: func(c *codec[arrow.Timestamp]) States { return &lists[arrow.Timestamp]{codec: c, n: n, latest: latest} },
		string:    func(c *codec[string]) States { return &lists[string]{codec: c, n: n, latest: latest} },
	})
}

// element is an element of a list. Those that come from one tile have its times, and their places in its list.
type element[T any] struct {
	dated[T]
	place int32
}

// lists are the earliest or latest n values of groups, oldest first.
type lists[T any] struct {
	codec  *codec[T]
	n      int
	latest bool
	items  [][]element[T]
}

func (l *lists[T]) Reset(n int) { l.items = zeroed(l.items, n) }

func (l *lists[T]) compare(a, b element[T]) int {
	if a.event == b.event && a.created == b.created && a.place != b.place {
		return cmp.Compare(a.place, b.place)
	}
	return l.codec.compare(a.dated, b.dated)
}

// insert takes e into group g, and drops what is then too much; it reports whether e stays. Values are kept as they are.
func (l *lists[T]) insert(g int, e element[T]) bool {
	items := l.items[g]
	at, _ := slices.BinarySearchFunc(items, e, l.compare)
	if len(items) == l.n {
		if l.latest && at == 0 || !l.latest && at == l.n {
			return false
		}
		if l.latest {
			copy(items, items[1:at])
			items[at-1] = e
		} else {
			copy(items[at+1:], items[at:])
			items[at] = e
		}
		return true
	}
	l.items[g] = slices.Insert(items, at, e)
	return true
}

func (l *lists[T]) Add(values arrow.Array, times Times, spans []Span) {
	column, _ := l.codec.read(values)
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			if values.IsValid(int(i)) {
				event, created := times.at(i)
				l.insert(int(s.Group), element[T]{dated: dated[T]{event, created, l.codec.keep(column[i])}})
			}
		}
	}
}

func (l *lists[T]) Fold(tiles []arrow.Array, times Times, spans []Span) error {
	column, ok := tiles[0].(*array.List)
	if !ok {
		return wrongColumn(feature.ListOf(l.codec.t.Kind))
	}
	values, ok := l.codec.read(column.ListValues())
	if !ok || column.ListValues().NullN() > 0 {
		return wrongColumn(feature.ListOf(l.codec.t.Kind))
	}
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			if column.IsNull(int(i)) {
				continue
			}
			event, created := times.at(i)
			from, to := column.ValueOffsets(int(i))
			for j := from; j < to; j++ {
				l.insert(int(s.Group), element[T]{dated[T]{event, created, l.codec.keep(values[j])}, int32(j - from)})
			}
		}
	}
	return nil
}

func (l *lists[T]) Merge(dst int, from States, src int) {
	for _, e := range from.(*lists[T]).items[src] {
		l.insert(dst, e)
	}
}

func (l *lists[T]) Store() ([]arrow.Array, error) {
	b := array.NewListBuilder(memory.DefaultAllocator, l.codec.t.Arrow())
	for _, items := range l.items {
		if b.Append(len(items) > 0); len(items) == 0 {
			continue
		}
		for _, e := range items {
			l.codec.append(b.ValueBuilder(), e.value)
		}
	}
	return []arrow.Array{b.NewArray()}, nil
}

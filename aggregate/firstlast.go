package aggregate

import (
	"cmp"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
)

// firstFunction is first: the value of the earliest row.
func firstFunction() functionEntry { return endFunction("first", false) }

// lastFunction is last: the value of the latest row.
func lastFunction() functionEntry { return endFunction("last", true) }

func endFunction(name string, latest bool) functionEntry {
	return functionEntry{name: name, call: func(a feature.Aggregation) (*Call, error) {
		if err := needScalar(a.Input.Type); err != nil {
			return nil, err
		}
		spec := Spec{
			Columns: []feature.Field{{Name: a.Input.Name + "__" + name, Type: a.Input.Type}},
			Timed:   true,
			New:     func() States { return newEnds(a.Input.Type, latest) },
		}
		return &Call{Type: a.Input.Type, Specs: []Spec{spec}, Finish: finishStored}, nil
	}}
}

func newEnds(t feature.Type, latest bool) States {
	return byType(t, scalars[States]{
		bool:      func(c *codec[bool]) States { return &ends[bool]{codec: c, latest: latest} },
		int32:     func(c *codec[int32]) States { return &ends[int32]{codec: c, latest: latest} },
		int64:     func(c *codec[int64]) States { return &ends[int64]{codec: c, latest: latest} },
		float32:   func(c *codec[float32]) States { return &ends[float32]{codec: c, latest: latest} },
		float64:   func(c *codec[float64]) States { return &ends[float64]{codec: c, latest: latest} },
		timestamp: func(c *codec[arrow.Timestamp]) States { return &ends[arrow.Timestamp]{codec: c, latest: latest} },
		string:    func(c *codec[string]) States { return &ends[string]{codec: c, latest: latest} },
	})
}

// dated is a value with the times of its row. Of rows of equal times the greater value is the later one.
type dated[T any] struct {
	event, created int64
	value          T
}

func (c *codec[T]) compare(a, b dated[T]) int {
	if order := cmp.Or(cmp.Compare(a.event, b.event), cmp.Compare(a.created, b.created)); order != 0 {
		return order
	}
	switch {
	case c.less(a.value, b.value):
		return -1
	case c.less(b.value, a.value):
		return 1
	}
	return 0
}

// at returns the value of row i with its times.
func (t Times) at(i int32) (event, created int64) {
	if t.Created != nil {
		created = t.Created[i]
	}
	return t.Events[i], created
}

// ends are earliest or latest values.
type ends[T any] struct {
	codec  *codec[T]
	latest bool
	best   []dated[T]
	has    []bool
}

func (e *ends[T]) Reset(n int) { e.best, e.has = zeroed(e.best, n), zeroed(e.has, n) }

func (e *ends[T]) Add(values arrow.Array, times Times, spans []Span) {
	column, _ := e.codec.read(values)
	e.add(column, values, times, spans)
}

func (e *ends[T]) Fold(tiles []arrow.Array, times Times, spans []Span) error {
	column, ok := e.codec.read(tiles[0])
	if !ok {
		return wrongColumn(e.codec.t)
	}
	e.add(column, tiles[0], times, spans)
	return nil
}

func (e *ends[T]) add(column []T, values arrow.Array, times Times, spans []Span) {
	nulls := values.NullN() > 0
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			if nulls && values.IsNull(int(i)) {
				continue
			}
			d := dated[T]{value: column[i]}
			d.event, d.created = times.at(i)
			if e.better(int(s.Group), d) {
				d.value = e.codec.keep(d.value)
				e.best[s.Group], e.has[s.Group] = d, true
			}
		}
	}
}

// better reports whether d belongs into group g in place of what is there.
func (e *ends[T]) better(g int, d dated[T]) bool {
	if !e.has[g] {
		return true
	}
	order := e.codec.compare(d, e.best[g])
	return e.latest && order > 0 || !e.latest && order < 0
}

func (e *ends[T]) Merge(dst int, from States, src int) {
	f := from.(*ends[T])
	if f.has[src] && e.better(dst, f.best[src]) {
		e.best[dst], e.has[dst] = f.best[src], true
	}
}

func (e *ends[T]) Store() ([]arrow.Array, error) {
	values := make([]T, len(e.best))
	for i, d := range e.best {
		values[i] = d.value
	}
	return []arrow.Array{e.codec.column(values, e.has)}, nil
}

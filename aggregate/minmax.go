package aggregate

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
)

// minFunction is min: the least value.
func minFunction() functionEntry { return extremeFunction("min", false) }

// maxFunction is max: the greatest value; NaN is greater than any other.
func maxFunction() functionEntry { return extremeFunction("max", true) }

func extremeFunction(name string, greatest bool) functionEntry {
	return functionEntry{name: name, call: func(a feature.Aggregation) (*Call, error) {
		if err := needScalar(a.Input.Type); err != nil {
			return nil, err
		}
		spec := Spec{
			Columns: []feature.Field{{Name: a.Input.Name + "__" + name, Type: a.Input.Type}},
			New:     func() States { return newExtremes(a.Input.Type, greatest) },
		}
		return &Call{Type: a.Input.Type, Specs: []Spec{spec}, Finish: finishStored}, nil
	}}
}

// finishStored is the Finish of functions whose result is their stored state.
func finishStored(states []States) (arrow.Array, error) {
	columns, err := states[0].Store()
	if err != nil {
		return nil, err
	}
	return columns[0], nil
}

func newExtremes(t feature.Type, greatest bool) States {
	return byType(t, scalars[States]{
		bool:      func(c *codec[bool]) States { return extremesOf(c, greatest) },
		int32:     func(c *codec[int32]) States { return extremesOf(c, greatest) },
		int64:     func(c *codec[int64]) States { return extremesOf(c, greatest) },
		float32:   func(c *codec[float32]) States { return extremesOf(c, greatest) },
		float64:   func(c *codec[float64]) States { return extremesOf(c, greatest) },
		timestamp: func(c *codec[arrow.Timestamp]) States { return extremesOf(c, greatest) },
		string:    func(c *codec[string]) States { return extremesOf(c, greatest) },
	})
}

// extremes are least or greatest values.
type extremes[T any] struct {
	codec *codec[T]
	pick  func(best T, values []T) T // the best of all
	best  []T
	has   []bool
}

func extremesOf[T any](c *codec[T], greatest bool) States {
	e := &extremes[T]{codec: c, pick: c.least}
	if greatest {
		e.pick = c.greatest
	}
	return e
}

func (e *extremes[T]) Reset(n int) { e.best, e.has = zeroed(e.best, n), zeroed(e.has, n) }

func (e *extremes[T]) Add(values arrow.Array, _ Times, spans []Span) {
	column, _ := e.codec.read(values)
	e.add(column, values, spans)
}

func (e *extremes[T]) Fold(tiles []arrow.Array, _ Times, spans []Span) error {
	column, ok := e.codec.read(tiles[0])
	if !ok {
		return wrongColumn(e.codec.t)
	}
	e.add(column, tiles[0], spans)
	return nil
}

func (e *extremes[T]) add(column []T, values arrow.Array, spans []Span) {
	if values.NullN() == 0 {
		for _, s := range spans {
			e.addAll(s.Group, column[s.From:s.To])
		}
		return
	}
	for _, s := range spans {
		for i := s.From; i < s.To; i++ {
			if values.IsValid(int(i)) {
				e.addAll(s.Group, column[i:i+1])
			}
		}
	}
}

// addAll takes values into a group.
func (e *extremes[T]) addAll(group int32, values []T) {
	if len(values) == 0 {
		return
	}
	best := values[0]
	if e.has[group] {
		best = e.best[group]
	}
	e.best[group], e.has[group] = e.codec.keep(e.pick(best, values)), true
}

func (e *extremes[T]) Merge(dst int, from States, src int) {
	f := from.(*extremes[T])
	switch {
	case !f.has[src]:
	case e.has[dst]:
		e.best[dst] = e.pick(e.best[dst], f.best[src:src+1])
	default:
		e.best[dst], e.has[dst] = f.best[src], true
	}
}

func (e *extremes[T]) Store() ([]arrow.Array, error) {
	return []arrow.Array{e.codec.column(e.best, e.has)}, nil
}

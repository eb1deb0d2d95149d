package online

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// Column is the answer for one feature: one entry in each slice for each key asked for.
type Column struct {
	Name string
	Type feature.Type
	// Ref is the index of the service's ref that the feature belongs to; -1 for an on-demand feature, and 0 in the answer of Get.
	Ref int
	// Values has the default, or NULL, where the status is not PRESENT.
	Values   arrow.Array
	Statuses []feature.Status
	// Found tells which keys have a row, expired or not, and EventTimes when it happened. Columns of one ref share them. What is
	// computed on demand comes from no row: nothing is found.
	Found      []bool
	EventTimes []feature.Time
}

// Get returns the features of view, given by their indices, for each of keys as of now. A nil key stands for one with a NULL
// part: nothing is found for it, unless the entity is global. Keys may repeat, and are read once. A view that was
// never published has no keys; one whose definition has changed since is ErrUnavailable.
func (s *Store) Get(ctx context.Context, view *feature.View, features []int, keys []feature.Key, now feature.Time) ([]Column, error) {
	q := &question{view: view, keys: keys}
	if err := s.fetch(ctx, []*question{q}); err != nil {
		return nil, err
	}
	return q.answer(features, now)
}

// RedefinedError tells that the values of a view were published by another definition than the one that was asked for. It is of
// kind [feature.ErrUnavailable].
type RedefinedError struct{ View string }

// Error says what to do.
func (e *RedefinedError) Error() string {
	return fmt.Sprintf("view %s has changed since its values were published: run asof materialize %s", e.View, e.View)
}

// Unwrap gives the error its kind.
func (e *RedefinedError) Unwrap() error { return feature.Errorf(feature.ErrUnavailable, "redefined") }

// question asks for the rows of keys. fetch fills in the rest.
type question struct {
	view   *feature.View
	keys   []feature.Key
	state  State
	layout *layout  // nil when the view was never published
	values [][]byte // by key, nil where there is none
}

// want is one key of one question.
type want struct {
	stored   []byte
	question int
	row      int
}

// fetch reads the values that questions ask for: in one snapshot, in the order of the store's keys, each key once.
func (s *Store) fetch(ctx context.Context, questions []*question) error {
	return s.kv.View(func(r Reader) error {
		var wants []want
		for i, q := range questions {
			if err := s.resolve(r, q); err != nil {
				return err
			}
			wants = q.appendWants(wants, i)
		}
		slices.SortFunc(wants, func(a, b want) int { return bytes.Compare(a.stored, b.stored) })
		size := 0
		for _, w := range wants {
			size += questions[w.question].layout.variable
		}
		buffer := make([]byte, 0, size)
		for i, w := range wants {
			q := questions[w.question]
			if i > 0 && bytes.Equal(w.stored, wants[i-1].stored) {
				before := wants[i-1]
				q.values[w.row] = questions[before.question].values[before.row]
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			from, found := len(buffer), false
			var err error
			// A buffer that moves as it grows leaves the values that were read before where they are.
			if buffer, found, err = r.Get(buffer, w.stored); err != nil {
				return err
			}
			if !found {
				continue
			}
			value := buffer[from:len(buffer):len(buffer)]
			if err := q.layout.validate(w.stored, value); err != nil {
				return feature.Errorf(feature.ErrCorrupt, "view %s: %w", q.view.Name, err)
			}
			q.values[w.row] = value
		}
		return nil
	})
}

// resolve finds the state and the layout of q's view.
func (s *Store) resolve(r Reader, q *question) error {
	q.values = make([][]byte, len(q.keys))
	if !q.view.Online {
		return notOnline(q.view.Name)
	}
	state, known, err := readState(r, q.view.Name)
	if err != nil || !known {
		return err
	}
	l, err := s.layout(r, state.SchemaID)
	if err != nil {
		return err
	}
	if state.Hash != q.view.ServedHash() {
		return &RedefinedError{View: q.view.Name}
	}
	q.state, q.layout = state, l
	return nil
}

// appendWants appends what q needs from the store.
func (q *question) appendWants(wants []want, index int) []want {
	if q.layout == nil {
		return wants
	}
	size := 0
	for _, key := range q.keys {
		size += viewIDBytes + len(key)
	}
	prefix, buffer := valuePrefix(q.state.ViewID), make([]byte, 0, size)
	wants = slices.Grow(wants, len(q.keys))
	for row, key := range q.keys {
		if (key == nil && len(q.view.Keys) > 0) || len(key) > maxKeyBytes {
			continue // a NULL part, or longer than any that is stored
		}
		from := len(buffer)
		buffer = append(append(buffer, prefix...), key...)
		wants = append(wants, want{stored: buffer[from:], question: index, row: row})
	}
	return wants
}

// answer projects the chosen features out of the values that were read.
func (q *question) answer(features []int, now feature.Time) ([]Column, error) {
	n := len(q.keys)
	found, events, whole := make([]bool, n), make([]feature.Time, n), make([]feature.Status, n)
	for i, v := range q.values {
		if v == nil {
			whole[i] = feature.NotFound
			continue
		}
		found[i], events[i], whole[i] = true, timeAt(v, eventAt), feature.Present
		if q.view.Expired(events[i], now) {
			whole[i] = feature.Expired
		}
	}
	columns := make([]Column, len(features))
	for c, f := range features {
		ft := &q.view.Features[f]
		columns[c] = Column{Name: ft.Name, Type: ft.Type, Found: found, EventTimes: events}
		var err error
		if columns[c].Values, columns[c].Statuses, err = q.column(f, whole); err != nil {
			return nil, err
		}
	}
	return columns, nil
}

// column returns the values and statuses of a feature; whole has the statuses of the rows.
func (q *question) column(index int, whole []feature.Status) (arrow.Array, []feature.Status, error) {
	f := &q.view.Features[index]
	at := -1
	if q.layout != nil {
		if at = q.layout.index(index, f.Field); at < 0 {
			return nil, nil, feature.Errorf(feature.ErrUnavailable, "view %s: its published values have no feature %s (%s): run asof materialize %s",
				q.view.Name, f.Name, f.Type, q.view.Name)
		}
	}
	b := array.NewBuilder(memory.DefaultAllocator, f.Type.Arrow())
	b.Reserve(len(whole))
	add := appender(b)
	statuses := make([]feature.Status, len(whole))
	for i, status := range whole {
		if status == feature.Present {
			if !q.layout.isNull(q.values[i], at) {
				add(q.layout.bytes(q.values[i], at))
				statuses[i] = status
				continue
			}
			status = feature.Null
		}
		statuses[i] = status
		if err := feature.AppendValue(b, f.Default); err != nil {
			return nil, nil, feature.Errorf(feature.ErrInternal, "default of feature %s of view %s: %w", f.Name, q.view.Name, err)
		}
	}
	return b.NewArray(), statuses, nil
}

// goValues returns the fields of a checked value as Go values.
func (l *layout) goValues(value []byte) []any {
	values := make([]any, len(l.fields))
	for i, f := range l.fields {
		if l.isNull(value, i) {
			continue
		}
		b := array.NewBuilder(memory.DefaultAllocator, f.Type.Arrow())
		appender(b)(l.bytes(value, i))
		values[i] = goValue(b.NewArray(), 0)
	}
	return values
}

// goValue returns value i of a column as a Go value, nil for NULL. Lists come as []any, for an element may be NULL.
func goValue(column arrow.Array, i int) any {
	if column.IsNull(i) {
		return nil
	}
	switch c := column.(type) {
	case *array.Boolean:
		return c.Value(i)
	case *array.Int32:
		return c.Value(i)
	case *array.Int64:
		return c.Value(i)
	case *array.Float32:
		return c.Value(i)
	case *array.Float64:
		return c.Value(i)
	case *array.String:
		return c.Value(i)
	case *array.Binary:
		return c.Value(i)
	case *array.Timestamp:
		return feature.Time(c.Value(i))
	case *array.List:
		from, to := c.ValueOffsets(i)
		list := make([]any, 0, to-from)
		for j := from; j < to; j++ {
			list = append(list, goValue(c.ListValues(), int(j)))
		}
		return list
	}
	panic("online: no feature type has columns of " + column.DataType().String())
}

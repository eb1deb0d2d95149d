package online

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sync/errgroup"

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

// fetch reads the values that questions ask for: in one snapshot, in the order of the store's keys, each key once. What is in the cache is not read.
func (s *Store) fetch(ctx context.Context, questions []*question) error {
	s.lookups.Add(1)
	before, generation := s.remembered.Load(), s.cache.generation()
	return s.kv.View(func(r Reader) error {
		if err := s.resolve(r, before, questions); err != nil {
			return err
		}
		var wants []want
		size := 0
		for i, q := range questions {
			from := len(wants)
			wants = q.appendWants(wants, i)
			if q.layout != nil {
				size += (len(wants) - from) * (q.layout.variable + generationBytes)
			}
		}
		// A buffer that moves as it grows leaves the values that were read before where they are.
		buffer := make([]byte, 0, size)
		buffer, wants = s.cached(buffer, wants, questions, generation)
		slices.SortFunc(wants, func(a, b want) int { return bytes.Compare(a.stored, b.stored) })
		if err := readAll(ctx, r, buffer, wants, questions); err != nil || s.cache == nil || len(wants) == 0 {
			return err
		}
		s.cache.put(generation, func(add func(key, row []byte)) {
			for _, w := range wants {
				add(w.stored, questions[w.question].values[w.row])
			}
		})
		return nil
	})
}

// cached answers from the cache what it can, and returns the wants that are left.
func (s *Store) cached(buffer []byte, wants []want, questions []*question, generation uint64) ([]byte, []want) {
	if s.cache == nil {
		return buffer, wants
	}
	left := wants[:0]
	for _, w := range wants {
		var row []byte
		var known bool
		if buffer, row, known = s.cache.get(buffer, w.stored, generation); !known {
			left = append(left, w)
		} else if len(row) > 0 {
			questions[w.question].values[w.row] = row
		}
	}
	return buffer, left
}

// wantsTogether is how many keys are worth a goroutine: they take some hundred microseconds to read.
const wantsTogether = 64

// readAll is readWants, by several goroutines where there is much to read.
func readAll(ctx context.Context, r Reader, buffer []byte, wants []want, questions []*question) error {
	readers := min(runtime.GOMAXPROCS(0), len(wants)/wantsTogether)
	if readers < 2 {
		return readWants(ctx, r, buffer, wants, questions)
	}
	var group errgroup.Group
	free := (cap(buffer) - len(buffer)) / readers
	for i := range readers {
		part, at := wants[i*len(wants)/readers:(i+1)*len(wants)/readers], len(buffer)+i*free
		group.Go(func() error { return readWants(ctx, r, buffer[at:at:at+free], part, questions) })
	}
	return group.Wait()
}

// readWants reads wants, which are in the order of keys, with the memory of buffer as far as it goes.
func readWants(ctx context.Context, r Reader, buffer []byte, wants []want, questions []*question) error {
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
	columns, statuses := make([]Column, len(features)), make([]feature.Status, n*len(features))
	for c, f := range features {
		ft, at := &q.view.Features[f], -1
		if q.layout != nil {
			if at = q.layout.index(f, ft.Field); at < 0 {
				return nil, feature.Errorf(feature.ErrUnavailable, "view %s: its published values have no feature %s (%s): run asof materialize %s",
					q.view.Name, ft.Name, ft.Type, q.view.Name)
			}
		}
		columns[c] = Column{Name: ft.Name, Type: ft.Type, Statuses: statuses[c*n : (c+1)*n : (c+1)*n], Found: found, EventTimes: events}
		copy(columns[c].Statuses, whole)
		var err error
		if columns[c].Values, err = q.column(ft, at, columns[c].Statuses); err != nil {
			return nil, feature.Errorf(feature.ErrInternal, "default of feature %s of view %s: %w", ft.Name, q.view.Name, err)
		}
	}
	return columns, nil
}

// column returns the values of a feature, which is field at of the layout. Statuses has those of the rows, and gets those of the values.
func (q *question) column(f *feature.Feature, at int, statuses []feature.Status) (arrow.Array, error) {
	switch fixedWidth(f.Type) {
	case 4:
		return fixedColumn(q, f, at, statuses, binary.LittleEndian.Uint32)
	case 8:
		return fixedColumn(q, f, at, statuses, binary.LittleEndian.Uint64)
	}
	b := array.NewBuilder(memory.DefaultAllocator, f.Type.Arrow())
	b.Reserve(len(statuses))
	add := appender(b)
	for i, status := range statuses {
		switch {
		case status == feature.Present && !q.layout.isNull(q.values[i], at):
			add(q.layout.bytes(q.values[i], at))
			continue
		case status == feature.Present:
			statuses[i] = feature.Null
		}
		if err := feature.AppendValue(b, f.Default); err != nil {
			return nil, err
		}
	}
	return b.NewArray(), nil
}

// fixedColumn is column for values of 4 or 8 bytes, whose bits it takes as they are stored: a builder costs several times as much.
func fixedColumn[T uint32 | uint64](q *question, f *feature.Feature, at int, statuses []feature.Status, bitsOf func([]byte) T) (arrow.Array, error) {
	n := len(statuses)
	bits, missing, slot := make([]T, n), 0, 0
	if at >= 0 {
		slot = q.layout.slots[at].at
	}
	for i, status := range statuses {
		if status == feature.Present && !q.layout.isNull(q.values[i], at) {
			bits[i] = bitsOf(q.values[i][slot:])
			continue
		}
		if status == feature.Present {
			statuses[i] = feature.Null
		}
		missing++
	}
	var valid *memory.Buffer
	if missing > 0 && f.Default != nil {
		b := array.NewBuilder(memory.DefaultAllocator, f.Type.Arrow())
		if err := feature.AppendValue(b, f.Default); err != nil {
			return nil, err
		}
		byDefault := arrow.GetData[T](b.NewArray().Data().Buffers()[1].Bytes())[0]
		for i, status := range statuses {
			if status != feature.Present {
				bits[i] = byDefault
			}
		}
		missing = 0
	}
	if missing > 0 {
		nulls := make([]byte, (n+7)/8)
		for i, status := range statuses {
			if status == feature.Present {
				nulls[i/8] |= 1 << (i % 8)
			}
		}
		valid = memory.NewBufferBytes(nulls)
	}
	return array.MakeFromData(array.NewData(f.Type.Arrow(), n, []*memory.Buffer{valid, memory.NewBufferBytes(arrow.GetBytes(bits))}, nil, missing, 0)), nil
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

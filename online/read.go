package online

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
)

// Get returns the features of view, given by their indices, for each of keys as of now. A nil key stands for one with a NULL
// part: nothing is found for it, unless the entity is global. Keys may repeat, and are read once. A view that was
// never published has no keys; one whose definition has changed since is ErrUnavailable.
func (s *Store) Get(ctx context.Context, view *feature.View, features []int, keys []feature.Key, now feature.Time) ([]*Column, error) {
	sc := s.takeScratch()
	defer s.giveBack(sc)
	sc.questions = append(sc.questions, question{view: view, keys: keys})
	if err := s.fetch(ctx, sc); err != nil {
		return nil, err
	}
	return sc.questions[0].answer(features, now)
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

// scratch is what a lookup needs until its columns are made, which keep nothing of it. It serves one lookup after another, since it is most of the memory that
// a lookup takes.
type scratch struct {
	questions []question
	keys      []feature.Key // of all questions
	encoded   []byte        // the bytes of keys, and of the store's keys
	values    [][]byte      // of all questions
	wants     []want
	rows      []byte // the bytes of values
}

// scratchMax bounds the bytes of rows in a scratch that is kept.
const scratchMax = 1 << 20

// takeScratch returns an empty scratch.
func (s *Store) takeScratch() *scratch {
	if sc, is := s.scratches.Get().(*scratch); is {
		return sc
	}
	return &scratch{}
}

// giveBack keeps sc for another lookup.
func (s *Store) giveBack(sc *scratch) {
	if cap(sc.rows) <= scratchMax {
		clear(sc.questions)
		*sc = scratch{sc.questions[:0], sc.keys[:0], sc.encoded[:0], sc.values[:0], sc.wants[:0], sc.rows[:0]}
		s.scratches.Put(sc)
	}
}

// fetch reads the values that the questions of sc ask for: in one snapshot, in the order of the store's keys, each key once. What is in the cache is not read.
func (s *Store) fetch(ctx context.Context, sc *scratch) error {
	s.lookups.Add(1)
	before, generation := s.remembered.Load(), s.cache.generation()
	return s.kv.View(func(r Reader) error {
		if err := s.resolve(r, before, sc.questions); err != nil {
			return err
		}
		sc.want()
		left := s.cached(sc, generation)
		slices.SortFunc(left, func(a, b want) int { return bytes.Compare(a.stored, b.stored) })
		if err := readAll(ctx, r, sc.rows, left, sc.questions); err != nil || s.cache == nil || len(left) == 0 {
			return err
		}
		s.cache.put(generation, func(add func(key, row []byte)) {
			for _, w := range left {
				add(w.stored, sc.questions[w.question].values[w.row])
			}
		})
		return nil
	})
}

// cached answers from the cache what it can, and returns the wants that are left.
func (s *Store) cached(sc *scratch, generation uint64) []want {
	if s.cache == nil {
		return sc.wants
	}
	left := sc.wants[:0]
	for _, w := range sc.wants {
		var row []byte
		var known bool
		if sc.rows, row, known = s.cache.get(sc.rows, w.stored, generation); !known {
			left = append(left, w)
		} else if len(row) > 0 {
			sc.questions[w.question].values[w.row] = row
		}
	}
	return left
}

// wantsTogether is how many keys are worth a goroutine: they take some hundred microseconds to read.
const wantsTogether = 64

// readAll is readWants, by several goroutines where there is much to read.
func readAll(ctx context.Context, r Reader, buffer []byte, wants []want, questions []question) error {
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
func readWants(ctx context.Context, r Reader, buffer []byte, wants []want, questions []question) error {
	for i, w := range wants {
		q := &questions[w.question]
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

// want finds what has to be read of the store, and makes room for it. A buffer that moves as it grows leaves what lies in it where it is.
func (sc *scratch) want() {
	keys, size := 0, 0
	for i := range sc.questions {
		keys += len(sc.questions[i].keys)
	}
	sc.values = slices.Grow(sc.values, keys)[:keys]
	clear(sc.values)
	at := 0
	for i := range sc.questions {
		q := &sc.questions[i]
		q.values = sc.values[at : at+len(q.keys)]
		at += len(q.keys)
		if q.layout == nil {
			continue
		}
		before := len(sc.wants)
		sc.wantAll(i)
		size += (len(sc.wants) - before) * (q.layout.variable + generationBytes)
	}
	sc.rows = slices.Grow(sc.rows, size)
}

// wantAll appends all keys of a question to the wants.
func (sc *scratch) wantAll(index int) {
	q := &sc.questions[index]
	prefix := valuePrefix(q.state.ViewID)
	for row, key := range q.keys {
		if (key == nil && len(q.view.Keys) > 0) || len(key) > maxKeyBytes {
			continue // a NULL part, or longer than any that is stored
		}
		from := len(sc.encoded)
		sc.encoded = append(append(sc.encoded, prefix...), key...)
		sc.wants = append(sc.wants, want{stored: sc.encoded[from:len(sc.encoded):len(sc.encoded)], question: index, row: row})
	}
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

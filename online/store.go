package online

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/asof-store/asof/feature"
)

// Options change how a store is opened. The zero value is a good start.
type Options struct {
	// ReadOnly opens an existing store for reading alone, beside other readers, and never beside a writer.
	ReadOnly bool
	// Logger hears of what Badger does; nil is slog.Default(). Ordinary life is told at debug level.
	Logger *slog.Logger
	// CacheBytes is what a cache of rows may take, about, beside Go's heap: what has been looked up is then in memory for later lookups. At least
	// 32 MiB, where it is not 0: no cache.
	CacheBytes int64
	// Rest is how many times as long as it has worked a publication rests, while lookups come in, so that they find processors. 0: it works on.
	Rest float64
	// BulkBytes is from how many bytes on a rebuild is written past Badger's log and levels, to files of its own; 0: 4 MiB.
	BulkBytes int64
	// Step, if any, is called with done=false just before and done=true just after each durable effect: "schema"
	// (the fields of a rebuild), "mark" (a publication in place begins), "values", "load" (all values of a rebuild are there), "state" (the
	// publication counts), "clean" (what it replaced is removed), "drop" (a view is removed). An error that it returns aborts the operation.
	Step func(name string, done bool) error
}

// Store holds the published values of views. Its methods may be called from several goroutines at once.
type Store struct {
	kv      KV
	options Options
	cache   *cache // nil without

	remembered atomic.Pointer[remembered]
	lookups    atomic.Int64 // that have begun
	scratches  sync.Pool    // of *scratch

	mu         sync.Mutex
	layouts    map[uint32]*layout // by schema id, which is never used twice while the store is open
	publishing map[string]bool
	lastView   uint32
	lastSchema uint32
}

// Open opens the store in the directory path and creates it if need be. The directory belongs to one process: another one gets
// ErrUnavailable. All files are read first: damage is ErrCorrupt, which names the file and after which SetAside makes room for a new store.
// What a crash has left of unfinished rebuilds is removed. The caller closes the store.
func Open(path string, o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	kv, err := openBadger(path, o.ReadOnly, o.Logger)
	if err != nil {
		return nil, err
	}
	if o.BulkBytes > 0 {
		kv.bulkBytes = o.BulkBytes
	}
	s, err := New(kv, o)
	if err != nil {
		return nil, errors.Join(err, kv.Close())
	}
	return s, nil
}

// New returns a store on kv, which it owns from now on unless New fails.
func New(kv KV, o Options) (*Store, error) {
	s := &Store{kv: kv, options: o, cache: newCache(o.CacheBytes), layouts: map[uint32]*layout{}, publishing: map[string]bool{}}
	s.forget()
	if err := s.checkFormat(); err != nil {
		return nil, err
	}
	if err := s.removeLeftovers(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close frees the store. No other method may be running or called later.
func (s *Store) Close() error {
	s.cache.close()
	return s.kv.Close()
}

// State returns what was last committed for the named view; known is false when it was never published.
func (s *Store) State(view string) (state State, known bool, err error) {
	read := func() {
		err = s.kv.View(func(r Reader) error {
			state, known, err = readState(r, view)
			return err
		})
	}
	if read(); state.Unfinished {
		s.mu.Lock() // a publication that is under way does not end between the two looks
		defer s.mu.Unlock()
		read()
		state.UnderWay = state.Unfinished && s.publishing[view]
	}
	return state, known, err
}

// States returns the states of all published views by name.
func (s *Store) States() (map[string]State, error) {
	states := map[string]State{}
	prefix := stateKey("")
	err := s.kv.View(func(r Reader) error {
		return r.Iterate(prefix, nil, func(key, value []byte) (bool, error) {
			name := string(key[len(prefix):])
			state, err := decodeState(name, value)
			states[name] = state
			return true, err
		})
	})
	return states, err
}

// Drop removes the named view and its values. It does nothing where there is no such view.
func (s *Store) Drop(view string) error {
	if err := s.claim(view); err != nil {
		return err
	}
	defer s.release(view)
	state, known, err := s.State(view)
	if err != nil || !known {
		return err
	}
	// A crash after the first step leaves values that no state points to: the next Open removes them.
	err = s.do("drop", func() error { return s.kv.Write([]Op{{Key: stateKey(view), Delete: true}}) })
	s.forget()
	if err != nil {
		return err
	}
	return s.do("clean", func() error { return s.dropValues(state) })
}

// Stored is a row as the store holds it, for checks and tests: no default fills its NULLs and no ttl hides it.
type Stored struct {
	Key                  feature.Key
	Event, Created, AsOf feature.Time // Created is feature.MinTime where there is none
	// Fields and Values are the row's columns; values have the Go types of feature.Feature.Default, nil is NULL.
	Fields []feature.Field
	Values []any
}

// Scan calls yield with every row of the named view in the order of keys, within one snapshot. It checks every value in full.
func (s *Store) Scan(view string, yield func(Stored) error) error {
	return s.kv.View(func(r Reader) error {
		state, known, err := readState(r, view)
		if err != nil || !known {
			return err
		}
		l, err := s.layout(r, state.SchemaID)
		if err != nil {
			return err
		}
		return r.Iterate(valuePrefix(state.ViewID), nil, func(key, value []byte) (bool, error) {
			if err := l.validate(key, value); err != nil {
				return false, err
			}
			at := stampOf(value)
			row := Stored{Key: append(feature.Key{}, key[viewIDBytes:]...), Event: at.event, Created: at.created, AsOf: at.asOf, Fields: l.fields}
			row.Values = l.goValues(value)
			return true, yield(row)
		})
	})
}

// checkFormat writes the format record of a new store and checks that of an old one.
func (s *Store) checkFormat() error {
	var known bool
	err := s.kv.View(func(r Reader) error {
		record, found, err := r.Get(nil, storeKey())
		if err != nil {
			return err
		}
		if known = found; !found {
			return nil
		}
		return decodeStore(record)
	})
	if err != nil || known || s.options.ReadOnly {
		return err
	}
	return s.kv.Write([]Op{{Key: storeKey(), Value: encodeStore()}})
}

// removeLeftovers removes values and schemas to which no state points, and learns which ids are taken.
func (s *Store) removeLeftovers() error {
	states, err := s.States()
	if err != nil {
		return err
	}
	views, schemas := map[uint32]string{}, map[uint32]bool{}
	for name, state := range states {
		if other, taken := views[state.ViewID]; taken {
			return feature.Errorf(feature.ErrCorrupt, "online store: views %s and %s have the same id %d", name, other, state.ViewID)
		}
		views[state.ViewID], schemas[state.SchemaID] = name, true
		s.lastView, s.lastSchema = max(s.lastView, state.ViewID), max(s.lastSchema, state.SchemaID)
	}
	if s.options.ReadOnly {
		return nil
	}
	var orphans []State
	err = s.kv.View(func(r Reader) error {
		ids, err := storedViewIDs(r)
		for _, id := range ids {
			if _, used := views[id]; !used {
				orphans = append(orphans, State{ViewID: id})
			}
		}
		if err != nil {
			return err
		}
		prefix := []byte{0, 0, 0, 0, recordSchema}
		return r.Iterate(prefix, nil, func(key, _ []byte) (bool, error) {
			if len(key) != len(prefix)+4 {
				return false, strayKey(key)
			}
			if id := binary.BigEndian.Uint32(key[len(prefix):]); !schemas[id] {
				orphans = append(orphans, State{SchemaID: id})
			}
			return true, nil
		})
	})
	if err != nil {
		return err
	}
	for _, o := range orphans {
		if err := s.dropValues(o); err != nil {
			return err
		}
	}
	return nil
}

// storedViewIDs returns the view ids that have values.
func storedViewIDs(r Reader) ([]uint32, error) {
	var ids []uint32
	for next := uint32(1); ; {
		found := false
		err := r.Iterate(nil, valuePrefix(next), func(key, _ []byte) (bool, error) {
			if len(key) < viewIDBytes || binary.BigEndian.Uint32(key) > maxViewID {
				return false, strayKey(key)
			}
			ids = append(ids, binary.BigEndian.Uint32(key))
			found = true
			return false, nil
		})
		if err != nil || !found {
			return ids, err
		}
		next = ids[len(ids)-1] + 1
	}
}

func strayKey(key []byte) error {
	return feature.Errorf(feature.ErrCorrupt, "online store: there is a key %x that asof does not write", key)
}

// dropValues removes the values and the schema of a state; ids that are 0 are passed over.
func (s *Store) dropValues(state State) error {
	if state.ViewID != 0 {
		r := s.newRester()
		rest := func() { _ = r.rest(context.Background()) } // which does not end
		if err := s.kv.DropPrefix(valuePrefix(state.ViewID), rest); err != nil {
			return err
		}
	}
	if state.SchemaID == 0 {
		return nil
	}
	return s.kv.Write([]Op{{Key: schemaKey(state.SchemaID), Delete: true}})
}

// do runs a durable effect between the two calls of the step hook.
func (s *Store) do(step string, effect func() error) error {
	if s.options.Step == nil {
		return effect()
	}
	if err := s.options.Step(step, false); err != nil {
		return err
	}
	if err := effect(); err != nil {
		return err
	}
	return s.options.Step(step, true)
}

// claim makes the caller the one writer of the named view until release.
func (s *Store) claim(view string) error {
	if s.options.ReadOnly {
		return feature.Errorf(feature.ErrInvalid, "view %s: the online store is open for reading only", view)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.publishing[view] {
		return feature.Errorf(feature.ErrConflict, "view %s is being published already: wait for that to end and try again", view)
	}
	s.publishing[view] = true
	return nil
}

func (s *Store) release(view string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.publishing, view)
}

func readState(r Reader, view string) (State, bool, error) {
	record, found, err := r.Get(nil, stateKey(view))
	if err != nil || !found {
		return State{}, false, err
	}
	state, err := decodeState(view, record)
	return state, true, err
}

// layout returns the layout of a schema, from memory if it has been read before.
func (s *Store) layout(r Reader, schema uint32) (*layout, error) {
	s.mu.Lock()
	l := s.layouts[schema]
	s.mu.Unlock()
	if l != nil {
		return l, nil
	}
	record, found, err := r.Get(nil, schemaKey(schema))
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, feature.Errorf(feature.ErrCorrupt, "online store: schema %d is missing", schema)
	}
	fields, err := decodeSchema(schema, record)
	if err != nil {
		return nil, err
	}
	l = newLayout(schema, fields)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.layouts[schema] = l
	return l, nil
}

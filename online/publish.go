package online

import (
	"bytes"
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
)

// What a publication holds in memory before it writes, and once more while that is written. Badger cuts a batch into transactions of 0.6 MB, each of
// which waits for the disk while the next one is prepared: with one to a batch it stood still between them.
const (
	batchBytesMax = 8 << 20
	batchRowsMax  = 1 << 15
)

// muchPart is the part of a view's rows, one of so many, from which on they are better loaded anew: a row in place takes some eight times as long as one in bulk
// (go test ./online -run='^$' -bench=Put), and Badger merges what is written in place in bursts.
const muchPart = 8

// Row is the value of a key: row Index of Values, which has one column for each of the view's features.
type Row struct {
	Event   feature.Time
	Created feature.Time // feature.MinTime where NULL; not looked at for a view without created time
	AsOf    feature.Time // the as-of time for which the row is the answer
	Values  []arrow.Array
	Index   int
}

// Publish writes the values of one view. It belongs to one goroutine and ends with Commit or Abort.
type Publish struct {
	store   *Store
	view    *feature.View
	layout  *layout
	viewID  uint32
	rebuild bool
	loader  Loader // of a rebuild
	old     State  // what it builds on, or replaces
	known   bool   // old is there
	marked  bool
	ended   bool
	err     error // the first failure; nothing is written after it
	changed int64 // rows written or deleted
	loaded  int64 // rows that lie in bulk, of a publication in place

	batch   batch           // what is to be written next
	spare   batch           // what is being written, or the memory of it
	writing *errgroup.Group // nil: nothing is being written
	rester  *rester
	last    []byte // the greatest key that has been in a batch
	scratch []byte
}

// batch holds writes in the order of their keys.
type batch struct {
	ops   []Op
	arena []byte // holds the keys and values of ops
}

// find returns where the write of key is, or would be.
func (b *batch) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(b.ops, key, func(op Op, key []byte) int { return bytes.Compare(op.Key, key) })
}

// put adds op, in place of one with the same key.
func (b *batch) put(op Op) {
	n := len(b.ops)
	if n == 0 || bytes.Compare(b.ops[n-1].Key, op.Key) < 0 { // keys mostly come in their order
		b.ops = append(b.ops, op)
	} else if i, found := b.find(op.Key); found {
		b.ops[i] = op
	} else {
		b.ops = slices.Insert(b.ops, i, op)
	}
}

// full tells whether it is time to write.
func (b *batch) full() bool { return len(b.arena) >= batchBytesMax || len(b.ops) >= batchRowsMax }

// empty makes room for the next writes in the memory of those that have been made.
func (b *batch) empty() {
	b.ops, b.arena = b.ops[:0], b.arena[:0]
}

// Begin starts a publication of view. One that rebuilds writes everything anew, out of sight until Commit, and wants its rows in the order of their
// keys, each once; the first one of a view always does. One in place changes the values that are there.
//
// It fails with ErrConflict when the view is being published already, and with ErrInvalid when the view's definition is another than
// the published one and rebuild is false.
func (s *Store) Begin(view *feature.View, rebuild bool) (_ *Publish, err error) {
	if !view.Online {
		return nil, notOnline(view.Name)
	}
	if err := s.claim(view.Name); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.release(view.Name)
		}
	}()
	p := &Publish{store: s, view: view, rester: s.newRester()}
	if p.old, p.known, err = s.State(view.Name); err != nil {
		return nil, err
	}
	if rebuild || !p.known {
		return p, p.stage()
	}
	if p.old.Hash != view.ServedHash() {
		return nil, feature.Errorf(feature.ErrInvalid, "view %s has changed since it was published: it has to be rebuilt", view.Name)
	}
	p.viewID, p.marked, p.loaded = p.old.ViewID, p.old.Unfinished, s.kv.Loaded(valuePrefix(p.old.ViewID))
	err = s.kv.View(func(r Reader) error {
		p.layout, err = s.layout(r, p.old.SchemaID)
		return err
	})
	if err == nil && !p.layout.has(view) {
		err = feature.Errorf(feature.ErrInvalid, "view %s has other features than its published values: it has to be rebuilt", view.Name)
	}
	return p, err
}

// stage gives a rebuild ids of its own and writes its schema.
func (p *Publish) stage() error {
	s := p.store
	s.mu.Lock()
	s.lastView++
	s.lastSchema++
	viewID, schema := s.lastView, s.lastSchema
	s.mu.Unlock()
	if viewID > maxViewID {
		return feature.Errorf(feature.ErrUnavailable, "online store: all view ids are used up: move the directory away and run asof materialize")
	}
	fields := make([]feature.Field, len(p.view.Features))
	for i := range fields {
		fields[i] = p.view.Features[i].Field
	}
	record, err := encodeSchema(schema, fields)
	if err != nil {
		return err
	}
	p.rebuild, p.viewID, p.layout, p.loader = true, viewID, newLayout(schema, fields), s.kv.Load(valuePrefix(viewID))
	return s.do("schema", func() error { return s.kv.Write([]Op{{Key: schemaKey(schema), Value: record}}) })
}

// Put writes row unless a newer one is there. Newer is the greater event time, then the greater created time, NULL being the
// least, then the greater as-of time; of two that are equal in all three the later Put stays. The store keeps
// neither key nor row.
func (p *Publish) Put(key feature.Key, row Row) error {
	return p.write(key, row, false)
}

// Replace writes row whatever is there, unless that is the same answer, from the same event and created time: the history itself has been
// rewritten.
func (p *Publish) Replace(key feature.Key, row Row) error {
	return p.write(key, row, true)
}

// Delete removes the row of key, if there is one.
func (p *Publish) Delete(key feature.Key) error {
	return p.guard(func() error {
		from := len(p.batch.arena)
		stored, err := p.storedKey(key)
		if err != nil {
			return err
		}
		there, err := p.current(stored)
		if there == nil && !damaged(err) {
			p.batch.arena = p.batch.arena[:from]
			return err
		}
		return p.add(Op{Key: stored, Delete: true})
	})
}

// Changed returns how many times a row was written or deleted so far; rows that were there already do not count.
func (p *Publish) Changed() int64 { return p.changed }

// Much reports whether a publication in place has changed so many of the view's rows that a rebuild, which writes all of them but does so in bulk, takes less.
func (p *Publish) Much() bool {
	return !p.rebuild && p.changed > p.loaded/muchPart && p.loaded > 0
}

// Commit makes the publication count: when it returns nil, the values and then state are durable. ViewID, SchemaID, Hash and
// Unfinished of state are filled in. The publication has ended even if Commit fails; then either nothing counts, or what
// failed came after the state and the next Open does it again.
func (p *Publish) Commit(state State) error {
	if p.ended {
		return feature.Errorf(feature.ErrInternal, "publication of view %s has ended", p.view.Name)
	}
	err := errors.Join(p.guard(p.flush), p.guard(p.wait))
	if err == nil && p.rebuild {
		err = p.guard(func() error { return p.store.do("load", p.loader.Commit) })
	}
	if err != nil {
		p.Abort()
		return err
	}
	defer p.end()
	state.ViewID, state.SchemaID, state.Hash, state.Unfinished = p.viewID, p.layout.schema, p.view.ServedHash(), false
	// From here on nothing that was staged may be removed: a write that fails may have happened.
	if err := p.writeState("state", state); err != nil {
		return err
	}
	if !p.rebuild || !p.known {
		return nil
	}
	return p.store.do("clean", func() error { return p.store.dropValues(p.old) })
}

// Abort gives the publication up. A rebuild leaves nothing behind; what one in place has written stays, and the view's state says so
// (State.Unfinished). Abort after the end does nothing.
func (p *Publish) Abort() {
	if p.ended {
		return
	}
	defer p.end()
	_ = p.wait() // what is not to count may fail
	if !p.rebuild {
		return
	}
	err := errors.Join(p.loader.Abort(), p.store.dropValues(State{ViewID: p.viewID, SchemaID: p.layout.schema}))
	if err != nil && p.store.options.Logger != nil {
		p.store.options.Logger.Warn("values of an aborted rebuild stay until the online store is next opened", "view", p.view.Name, "error", err)
	}
}

func (p *Publish) end() {
	p.ended = true
	p.batch, p.spare = batch{}, batch{}
	p.store.release(p.view.Name)
}

// guard runs f unless the publication has ended or failed, and keeps f's failure.
func (p *Publish) guard(f func() error) error {
	if p.ended {
		return feature.Errorf(feature.ErrInternal, "publication of view %s has ended", p.view.Name)
	}
	if p.err == nil {
		p.err = f()
	}
	return p.err
}

func (p *Publish) write(key feature.Key, row Row, replace bool) error {
	return p.guard(func() error {
		from := len(p.batch.arena)
		stored, err := p.storedKey(key)
		if err != nil {
			return err
		}
		at := stamp{event: row.Event, created: feature.MinTime, asOf: row.AsOf}
		if p.view.HasCreatedTime {
			at.created = row.Created
		}
		other, err := p.current(stored)
		if replace && damaged(err) {
			other, err = nil, nil
		}
		if err != nil {
			return err
		}
		if !replace && other != nil && at.older(stampOf(other)) {
			p.batch.arena = p.batch.arena[:from]
			return nil
		}
		valueFrom := len(p.batch.arena)
		if p.batch.arena, err = p.layout.encode(p.batch.arena, stored, at, row.Values, row.Index); err != nil {
			return feature.Errorf(feature.KindOf(err), "view %s, key %x: %w", p.view.Name, []byte(key), err)
		}
		value := p.batch.arena[valueFrom:len(p.batch.arena):len(p.batch.arena)]
		if bytes.Equal(value, other) || replace && other != nil && sameAnswer(value, other) {
			p.batch.arena = p.batch.arena[:from] // a replay
			return nil
		}
		return p.add(Op{Key: stored, Value: value})
	})
}

// damaged reports whether a value could not be read because of what is stored; it can still be replaced.
func damaged(err error) bool { return feature.KindOf(err) == feature.ErrCorrupt }

// storedKey returns the store's key for key, in the arena.
func (p *Publish) storedKey(key feature.Key) ([]byte, error) {
	if len(key) > maxKeyBytes {
		return nil, feature.Errorf(feature.ErrInvalid, "view %s: a key of %d bytes is too long for the online store, which holds up to %d: "+
			"filter such rows out (where:), or set online: false", p.view.Name, len(key), maxKeyBytes)
	}
	if len(key) == 0 && len(p.view.Keys) > 0 {
		return nil, feature.Errorf(feature.ErrInternal, "view %s: a NULL key cannot be published", p.view.Name)
	}
	from := len(p.batch.arena)
	p.batch.arena = append(append(p.batch.arena, valuePrefix(p.viewID)...), key...)
	return p.batch.arena[from:len(p.batch.arena):len(p.batch.arena)], nil
}

// current returns the value that the stored key has now, nil if none. It is valid until the next call.
func (p *Publish) current(stored []byte) ([]byte, error) {
	behind := bytes.Compare(stored, p.last) <= 0
	if p.rebuild && behind {
		return nil, feature.Errorf(feature.ErrInternal, "view %s: key %x comes after key %x in a rebuild", p.view.Name, stored, p.last)
	}
	if p.rebuild {
		return nil, nil // it begins empty
	}
	if behind {
		if i, ok := p.batch.find(stored); ok {
			return p.batch.ops[i].Value, nil
		}
		if err := p.wait(); err != nil { // it may be in what is being written
			return nil, err
		}
	}
	found := false
	err := p.store.kv.View(func(r Reader) (err error) {
		p.scratch, found, err = r.Get(p.scratch[:0], stored)
		return err
	})
	if err != nil || !found {
		return nil, err
	}
	return p.scratch, p.layout.validate(stored, p.scratch)
}

// add adds op to the batch and writes that when it is full.
func (p *Publish) add(op Op) error {
	p.changed++
	p.batch.put(op)
	if bytes.Compare(op.Key, p.last) > 0 {
		p.last = append(p.last[:0], op.Key...)
	}
	if !p.batch.full() {
		return nil
	}
	return p.flush()
}

// flush begins to write the batch, once the one before it has been written; meanwhile the next one fills. A crash leaves a part of it written,
// out of sight or under a state that says so.
func (p *Publish) flush() error {
	if err := p.wait(); err != nil || len(p.batch.ops) == 0 {
		return err
	}
	if !p.rebuild && !p.marked {
		unfinished := p.old
		unfinished.Unfinished = true
		if err := p.writeState("mark", unfinished); err != nil {
			return err
		}
		p.marked = true
	}
	p.batch, p.spare = p.spare, p.batch
	p.batch.empty()
	ops, s := p.spare.ops, p.store
	write := func() error { return s.cache.write(ops, s.kv.Write) }
	if p.rebuild {
		write = func() error { return s.cache.stage(ops, valuePrefix(p.old.ViewID), p.loader.Add) }
	}
	p.writing = new(errgroup.Group)
	p.writing.Go(func() error { return s.do("values", write) })
	return nil
}

// wait waits until nothing is being written.
func (p *Publish) wait() error {
	if p.writing == nil {
		return nil
	}
	writing := p.writing
	p.writing = nil
	return writing.Wait()
}

func (p *Publish) writeState(step string, state State) error {
	record, err := encodeState(p.view.Name, state)
	if err != nil {
		return err
	}
	err = p.store.do(step, func() error { return p.store.kv.Write([]Op{{Key: stateKey(p.view.Name), Value: record}}) })
	p.store.forget() // whether it has failed or not: it may be there
	return err
}

func notOnline(view string) error {
	return feature.Errorf(feature.ErrInvalid, "view %s is not served online: it says online: false", view)
}

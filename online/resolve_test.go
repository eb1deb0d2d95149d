package online

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/asof-store/asof/feature"
)

// late is a context whose deadline passes after it has been looked at so many times.
type late struct {
	context.Context
	left atomic.Int64
}

func (l *late) Err() error {
	if l.left.Add(-1) < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

// TestLookupDeadline: a lookup ends in the middle of its reads when its deadline passes.
func TestLookupDeadline(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	publish(t, s, v, true, State{Snapshot: 1}, func(p *Publish) error { return nil })
	keys := make([]feature.Key, 10_000)
	for i := range keys {
		keys[i], _ = feature.AppendKeyPart(nil, column(t, v.Keys[0].Type, int64(i)), 0)
	}
	after := func(looks int64) context.Context {
		ctx := &late{Context: context.Background()}
		ctx.left.Store(looks)
		return ctx
	}
	if _, err := s.Get(after(1_000_000), v, []int{0}, keys, hour); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(after(3), v, []int{0}, keys, hour); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
}

// hookedKV does something just before a snapshot is taken, and just after, each once.
type hookedKV struct {
	KV
	before, after func()
}

func (h *hookedKV) View(read func(Reader) error) error {
	once(&h.before)
	return h.KV.View(func(r Reader) error {
		once(&h.after)
		return read(r)
	})
}

func once(hook *func()) {
	if do := *hook; do != nil {
		*hook = nil
		do()
	}
}

// TestRemembered: what a lookup has remembered is not gone by when a publication comes between, wherever that is.
func TestRemembered(t *testing.T) {
	const id = 7
	v := profile()
	for name, c := range map[string]struct {
		set  func(kv *hookedKV, s *Store, change func())
		want string // what the lookup during which it comes answers
	}{
		"before the snapshot": {func(kv *hookedKV, _ *Store, change func()) { kv.before = change }, "2"},
		"after the snapshot":  {func(kv *hookedKV, _ *Store, change func()) { kv.after = change }, "1"},
		"after the snapshot, and another lookup": {func(kv *hookedKV, s *Store, change func()) {
			kv.after = func() {
				change()
				wantAge(t, s, v, id, "2")
			}
		}, "1"},
	} {
		t.Run(name, func(t *testing.T) {
			kv := &hookedKV{KV: newMemoryKV()}
			s, err := New(kv, Options{})
			if err != nil {
				t.Fatal(err)
			}
			version := func(n int64) {
				publish(t, s, v, true, State{Snapshot: n}, func(p *Publish) error { return p.Put(key(id), row(t, v, 0, n, "x")) })
			}
			version(1)
			for range 2 { // with nothing remembered, and then with it
				wantAge(t, s, v, id, "1")
			}
			c.set(kv, s, func() { version(2) })
			wantAge(t, s, v, id, c.want)
			for range 2 {
				wantAge(t, s, v, id, "2")
			}
			if err := s.Drop(v.Name); err != nil {
				t.Fatal(err)
			}
			wantAge(t, s, v, id, "(null)")
		})
	}
}

// TestRememberedAfterFailure: a state whose write has failed, and is there all the same, counts.
func TestRememberedAfterFailure(t *testing.T) {
	kv, v := newMemoryKV(), profile()
	s, err := New(kv, Options{})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, s, v, true, State{Snapshot: 1}, func(p *Publish) error { return p.Put(key(7), row(t, v, 0, int64(1), "x")) })
	wantAge(t, s, v, 7, "1")
	p, err := s.Begin(v, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Put(key(7), row(t, v, 0, int64(2), "x")); err != nil {
		t.Fatal(err)
	}
	writes := 0
	kv.fail = func(ops int) (int, error) {
		if writes++; writes == 2 { // the values, and then the state
			return ops, errors.New("the disk says no")
		}
		return ops, nil
	}
	if err := p.Commit(State{Snapshot: 2}); err == nil || writes != 2 {
		t.Fatalf("%v after %d writes", err, writes)
	}
	wantAge(t, s, v, 7, "2")
}

// wantAge looks up the first feature of a key.
func wantAge(t *testing.T, s *Store, v *feature.View, id int64, want string) {
	t.Helper()
	columns, err := s.Get(context.Background(), v, []int{0}, []feature.Key{key(id)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := columns[0].Values().ValueStr(0); got != want {
		t.Errorf("the answer is %s, want %s", got, want)
	}
}

package online

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asof-store/asof/feature"
)

// TestSlowWrite ends publications while a write of theirs, which takes a second, is under way: what is committed is there then, what is aborted leaves
// nothing behind, and what has failed is not committed.
func TestSlowWrite(t *testing.T) {
	full := errors.New("the disk is full")
	for _, c := range []struct {
		what   string
		end    func(*Publish) error
		fails  error
		remain int // of the store's format, the view's schema, its state and its value
	}{
		{"commit", func(p *Publish) error { return p.Commit(State{Watermark: 1}) }, nil, 4},
		{"abort", func(p *Publish) error { p.Abort(); return nil }, nil, 1},
		{"commit of a failure", func(p *Publish) error { return p.Commit(State{Watermark: 1}) }, full, 1},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kv := newMemoryKV()
				s, err := New(kv, Options{})
				if err != nil {
					t.Fatal(err)
				}
				v := profile()
				p, err := s.Begin(v, true)
				if err != nil {
					t.Fatal(err)
				}
				row := Row{Values: rowOf(t, []feature.Field{v.Features[0].Field, v.Features[1].Field}, []any{int64(7), "x"})}
				if err := p.Put(key(1), row); err != nil {
					t.Fatal(err)
				}
				begun := time.Now()
				kv.fail = func(ops int) (int, error) {
					kv.fail = nil
					time.Sleep(time.Second) // of the test's clock
					return ops, c.fails
				}
				if err := p.guard(p.flush); err != nil || time.Since(begun) > 0 {
					t.Fatalf("beginning to write took %s: %v", time.Since(begun), err)
				}
				if err := c.end(p); !errors.Is(err, c.fails) {
					t.Errorf("it ended with %v, not %v", err, c.fails)
				}
				time.Sleep(time.Minute) // of the test's clock
				if len(kv.rows) != c.remain {
					t.Errorf("%d keys remain, not %d", len(kv.rows), c.remain)
				}
			})
		})
	}
}

package online

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
)

// TestRest: while lookups come, a publication rests as many times as long as it has worked, after each piece of its own work and of removing
// what it has replaced; without lookups it does not.
func TestRest(t *testing.T) {
	const rows, worked, rest = 3*restRows + 10, time.Second, 4.0
	for _, served := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			kv := newMemoryKV()
			s, err := New(kv, Options{Logger: quiet(), Rest: rest})
			if err != nil {
				t.Fatal(err)
			}
			v := profile()
			write := func(event feature.Time) {
				publish(t, s, v, true, State{}, func(p *Publish) error {
					for i := range rows {
						if i%restRows == 0 {
							time.Sleep(worked) // what goes on beside a publication counts as work
							if served {
								if _, err := s.Get(context.Background(), v, []int{0}, []feature.Key{key(1)}, hour); err != nil && event > 1 {
									return err
								}
							}
						}
						if err := p.Put(key(int64(i)), row(t, v, event, int64(i), "x")); err != nil {
							return err
						}
					}
					return nil
				})
			}
			write(1)
			begun := time.Now()
			write(2)
			want := 4 * worked
			if served {
				want += time.Duration(3 * rest * float64(worked)) // the last piece is not full
			}
			if took := time.Since(begun); took != want {
				t.Errorf("lookups %v: publishing took %v, want %v", served, took, want)
			}
		})
	}
}

// TestDropPrefixRests: what is removed is removed in pieces, and passed over once.
func TestDropPrefixRests(t *testing.T) {
	b, err := openBadger(t.TempDir(), false, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	ops := make([]Op, 3*restRows+1)
	for i := range ops {
		ops[i] = Op{Key: fmt.Appendf(nil, "a%06d", i), Value: []byte("x")}
	}
	if err := b.Write(append(ops, Op{Key: []byte("b"), Value: []byte("x")})); err != nil {
		t.Fatal(err)
	}
	rests := 0
	if err := b.DropPrefix([]byte("a"), func() { rests++ }); err != nil {
		t.Fatal(err)
	}
	if left := contents(t, b, "", ""); rests != 3 || len(left) != 1 || left[0] != "b=x" {
		t.Errorf("%d rests, %q is left", rests, left)
	}
}

// TestReadsBesideWrites: readers share a snapshot of the last write that has ended, and see each write as soon as it has; those that go on
// keep theirs.
func TestReadsBesideWrites(t *testing.T) {
	b, err := openBadger(t.TempDir(), false, quiet())
	if err != nil {
		t.Fatal(err)
	}
	value := func(r Reader) string {
		got, _, err := r.Get(nil, []byte("k"))
		if err != nil {
			t.Error(err)
		}
		return string(got)
	}
	set := func(v string) {
		t.Helper()
		if err := b.Write([]Op{{Key: []byte("k"), Value: []byte(v)}}); err != nil {
			t.Fatal(err)
		}
	}
	set("1")
	if err := b.View(func(before Reader) error {
		for _, v := range []string{"2", "3"} {
			set(v)
			if err := b.View(func(r Reader) error {
				if got := value(r) + value(before); got != v+"1" {
					t.Errorf("after %s and before: %q", v, got)
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	// Several writers and readers at once: a snapshot that is given up is in nobody's hands.
	var group errgroup.Group
	for w := range 4 {
		group.Go(func() error {
			k := []byte{'w', byte(w)}
			for i := range 100 {
				if err := b.Write([]Op{{Key: k, Value: []byte{byte(i)}}}); err != nil {
					return err
				}
				if err := b.View(func(r Reader) error {
					if got, _, err := r.Get(nil, k); err != nil || len(got) != 1 || got[0] != byte(i) {
						return errors.Join(fmt.Errorf("writer %d reads %v after %d", w, got, i), err)
					}
					return nil
				}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if users := b.snapshots.current.users; users != 1 {
		t.Errorf("the newest snapshot has %d users while nobody reads", users)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

package online

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
)

// restingStore is a store whose publications rest four times as long as they work, with one of three rows, and a publication in place of the same rows: in
// three pieces, each of which takes a second and has a lookup in it where that is wanted.
func restingStore(t *testing.T, rebuild, served bool) (publishAgain func(ctx context.Context) error) {
	t.Helper()
	v := profile()
	kv := &slowDrops{KV: newMemoryKV()}
	s, err := New(kv, Options{Logger: quiet(), Rest: 4})
	if err != nil {
		t.Fatal(err)
	}
	work := func() {
		time.Sleep(time.Second) // a second of work on the clock of testing/synctest: it takes no time
		if served {
			if _, err := s.Get(context.Background(), v, []int{0}, []feature.Key{key(1)}, hour); err != nil {
				t.Error(err)
			}
		}
	}
	publishAges(t, s, true, 1, 10, 11, 12)
	kv.work = work
	return func(ctx context.Context) error {
		p, err := s.Begin(v, rebuild)
		if err != nil {
			return err
		}
		defer p.Abort()
		for i := range 3 {
			work()
			if err := errors.Join(p.Put(key(int64(i)), row(t, v, 1, int64(10+i), "x")), p.Rest(ctx)); err != nil {
				return err
			}
		}
		return p.Commit(State{})
	}
}

// TestRestServing: two processors and one spend the same part of their time on a publication, and of many it takes one.
func TestRestServing(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for processors, want := range map[int]float64{1: 35, 2: 17, 9: 3, 18: 1, 36: restLeast, 64: restLeast} {
		if runtime.GOMAXPROCS(processors); RestServing() != want {
			t.Errorf("%d processors: a rest of %v, want %v", processors, RestServing(), want)
		}
	}
}

// slowDrops removes rows in a piece of work, and rests.
type slowDrops struct {
	KV
	work func()
}

func (k *slowDrops) DropPrefix(prefix []byte, rest func()) error {
	k.work()
	rest()
	return k.KV.DropPrefix(prefix, func() {})
}

// TestRest: while lookups come, a publication rests four times as long as it has worked, after each piece of its own work, whether any of its rows were
// written or all were there already, and of removing what it has replaced; without lookups it does not.
func TestRest(t *testing.T) {
	for _, c := range []struct {
		rebuild, served bool
		want            time.Duration
	}{
		{false, false, 3 * time.Second}, {false, true, 3 * 5 * time.Second}, {true, false, 4 * time.Second}, {true, true, 4 * 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			publishAgain := restingStore(t, c.rebuild, c.served)
			begun := time.Now()
			if err := publishAgain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begun); took != c.want {
				t.Errorf("rebuild %v, lookups %v: publishing took %v, want %v", c.rebuild, c.served, took, c.want)
			}
		})
	}
}

// TestRestEnds: a publication that is called off does not rest to the end.
func TestRestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		publishAgain := restingStore(t, false, true)
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		begun := time.Now()
		if err := publishAgain(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 7*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// TestDropPrefixRests: what is removed is removed in pieces, each of which begins where the one before has ended.
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
	if from, err := b.deletions([]byte("a"), ops[10].Key); err != nil || len(from) != restRows || !bytes.Equal(from[0].Key, ops[10].Key) {
		t.Errorf("%d deletions from %q on, %v", len(from), ops[10].Key, err)
	}
	rests := 0
	if err := b.DropPrefix([]byte("a"), func() { rests++ }); err != nil {
		t.Fatal(err)
	}
	if left := contents(t, b, "", ""); rests != 3 || len(left) != 1 || left[0] != "b=x" {
		t.Errorf("%d rests, %q is left", rests, left)
	}
}

// TestReadsBesideWrites: readers share a snapshot of the last write that has ended, and open none, which would wait for writes. They see each write as soon as it
// has ended; those that go on keep theirs.
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
		if err := b.View(func(r Reader) error {
			if r.(*badgerReader).snapshot != before.(*badgerReader).snapshot {
				t.Error("two readers without a write between them have a snapshot each")
			}
			return nil
		}); err != nil {
			return err
		}
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

package online

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/VictoriaMetrics/fastcache"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// leastCache is the smallest cache there is.
const leastCache = 32 << 20

// countingKV counts the reads of values.
type countingKV struct {
	KV
	gets *int
}

func (k countingKV) View(read func(Reader) error) error {
	return k.KV.View(func(r Reader) error { return read(countingReader{r, k.gets}) })
}

type countingReader struct {
	Reader
	gets *int
}

func (r countingReader) Get(dst, key []byte) ([]byte, bool, error) {
	if isValue(key) {
		*r.gets++
	}
	return r.Reader.Get(dst, key)
}

// isValue tells the key of a value from that of a record, which lies under the id 0.
func isValue(key []byte) bool { return binary.BigEndian.Uint32(key) != 0 }

// ages returns the ages that s has for keys from 0 on, nil where there is none.
func ages(t testing.TB, s *Store, keys int) []any {
	t.Helper()
	got, err := agesOf(s, keys)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func agesOf(s *Store, keys int) ([]any, error) {
	asked := make([]feature.Key, keys)
	for i := range asked {
		asked[i] = key(int64(i))
	}
	columns, err := s.Get(context.Background(), profile(), []int{0}, asked, hour)
	if err != nil {
		return nil, err
	}
	got := make([]any, keys)
	for i := range got {
		if columns[0].Statuses[i] == feature.Present {
			got[i] = columns[0].Values().(*array.Int64).Value(i)
		}
	}
	return got, nil
}

func publishAges(t testing.TB, s *Store, rebuild bool, event feature.Time, ages ...int64) {
	t.Helper()
	publish(t, s, profile(), rebuild, State{Snapshot: int64(event)}, func(p *Publish) error {
		for i, age := range ages {
			if err := p.Put(key(int64(i)), row(t, profile(), event, age, "x")); err != nil {
				return err
			}
		}
		return nil
	})
}

// cachedStore returns a store with a cache that has answered for three keys, one of which is not there, and the count of its reads.
func cachedStore(t testing.TB) (*Store, *hookedKV, *int) {
	t.Helper()
	gets := new(int)
	hooked := &hookedKV{KV: countingKV{newMemoryKV(), gets}}
	s, err := New(hooked, Options{Logger: quiet(), CacheBytes: leastCache})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	publishAges(t, s, true, 1, 10, 11)
	if got := ages(t, s, 3); !cmp.Equal(got, []any{int64(10), int64(11), nil}) {
		t.Fatal(got)
	}
	return s, hooked, gets
}

// TestCacheAnswers: what has been looked up is not read again, a key that is not there neither, also after it has been written.
func TestCacheAnswers(t *testing.T) {
	s, _, gets := cachedStore(t)
	expect := func(reads int, want ...any) {
		t.Helper()
		*gets = 0
		if got := ages(t, s, len(want)); !cmp.Equal(got, want) || *gets != reads {
			t.Errorf("%v with %d reads, want %v with %d", got, *gets, want, reads)
		}
	}
	expect(0, int64(10), int64(11), nil)
	publishAges(t, s, false, 2, 20)
	expect(0, int64(20), int64(11), nil)
	expect(0, int64(20), int64(11), nil)
	publish(t, s, profile(), false, State{Snapshot: 3}, func(p *Publish) error { return p.Delete(key(0)) })
	expect(0, nil, int64(11), nil)
	publishAges(t, s, false, 4, 40, 41, 42, 43)
	expect(0, int64(40), int64(41), int64(42))
	expect(1, int64(40), int64(41), int64(42), int64(43)) // nobody had asked for it
	publishAges(t, s, true, 5, 50, 51)
	expect(2, int64(50), int64(51), nil, nil) // what a rebuild has left out it does not mention
	expect(0, int64(50), int64(51), nil, nil)
}

// TestCacheKeepsNothingStale: a lookup keeps nothing that a write has changed since its snapshot, or changes while it reads.
func TestCacheKeepsNothingStale(t *testing.T) {
	for name, lookup := range map[string]func(*Store, *hookedKV) (got []any){
		"a write between snapshot and reading": func(s *Store, kv *hookedKV) []any {
			kv.after = func() { publishAges(t, s, false, 2, 20, 21) }
			return ages(t, s, 2)
		},
		"a lookup within a write": func(s *Store, kv *hookedKV) (got []any) {
			kv.KV = &writeHook{KV: kv.KV, before: func() { got = ages(t, s, 2) }}
			publishAges(t, s, false, 2, 20, 21)
			return got
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, kv, _ := cachedStore(t)
			s.cache.rows.Reset() // so that the lookup reads
			got := lookup(s, kv)
			if !cmp.Equal(got, []any{int64(10), int64(11)}) {
				t.Errorf("the lookup meanwhile answers %v", got)
			}
			if got := ages(t, s, 2); !cmp.Equal(got, []any{int64(20), int64(21)}) {
				t.Errorf("afterwards: %v", got)
			}
		})
	}
}

// writeHook does something before the first write of a value.
type writeHook struct {
	KV
	before func()
}

func (h *writeHook) Write(ops []Op) error {
	if isValue(ops[0].Key) {
		once(&h.before)
	}
	return h.KV.Write(ops)
}

// TestCacheOfLaterLookups: a lookup whose snapshot is older than what another has put in passes that over.
func TestCacheOfLaterLookups(t *testing.T) {
	s, hooked, _ := cachedStore(t)
	hooked.after = func() {
		publishAges(t, s, false, 2, 20, 21)
		if got := ages(t, s, 2); !cmp.Equal(got, []any{int64(20), int64(21)}) {
			t.Errorf("the later lookup: %v", got)
		}
	}
	if got := ages(t, s, 2); !cmp.Equal(got, []any{int64(10), int64(11)}) {
		t.Errorf("a lookup from before the write answers %v, of which its snapshot knows nothing", got)
	}
}

// TestCacheAfterFailedWrites: a write that fails may have been made in part, and what is there counts.
func TestCacheAfterFailedWrites(t *testing.T) {
	kv := newMemoryKV()
	s, err := New(kv, Options{Logger: quiet(), CacheBytes: leastCache})
	if err != nil {
		t.Fatal(err)
	}
	publishAges(t, s, true, 1, 10, 11)
	ages(t, s, 2)
	broken := errors.New("broken")
	p, err := s.Begin(profile(), false)
	if err != nil {
		t.Fatal(err)
	}
	writes := 0
	kv.fail = func(ops int) (int, error) {
		if writes++; writes == 2 { // after the mark
			return 1, broken
		}
		return ops, nil
	}
	for i := range 2 {
		if err := p.Put(key(int64(i)), row(t, profile(), 2, int64(20+i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Commit(State{}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	kv.fail = nil
	for range 2 {
		if got := ages(t, s, 2); !cmp.Equal(got, []any{int64(20), int64(11)}) {
			t.Errorf("after a write that was made in part: %v", got)
		}
	}
}

// TestCacheRaces has lookups race publications, in place and as rebuilds, on Badger. All keys of a publication are one transaction, so a lookup sees all
// of one; what has been committed before a lookup begins it sees, or something later; and the cache has had its part in it.
func TestCacheRaces(t *testing.T) {
	t.Run("log", func(t *testing.T) { testCacheRaces(t, 0, 150) })
	t.Run("bulks", func(t *testing.T) { testCacheRaces(t, 1, 50) }) // each rebuild makes a directory, and removes one
}

func testCacheRaces(t *testing.T, bulkBytes, rounds int64) {
	const keys = 20
	s := openTemp(t, t.TempDir(), Options{CacheBytes: leastCache, BulkBytes: bulkBytes})
	values := func(n int64) []int64 {
		all := make([]int64, keys)
		for i := range all {
			all[i] = n
		}
		return all
	}
	publishAges(t, s, true, 1, values(1)...)
	committed, ended, hits := atomic.Int64{}, atomic.Bool{}, int64(0)
	committed.Store(1)
	var group errgroup.Group
	for range 4 {
		group.Go(func() error {
			seen := int64(0)
			for !ended.Load() {
				least := max(seen, committed.Load())
				got, err := agesOf(s, keys)
				if err != nil {
					return err
				}
				seen, _ = got[0].(int64)
				for i, age := range got {
					if age != any(seen) || seen < least {
						return fmt.Errorf("key %d is of publication %v and the first of %d, after %d had been committed", i, age, seen, least)
					}
				}
			}
			return nil
		})
	}
	for n := int64(2); n < rounds; n++ {
		publishAges(t, s, n%5 == 0, feature.Time(n), values(n)...)
		committed.Store(n)
		before := s.cache.hits()
		ages(t, s, keys)
		ages(t, s, keys)
		hits += s.cache.hits() - before
	}
	ended.Store(true)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if hits < keys*rounds/2 {
		t.Errorf("the cache has answered %d times in %d rounds of %d keys", hits, rounds, keys)
	}
}

// hits is how often the cache has answered.
func (c *cache) hits() int64 {
	var stats fastcache.Stats
	c.rows.UpdateStats(&stats)
	return int64(stats.GetCalls - stats.Misses)
}

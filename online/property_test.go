package online

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// twinRow is what the twin keeps of a row.
type twinRow struct {
	event, created, asOf feature.Time
	age                  any
}

func (r twinRow) olderThan(o twinRow) bool {
	a, b := [3]feature.Time{r.event, r.created, r.asOf}, [3]feature.Time{o.event, o.created, o.asOf}
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// twin is the naive store: a map of rows, and what the open publication has written.
type twin struct {
	rows, staged map[int64]twinRow
	state        State
	known        bool
	queue        []func(map[int64]twinRow)
	rebuild      bool
	last         int64 // the key that was put last
}

func (w *twin) flush() {
	if len(w.queue) == 0 {
		return
	}
	rows := w.rows
	if w.rebuild {
		rows = w.staged
	} else {
		w.state.Unfinished = true
	}
	for _, op := range w.queue {
		op(rows)
	}
	w.queue = nil
}

// TestStoreAgainstTwin runs random publications, failures and restarts on the store and on a map.
func TestStoreAgainstTwin(t *testing.T) {
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		kv := newMemoryKV()
		n++
		againstTwin(t, 20, func(*Store) (*Store, error) { return New(kv, Options{CacheBytes: []int64{0, leastCache}[n%2]}) })
	})
}

// TestBadgerAgainstTwin does the same on Badger, in one long life of a store for each case.
func TestBadgerAgainstTwin(t *testing.T) {
	dirs := t.TempDir()
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		if n++; n > 12 {
			return // opening a store costs a dozen syncs
		}
		path := fmt.Sprintf("%s/%d", dirs, n)
		var last *Store
		againstTwin(t, 30, func(s *Store) (_ *Store, err error) {
			if s != nil {
				if err := s.Close(); err != nil {
					return nil, err
				}
			}
			last, err = Open(path, Options{Logger: quiet(), CacheBytes: leastCache, BulkBytes: []int64{0, 1, 100}[n%3]})
			return last, err
		})
		if err := last.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// againstTwin takes steps at random and compares after each. reopen closes the store that it is given, if any.
func againstTwin(t *rapid.T, steps int, reopen func(*Store) (*Store, error)) {
	v := profile()
	v.TTL, v.HasCreatedTime = 0, true
	w := &twin{rows: map[int64]twinRow{}}
	s, err := reopen(nil)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	var p *Publish
	for range steps {
		switch step := rapid.SampledFrom([]string{"begin", "rows", "rows", "rows", "flush", "commit", "abort", "reopen"}).Draw(t, "step"); {
		case step == "reopen": // with a publication open: a crash
			s, err = reopen(s)
			must(err)
			p, w.queue = nil, nil
		case step == "begin" && p == nil:
			w.rebuild = rapid.Bool().Draw(t, "rebuild") || !w.known
			w.staged, w.last = map[int64]twinRow{}, math.MinInt64
			p, err = s.Begin(v, w.rebuild)
			must(err)
		case p == nil:
		case step == "rows":
			for range rapid.IntRange(1, 8).Draw(t, "rows") {
				must(randomOp(t, v, p, w))
			}
		case step == "flush":
			must(p.guard(p.flush))
			w.flush()
			for range rapid.IntRange(0, 3).Draw(t, "rows meanwhile") {
				must(randomOp(t, v, p, w))
			}
			must(p.guard(p.wait))
		case step == "commit":
			w.flush()
			w.state = State{Hash: v.Hash, Watermark: feature.Time(rapid.IntRange(0, 99).Draw(t, "watermark")), Snapshot: 3}
			must(p.Commit(w.state))
			if w.known = true; w.rebuild {
				w.rows = w.staged
			}
			p = nil
		case step == "abort":
			p.Abort()
			p, w.queue = nil, nil
		}
		w.compare(t, s, v, p != nil)
	}
	if p != nil {
		p.Abort()
	}
}

// randomOp does one thing to the store and to the twin.
func randomOp(t *rapid.T, v *feature.View, p *Publish, w *twin) error {
	id := int64(rapid.IntRange(-3, 3).Draw(t, "key"))
	if w.rebuild && id <= w.last {
		return nil // its rows come in the order of keys
	}
	w.last = id
	clock := rapid.IntRange(0, 2)
	r := twinRow{event: feature.Time(clock.Draw(t, "event")), created: feature.Time(clock.Draw(t, "created")), asOf: feature.Time(clock.Draw(t, "as of"))}
	if r.created == 0 {
		r.created = feature.MinTime
	}
	if age := rapid.IntRange(0, 50).Draw(t, "age"); age > 0 {
		r.age = int64(age)
	}
	full := Row{Event: r.event, Created: r.created, AsOf: r.asOf, Values: rowOf(&testing.T{}, []feature.Field{v.Features[0].Field, v.Features[1].Field}, []any{r.age, "x"})}
	switch rapid.SampledFrom([]string{"put", "put", "replace", "delete"}).Draw(t, "op") {
	case "put":
		w.queue = append(w.queue, func(rows map[int64]twinRow) {
			if old, ok := rows[id]; !ok || !r.olderThan(old) {
				rows[id] = r
			}
		})
		return p.Put(key(id), full)
	case "replace":
		w.queue = append(w.queue, func(rows map[int64]twinRow) {
			if old, ok := rows[id]; !ok || old.event != r.event || old.created != r.created || old.age != r.age {
				rows[id] = r // else the same answer stays, as of when it was first given
			}
		})
		return p.Replace(key(id), full)
	default:
		w.queue = append(w.queue, func(rows map[int64]twinRow) { delete(rows, id) })
		return p.Delete(key(id))
	}
}

// compare checks that s answers, scans and states what the twin holds, while a publication is open or not.
func (w *twin) compare(t *rapid.T, s *Store, v *feature.View, open bool) {
	state, known, err := s.State(v.Name)
	state.ViewID, state.SchemaID = 0, 0
	unfinished := w.state.Unfinished
	if err != nil || known != w.known {
		t.Fatalf("state known %v, %v, want %v", known, err, w.known)
	}
	if w.state.Unfinished && !state.Unfinished {
		// Writing nothing but what is there already leaves no mark.
		w.state.Unfinished = false
	}
	w.state.UnderWay = w.state.Unfinished && open
	if known && state != w.state {
		t.Fatalf("state %+v, want %+v", state, w.state)
	}
	w.state.Unfinished, w.state.UnderWay = unfinished, false
	got := map[int64]twinRow{}
	err = s.Scan(v.Name, func(r Stored) error {
		parts, err := feature.DecodeKey(r.Key, v.Keys)
		if err == nil {
			got[parts[0].(int64)] = twinRow{event: r.Event, created: r.Created, asOf: r.AsOf, age: r.Values[0]}
		}
		return err
	})
	if d := cmp.Diff(w.rows, got, cmp.AllowUnexported(twinRow{})); err != nil || d != "" {
		t.Fatalf("scan: %v (-want +got):\n%s", err, d)
	}
	var keys []feature.Key
	for id := int64(3); id >= -3; id-- {
		keys = append(keys, key(id), key(id))
	}
	columns, err := s.Get(context.Background(), v, []int{0}, keys, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i := range keys {
		r, found := w.rows[3-int64(i/2)]
		want := feature.NotFound
		if found && r.age == nil {
			want = feature.Null
		} else if found {
			want = feature.Present
		}
		if c := columns[0]; c.Statuses[i] != want || c.Found[i] != found || (found && c.EventTimes[i] != r.event) || goValue(c.Values(), i) != r.age {
			t.Fatalf("key %d: %v %v, want %v %+v", 3-i/2, c.Statuses[i], goValue(c.Values(), i), want, r)
		}
	}
}

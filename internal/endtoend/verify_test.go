package endtoend

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/online"
)

// TestVerifyFinds changes, removes and adds online values behind the engine's back, and expects each to be found and named.
func TestVerifyFinds(t *testing.T) {
	w := newWorld(t, memoryDir(t), worldOptions{})
	defer func() { w.close() }()
	fields := []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}
	var rows []lawRow
	for k := range int64(50) {
		rows = append(rows, lawRow{key: []any{k}, event: second, created: second, x: k, s: "s"})
	}
	w.write("src/a.parquet", lawTable(fields, rows))
	w.now = 10 * second
	w.must(w.define(w.killDefinition(false)))
	view := w.model.Views[0].View
	verify := func(r materialize.VerifyRequest) materialize.Verification {
		t.Helper()
		v, err := w.engine.Verify(context.Background(), view, r)
		w.must(err)
		return v
	}
	if _, err := w.engine.Verify(context.Background(), view, materialize.VerifyRequest{}); !errors.Is(err, feature.ErrNotFound) {
		t.Fatalf("verifying what was never published: %v", err)
	}
	_, err := w.materialize(materialize.Request{})
	w.must(err)
	if v := verify(materialize.VerifyRequest{}); !v.OK() || v.Keys != 50 || v.Equal != 50 {
		t.Fatalf("after a run: %+v", v)
	}
	if v := verify(materialize.VerifyRequest{Sample: 7}); !v.OK() || v.Keys != 7 {
		t.Fatalf("a sample of 7: %+v", v)
	}
	if v := verify(materialize.VerifyRequest{Sample: 70}); !v.OK() || v.Keys != 50 {
		t.Fatalf("a sample of more than all: %+v", v)
	}

	state, _, err := w.online.State(view.Name)
	w.must(err)
	p, err := w.online.Begin(view, false)
	w.must(err)
	values := []arrow.Array{arrayOf(feature.Scalar(feature.Int64), int64(99)), arrayOf(feature.Scalar(feature.String), "s")}
	w.must(p.Replace(feature.AppendKeyInt64(nil, 3), online.Row{Event: second, Created: second, AsOf: state.Watermark, Values: values}))
	w.must(p.Delete(feature.AppendKeyInt64(nil, 4)))
	w.must(p.Put(feature.AppendKeyInt64(nil, 1000), online.Row{Event: second, Created: second, AsOf: state.Watermark, Values: values}))
	w.must(p.Commit(state))
	v := verify(materialize.VerifyRequest{})
	if v.OK() || v.Keys != 50 || v.Equal != 48 || v.Different != 1 || v.Missing != 1 || v.Extra != 1 || len(v.Differences) != 3 {
		t.Fatalf("%+v", v)
	}
	if d := v.Differences[0]; d.Key != "key k=3" || d.Feature != "x" || d.Online != "99" || d.Offline != "3" || d.OnlineEvent != second {
		t.Errorf("the value that was changed: %+v", d)
	}
	if x, s := v.Features[0], v.Features[1]; x != (materialize.FeatureCounts{Name: "x", Equal: 48, Different: 1, Missing: 1}) || s.Equal != 49 || s.Different != 0 || s.Missing != 1 {
		t.Errorf("by feature: %+v", v.Features)
	}
	d := v.Differences[0]
	x, err := w.engine.Explain(context.Background(), w.model.Views[0], materialize.ExplainRequest{Key: d.Parts, Features: []int{0}, At: d.Watermark, Snapshot: d.Snapshot, Served: w.engine.Serves()})
	w.must(err)
	if f := x.Features[0]; f.Equal || valueText(f.Value, 0) != "3" || valueText(f.Online.Value, 0) != "99" || x.Rows[0].Source.File != "src/a.parquet" || x.Rows[0].Source.Row != 3 {
		t.Errorf("the rows behind the value that was changed: %+v", x)
	}
	if v.Differences[1].Key != "key k=4" || !strings.Contains(v.Differences[1].Online, "no such key") || v.Differences[2].Key != "key k=1000" {
		t.Errorf("the keys that were removed and added: %+v", v.Differences)
	}
	_, err = w.engine.SyncFull(context.Background(), w.model.Views)
	w.must(err)
	if v := verify(materialize.VerifyRequest{}); !v.OK() || v.Equal != 50 {
		t.Fatalf("after publishing everything anew: %+v", v)
	}
}

// TestPublishInPieces publishes more keys than a piece of a publication that rests has, anew, in place, and first in place and then anew since much has changed,
// while they are looked up again and again: online is what training sees.
func TestPublishInPieces(t *testing.T) {
	const keys = 10_000
	written := 0
	w := newWorld(t, memoryDir(t), worldOptions{cache: 32 << 20, rest: 0.1, bulk: 1, step: func(name string, done bool) error {
		if name == "values" && done {
			written++
		}
		return nil
	}})
	defer func() { w.close() }()
	fields := []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}
	var rows []lawRow
	for k := range int64(keys) {
		rows = append(rows, lawRow{key: []any{k}, event: second, created: second, x: k, s: "s"})
		if k%10 == 0 {
			rows = append(rows, lawRow{key: []any{k}, event: 12 * second, created: second, x: k + 1, s: "t"})
		}
		if k%2 == 0 {
			rows = append(rows, lawRow{key: []any{k}, event: 22 * second, created: second, x: k + 2, s: "u"})
		}
	}
	w.write("src/a.parquet", lawTable(fields, rows))
	w.now = 10 * second
	w.must(w.define(w.killDefinition(false)))
	view := w.model.Views[0].View
	var group errgroup.Group
	ended := make(chan struct{})
	group.Go(func() error {
		for {
			select {
			case <-ended:
				return nil
			default:
			}
			if _, err := w.online.Get(context.Background(), view, []int{0}, []feature.Key{feature.AppendKeyInt64(nil, 3)}, w.now); err != nil {
				return err
			}
		}
	})
	for _, want := range []struct {
		keys    int64
		pieces  int
		rebuilt bool
	}{{keys, 157, true}, {keys / 10, 16, false}, {keys, 20 + 157, true}} { // the last time it gives up after twenty pieces in place
		written = 0
		done, err := w.materialize(materialize.Request{})
		w.must(err)
		if got := done[0].Published; got.Keys != want.keys || got.Rebuilt != want.rebuilt || written != want.pieces {
			t.Errorf("%+v in %d pieces, want %+v", got, written, want)
		}
		if v, err := w.engine.Verify(context.Background(), view, materialize.VerifyRequest{}); err != nil || !v.OK() || v.Keys != keys {
			t.Errorf("%+v, %v", v, err)
		}
		w.now += 10 * second
	}
	close(ended)
	w.must(group.Wait())
}

// meanwhile is what is served while others publish: it calls publish before each lookup.
type meanwhile struct {
	materialize.Served
	publish func()
}

func (m meanwhile) Get(ctx context.Context, view *feature.View, features []int, keys []arrow.Array, rows int) ([]*online.Column, error) {
	m.publish()
	return m.Served.Get(ctx, view, features, keys, rows)
}

// TestVerifyWhilePublished publishes other values between two looks at the state of publication: they are looked up again, and compared with
// what was published then. It gives up where every lookup meets a publication.
func TestVerifyWhilePublished(t *testing.T) {
	var w *world
	var between, disk error // what a verification says between the values and the state, and how writing the state fails
	w = newWorld(t, memoryDir(t), worldOptions{step: func(name string, done bool) error {
		if name != "state" || done {
			return nil
		}
		_, between = w.engine.Verify(context.Background(), w.model.Views[0].View, materialize.VerifyRequest{})
		return disk
	}})
	defer func() { w.close() }()
	fields := []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}
	var rows []lawRow
	for k := range int64(50) {
		rows = append(rows, lawRow{key: []any{k}, event: second, created: second, x: k, s: "s"}, lawRow{key: []any{k}, event: 12 * second, created: second, x: k + 1, s: "t"})
	}
	w.write("src/a.parquet", lawTable(fields, rows))
	w.now = 10 * second
	w.must(w.define(w.killDefinition(false)))
	view := w.model.Views[0].View
	_, err := w.materialize(materialize.Request{})
	w.must(err)
	lookups := 0
	once := meanwhile{w.engine.Serves(), func() {
		if lookups++; lookups == 1 {
			w.now += 10 * second
			_, err := w.materialize(materialize.Request{})
			w.must(err)
		}
	}}
	v, err := w.engine.Verify(context.Background(), view, materialize.VerifyRequest{Served: once})
	if err != nil || !v.OK() || v.Equal != 50 || v.Watermark != 20*second || lookups != 2 {
		t.Fatalf("a publication after the first look: %+v, %v, %d lookups", v, err, lookups)
	}
	if !errors.Is(between, feature.ErrConflict) {
		t.Fatalf("a publication under way: %v", between)
	}
	always := meanwhile{w.engine.Serves(), func() {
		w.now += second
		_, err := w.materialize(materialize.Request{})
		w.must(err)
	}}
	if v, err := w.engine.Verify(context.Background(), view, materialize.VerifyRequest{Served: always}); !errors.Is(err, feature.ErrConflict) {
		t.Fatalf("publications without end: %+v, %v", v, err)
	}
	w.write("src/b.parquet", lawTable(fields, []lawRow{{key: []any{int64(3)}, event: w.now, created: second, x: int64(9), s: "u"}}))
	w.now, disk = w.now+3*second, errors.New("the disk is gone") // the delay is 2 s
	if _, err := w.materialize(materialize.Request{}); !errors.Is(err, disk) {
		t.Fatalf("a publication that fails: %v", err)
	}
	if v, err := w.engine.Verify(context.Background(), view, materialize.VerifyRequest{}); !errors.Is(err, feature.ErrUnavailable) {
		t.Fatalf("an interrupted publication: %+v, %v", v, err)
	}
	if v, err := w.engine.Verify(context.Background(), view, materialize.VerifyRequest{Served: unfinished{w.engine.Serves()}}); !errors.Is(err, feature.ErrUnavailable) {
		t.Fatalf("an unfinished publication: %+v, %v", v, err)
	}
	x, err := w.engine.Explain(context.Background(), w.model.Views[0], materialize.ExplainRequest{Key: []arrow.Array{arrayOf(fields[0].Type, int64(3))}, Features: []int{0}, At: w.now,
		Served: unfinished{w.engine.Serves()}})
	if err != nil || x.Online != nil || len(x.Notes) != 1 || !strings.Contains(x.Notes[0], "interrupted") {
		t.Fatalf("explaining beside an unfinished publication: %+v, %v", x, err)
	}
}

// unfinished is what is served while a publication is under way.
type unfinished struct{ materialize.Served }

func (u unfinished) State(ctx context.Context, view *feature.View) (online.State, bool, error) {
	state, known, err := u.Served.State(ctx, view)
	state.Unfinished = true
	return state, known, err
}

// TestServedExpires compares values that have expired by the clock of those who serve them: their event times are right, or found wrong.
func TestServedExpires(t *testing.T) {
	w := newWorld(t, memoryDir(t), worldOptions{})
	defer func() { w.close() }()
	fields := []feature.Field{{Name: "k", Type: feature.Scalar(feature.Int64)}}
	w.write("src/a.parquet", lawTable(fields, []lawRow{{key: []any{int64(1)}, event: second, x: int64(1)}, {key: []any{int64(2)}, event: 9 * second, x: int64(2)}}))
	w.now = 10 * second
	w.must(w.define(`entities: [{name: e, keys: {k: int64}}]
sources: [{name: src, parquet: 'src/*.parquet', event_time: at}]
views: [{name: v, entity: e, source: src, ttl: 10s, features: [{name: x, type: int64, default: 7}]}]
`))
	_, err := w.materialize(materialize.Request{})
	w.must(err)
	view := w.model.Views[0].View
	w.now = 15 * second // the first row has expired by now, and had not at the watermark
	request := materialize.VerifyRequest{Served: w.engine.Serves()}
	if v, err := w.engine.Verify(context.Background(), view, request); err != nil || !v.OK() || v.Equal != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	state, _, err := w.online.State(view.Name)
	w.must(err)
	p, err := w.online.Begin(view, false)
	w.must(err)
	w.must(p.Replace(feature.AppendKeyInt64(nil, 1), online.Row{Event: 2 * second, AsOf: state.Watermark, Values: []arrow.Array{arrayOf(feature.Scalar(feature.Int64), int64(1))}}))
	w.must(p.Commit(state))
	if v, err := w.engine.Verify(context.Background(), view, request); err != nil || v.Different != 1 || v.Differences[0].OnlineEvent != 2*second || v.Differences[0].OfflineEvent != second {
		t.Fatalf("another event time: %+v, %v", v, err)
	}
}

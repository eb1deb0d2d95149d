package endtoend

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

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
	if v.Differences[1].Key != "key k=4" || !strings.Contains(v.Differences[1].Online, "no such key") || v.Differences[2].Key != "key k=1000" {
		t.Errorf("the keys that were removed and added: %+v", v.Differences)
	}
	_, err = w.engine.SyncFull(context.Background(), w.model.Views)
	w.must(err)
	if v := verify(materialize.VerifyRequest{}); !v.OK() || v.Equal != 50 {
		t.Fatalf("after publishing everything anew: %+v", v)
	}
}

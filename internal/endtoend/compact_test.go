package endtoend

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
)

// TestRunsCompact makes many incremental runs: the number of files stays small, the online store is at the snapshot with the merged files,
// and nothing is left to publish.
func TestRunsCompact(t *testing.T) {
	w := newWorld(t, memoryDir(t), worldOptions{})
	defer w.close()
	w.write("src/a.parquet", killRows(0, 100, 1))
	w.must(w.define(w.killDefinition(false)))
	merged, most := 0, 0
	for at := range 80 {
		w.now = feature.Time(at) * second
		results, err := w.materialize(materialize.Request{})
		w.must(err)
		w.must(results[0].Uncompacted)
		merged += results[0].Compacted.Files
		current, err := w.offline.Snapshot(context.Background(), "v")
		w.must(err)
		most = max(most, len(current.Files()))
		state, _, err := w.online.State("v")
		w.must(err)
		if state.Snapshot != current.ID() || state.Watermark != w.now {
			t.Fatalf("online is at %+v after a run that made snapshot %d", state, current.ID())
		}
		w.must(current.Close())
		if published, err := w.engine.Publish(context.Background(), w.model.Views[0].View); err != nil || published != (materialize.Published{}) {
			t.Fatalf("publishing again does %+v, %v", published, err)
		}
	}
	if merged < 50 || most > 70 {
		t.Errorf("%d files were merged, and there were %d at a time", merged, most)
	}
	verified, err := w.engine.Verify(context.Background(), w.model.Views[0].View, materialize.VerifyRequest{})
	if err != nil || !verified.OK() || verified.Keys == 0 {
		t.Errorf("verifying says %+v, %v", verified, err)
	}
}

// TestRunOutlivesCompaction breaks merging at each durable step, and then the publication that follows it: the run has done what it should and
// says why files were not merged, and the next run merges them.
func TestRunOutlivesCompaction(t *testing.T) {
	broken := errors.New("broken on purpose")
	seen := map[string]bool{}
	for at := 0; ; at++ {
		armed, left, struck := false, at, ""
		w := newWorld(t, memoryDir(t), worldOptions{compact: pairs, step: func(name string, done bool) error {
			if left--; !armed || left >= 0 || struck != "" {
				return nil
			}
			struck = name
			return broken
		}})
		w.write("src/a.parquet", killRows(0, 30, 1))
		w.must(w.define(w.killDefinition(false)))
		w.engine.Compact = offline.CompactOptions{Files: 9}
		for run := range 3 {
			w.now = feature.Time(5*run+5) * second
			_, err := w.materialize(materialize.Request{})
			w.must(err)
		}
		w.engine.Compact = pairs
		w.now += 5 * second
		w.engine.Report = whenPublished{func() { armed, left = true, at }}
		results, err := w.materialize(materialize.Request{})
		w.engine.Report = nil
		w.must(err)
		r := results[0]
		if struck == "" {
			w.close()
			break
		}
		seen[struck] = true
		if !errors.Is(r.Uncompacted, broken) || r.Watermark != w.now || r.Published.Keys == 0 {
			t.Fatalf("step %d, %s: the result is %+v", at, struck, r)
		}
		w.now += 5 * second
		results, err = w.materialize(materialize.Request{})
		w.must(err)
		w.must(results[0].Uncompacted)
		snapshot, err := w.offline.Snapshot(context.Background(), "v")
		w.must(err)
		state, _, err := w.online.State("v")
		w.must(err)
		if len(snapshot.Files()) > 2 || state.Snapshot != snapshot.ID() {
			t.Fatalf("step %d, %s: afterwards there are %d files, and online is at %+v", at, struck, len(snapshot.Files()), state)
		}
		w.must(snapshot.Close())
		w.close()
	}
	for _, want := range []string{"offline.data-file", "offline.commit", "offline.version-hint", "state"} {
		if !seen[want] {
			t.Errorf("no step %s was broken: %v", want, seen)
		}
	}
}

// whenPublished calls a function when a view has been published.
type whenPublished struct{ do func() }

// Start tells of a task.
func (w whenPublished) Start(task string, _ int64) materialize.Progress {
	return published{w, strings.HasSuffix(task, ": publishing")}
}

type published struct {
	whenPublished
	is bool
}

func (published) Add(int64) {}
func (published) Fail()     {}
func (p published) Done(string) {
	if p.is {
		p.do()
	}
}

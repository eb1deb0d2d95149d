package materialize

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/stages"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenRuns are a run of every kind of line.
func goldenRuns() []RunRecord {
	from, to := time.Date(2026, 1, 30, 0, 0, 0, 1000, time.UTC), time.Date(2026, 1, 31, 0, 0, 3, 123456000, time.UTC)
	return []RunRecord{
		{RunID: "0191f3ab-0000-4000-8000-000000000001", View: "customer_spend", By: ByScheduler, Attempt: 1, PID: 4711, Started: to, Seconds: 12.345678,
			Outcome: RunOK, From: &from, To: &to, Rows: 120_000, Skipped: 3, Keys: 4500,
			Stages: []stages.Work{{Stage: stages.Read, Seconds: 0.25, Bytes: 3 << 20}, {Stage: stages.Publish, Seconds: 1.5, Rows: 4500}}},
		{RunID: "0191f3ab-0000-4000-8000-000000000002", View: "customer_profile", By: ByCommand, Attempt: 1, PID: 4712, Started: to, Seconds: 0.5,
			Outcome: RunFailed, To: &to, Rebuilt: true, Error: "view customer_profile: column \"age\" has <no> value\nin data/a.parquet"},
		{RunID: "0191f3ab-0000-4000-8000-000000000003", View: "customer_spend", By: ByScheduler, Attempt: 2, PID: 4711, Started: to},
	}
}

// TestRunLines holds what is written against a golden file, and reads that.
func TestRunLines(t *testing.T) {
	path := filepath.Join("testdata", "runs.golden")
	var got []byte
	for _, r := range goldenRuns() {
		line, err := r.line()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, line...)
	}
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the lines are\n%s\nwant\n%s", got, want)
	}
	read, damaged := parseRuns(want)
	if diff := cmp.Diff(goldenRuns(), read); diff != "" || damaged != 0 {
		t.Errorf("%d damaged lines; %s", damaged, diff)
	}
}

// TestInstant: JSON has no words for the ends of time.
func TestInstant(t *testing.T) {
	for _, at := range []feature.Time{feature.MinTime, feature.MaxTime} {
		if got := instant(at); got != nil {
			t.Errorf("%d is %s", at, got)
		}
	}
	r := RunRecord{RunID: "r", View: "v"}
	r.finish(Result{Range: feature.Range{From: feature.MinTime, To: feature.MaxTime}}, RunOK, nil, 0)
	if _, err := r.line(); err != nil {
		t.Error(err)
	}
	if r.finish(Result{Range: feature.Range{From: 5, To: 4}}, RunOK, nil, 0); r.From != nil || r.To != nil {
		t.Errorf("a run that had nothing to do is from %s to %s", r.From, r.To)
	}
}

// FuzzRunLines: no bytes make the reader panic, and what it reads is what it would write.
func FuzzRunLines(f *testing.F) {
	if text, err := os.ReadFile(filepath.Join("testdata", "runs.golden")); err == nil {
		f.Add(text)
	}
	f.Add([]byte("00000000 {}\n"))
	f.Add([]byte("\n \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		runs, damaged := parseRuns(text)
		if lines := bytes.Count(text, []byte("\n")); len(runs) > lines || len(runs)+damaged < lines {
			t.Fatalf("%d lines have %d runs and %d damaged ones", lines, len(runs), damaged)
		}
		for _, r := range runs {
			line, err := r.line()
			if err != nil {
				t.Fatalf("%+v was read and cannot be written: %v", r, err)
			}
			again, ok := parseRun(line)
			if !ok && len(line) <= runLineMax || ok && !cmp.Equal(again, r) {
				t.Fatalf("%+v is read again as %+v, %t", r, again, ok)
			}
		}
	})
}

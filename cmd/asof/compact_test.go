package main

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/filelock"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
)

// manyRuns materializes last_payment once, and then every six hours, as an asof that merged no files.
func manyRuns(t *testing.T) {
	t.Helper()
	store, err := offline.Open(context.Background(), "warehouse", offline.Options{})
	if err != nil {
		t.Fatal(err)
	}
	model, err := definitions.Load("features.yaml", definitions.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2024, 5, 17, 0, 0, 0, 0, time.UTC)
	engine := &materialize.Engine{Offline: store, Now: func() time.Time { return now }, Compact: offline.CompactOptions{Files: 1000}}
	for run := range 25 {
		to := feature.TimeOf(now.Add(time.Duration(run-24) * 6 * time.Hour))
		if _, err := engine.Run(context.Background(), model.Views[:1], materialize.Request{To: &to}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCompact merges the files of many runs, before there are any, while somebody writes, and when there is nothing to merge.
func TestCompact(t *testing.T) {
	inProject(t, "apply")
	if got := ok(t, "compact"); got != "last_payment: never materialized\nprofile: never materialized\n" {
		t.Errorf("before the first run: %s", got)
	}
	fails(t, 3, []string{"profil", "did you mean profile?"}, "compact", "profil")
	manyRuns(t)
	ok(t, "materialize", "profile")
	ok(t, "sync")
	get := []string{"get", "fraud", "--key", "customer_id=7", "--key", "payee_id=8"}
	want := ok(t, get...)
	lock, err := os.OpenFile("warehouse/features/last_payment/asof.lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := filelock.Try(lock); err != nil {
		t.Fatal(err)
	}
	got := asof(t, "compact")
	if got.code != 6 || got.stdout != "profile: nothing to merge\n" || !strings.Contains(got.stderr, "view last_payment is being written by process ") {
		t.Errorf("while somebody writes: %+v", got)
	}
	if err := filelock.Release(lock); err != nil {
		t.Fatal(err)
	}
	merged := regexp.MustCompile(`^last_payment: \d\d files merged into [12], \d\d\d rows\nprofile: nothing to merge\n$`)
	if got := ok(t, "compact"); !merged.MatchString(got) {
		t.Errorf("after many runs: %s", got)
	}
	if got := ok(t, "compact", "last_payment"); got != "last_payment: nothing to merge\n" {
		t.Errorf("once more: %s", got)
	}
	if got := ok(t, "explain", "fraud", "--key", "customer_id=7", "--key", "payee_id=8"); strings.Contains(got, "asof sync publishes") {
		t.Errorf("explain takes other files for other rows: %s", got)
	}
	if got := ok(t, "sync"); strings.Contains(got, "published") {
		t.Errorf("other files are published: %s", got)
	}
	if got := ok(t, get...); got != want {
		t.Errorf("afterwards %s is served, and before %s", got, want)
	}
	ok(t, "verify", "--all")
	ok(t, "check")
}

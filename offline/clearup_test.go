package offline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/asof-store/asof/feature"
)

// TestClearUp lets a run die when it has written its data files: what it has left goes, unless another run is going on, and the history stays.
func TestClearUp(t *testing.T) {
	ctx, dir, view := context.Background(), t.TempDir(), wide()
	r := feature.Range{From: 1000, To: 1999}
	s := openStore(t, dir, Options{})
	snapshot, err := replace(s, view, commitFor(r), wideRows(), 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	files := func() int {
		t.Helper()
		found, err := os.ReadDir(filepath.Join(s.tableDir(view.Name), "data"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	before := files()
	// What a process that dies leaves: a journal, and the file that it lists.
	dead, err := s.startRun(ctx, view.Name, "dead")
	if err != nil {
		t.Fatal(err)
	}
	f, err := dead.nextDataFile()
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ClearUp(ctx, view.Name); err != nil || files() != before+1 {
		t.Fatalf("beside a run that goes on: %v, %d files, want %d", err, files(), before+1)
	}
	if err := dead.journal.release(); err != nil {
		t.Fatal(err)
	}
	if err := s.ClearUp(ctx, view.Name); err != nil || files() != before {
		t.Fatalf("after a run that has died: %v, %d files, want %d", err, files(), before)
	}
	again, err := s.Snapshot(ctx, view.Name)
	if err != nil {
		t.Fatal(err)
	}
	sameRows(t, view, readAll(t, again, view), wideRows())
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.ClearUp(ctx, "no/view"); !errors.Is(err, feature.ErrInvalid) {
		t.Errorf("a name that can be none: %v", err)
	}
}

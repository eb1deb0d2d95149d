package offline

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
)

// TestMoved opens copies of a warehouse, whose tables name the files of the original: none is read or written, whether the original is still
// there or not. The same directory by another name is no copy.
func TestMoved(t *testing.T) {
	dir, ctx := tempDir(t), context.Background()
	original, copied, link := filepath.Join(dir, "original"), filepath.Join(dir, "copied"), filepath.Join(dir, "link")
	prepareRuns(t, original, 1)
	if err := errors.Join(os.CopyFS(copied, os.DirFS(original)), os.Symlink(original, link)); err != nil {
		t.Fatal(err)
	}
	checkHistory(t, link, 1)
	for _, there := range []bool{true, false} {
		if !there {
			if err := os.Rename(original, original+".away"); err != nil {
				t.Fatal(err)
			}
		}
		s := openStore(t, copied, smallFiles)
		_, read := s.Snapshot(ctx, "purchases")
		_, written := second(s)
		_, checked := s.Check(ctx, purchases(), CheckOptions{}, func(f Finding) { t.Errorf("found %+v", f) })
		for what, err := range map[string]error{"reading": read, "writing": written, "checking": checked} {
			if !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), "was written in "+original) {
				t.Errorf("%s a copy: %v", what, err)
			}
		}
	}
	if err := os.Rename(copied, original); err != nil {
		t.Fatal(err)
	}
	checkHistory(t, original, 1)
}

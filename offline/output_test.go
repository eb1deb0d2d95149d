package offline

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
)

// TestEndingFails ends a file behind its writer, on a disk that fails: whoever settles it is told, and an abandoned file is closed.
func TestEndingFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data.parquet")
	file, err := disk.OS{}.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	stepped := false
	e := &ending{file: &durableFile{File: file, step: func(string, bool) error { stepped = true; return nil }}, buffer: inTurn{bufio.NewWriter(file)}}
	broken := errors.New("broken disk")
	e.behind.Go(func() error { return unavailable(broken) })
	o := &output{run: &run{view: "customers"}, ending: e}
	err = o.settle()
	if !errors.Is(err, broken) || !errors.Is(err, feature.ErrUnavailable) || !strings.Contains(err.Error(), "customers") || !strings.Contains(err.Error(), path) {
		t.Errorf("settled with %v", err)
	}
	if stepped {
		t.Error("a file counts as durable that is not")
	}
	o.abandon()
	if _, err := file.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("an abandoned file takes writes: %v", err)
	}
}

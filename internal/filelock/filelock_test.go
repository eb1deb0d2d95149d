//go:build unix

package filelock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	a, b := open(t, path), open(t, path)
	if got := Holder(a); got != "(unknown)" {
		t.Errorf("a file that nobody has signed is held by %s", got)
	}
	if err := Try(a); err != nil {
		t.Fatal(err)
	}
	if _, err := a.WriteAt([]byte(Sign()), 0); err != nil {
		t.Fatal(err)
	}
	if err := Try(b); !errors.Is(err, ErrTaken) {
		t.Errorf("locking a locked file: %v", err)
	}
	if got := Holder(b); got != fmt.Sprint(os.Getpid()) {
		t.Errorf("it is held by %s, not by this process, %d", got, os.Getpid())
	}
	var waits errgroup.Group
	waits.Go(func() error { return Wait(b) })
	if err := Release(a); err != nil {
		t.Fatal(err)
	}
	if err := waits.Wait(); err != nil {
		t.Fatal(err)
	}
	c := open(t, path)
	if err := Try(c); !errors.Is(err, ErrTaken) {
		t.Errorf("locking what another has waited for: %v", err)
	}
	if err := errors.Join(Release(b), Try(c), Release(c)); err != nil {
		t.Error(err)
	}
}

// TestShared lets two share a file that nobody may have alone meanwhile, and neither while somebody has it alone.
func TestShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	a, b, alone := open(t, path), open(t, path), open(t, path)
	if err := errors.Join(TryShared(a), TryShared(b)); err != nil {
		t.Fatal(err)
	}
	if err := Try(alone); !errors.Is(err, ErrTaken) {
		t.Errorf("locking a shared file: %v", err)
	}
	if err := errors.Join(Release(a), Release(b), Try(alone)); err != nil {
		t.Fatal(err)
	}
	if err := TryShared(open(t, path)); !errors.Is(err, ErrTaken) {
		t.Errorf("sharing a locked file: %v", err)
	}
	if err := Release(alone); err != nil {
		t.Error(err)
	}
}

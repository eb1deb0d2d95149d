package disk

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// TestSyncer writes while syncs are under way: there is one at a time, the next one begins when there is enough for it, and Wait returns after the last.
func TestSyncer(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	syncs := 0 // touched by one sync at a time, and by the test after Wait: the race detector would tell
	sync := func() error {
		syncs++
		begun <- struct{}{}
		<-end
		return nil
	}
	var s Syncer
	s.wrote(sync, syncBytes-1)
	if s.underWay.Load() {
		t.Fatal("a sync begins before there is enough for it")
	}
	s.wrote(sync, 1)
	<-begun
	s.wrote(sync, 5*syncBytes) // no second one meanwhile: its end would be waited for in vain
	end <- struct{}{}
	for s.fresh >= syncBytes { // until the first one is seen to have ended
		s.wrote(sync, 1)
	}
	<-begun
	s.wrote(sync, syncBytes/2)
	waited := make(chan error)
	go func() { waited <- s.Wait() }()
	select {
	case err := <-waited:
		t.Fatalf("Wait returns %v while a sync is under way", err)
	case end <- struct{}{}:
	}
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if syncs != 2 {
		t.Errorf("%d syncs, not 2", syncs)
	}
}

// TestSyncerError has a sync fail between others that do not: Wait tells of it, each time, though the system would not tell the sync at the end.
func TestSyncerError(t *testing.T) {
	failure := errors.New("input/output error")
	var s Syncer
	for _, err := range []error{nil, failure, nil, nil} {
		s.wrote(func() error { return err }, syncBytes)
		for s.underWay.Load() {
			runtime.Gosched()
		}
	}
	for range 2 {
		if err := s.Wait(); !errors.Is(err, failure) {
			t.Errorf("Wait returns %v, not %v", err, failure)
		}
	}
}

// TestSyncerFile syncs files of the operating system, and no others.
func TestSyncerFile(t *testing.T) {
	closed, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	var s, other Syncer
	s.Wrote(closed, syncBytes)
	if err := s.Wait(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a sync of a closed file: %v", err)
	}
	other.Wrote(struct{ File }{closed}, syncBytes)
	if err := other.Wait(); err != nil {
		t.Errorf("a file that is not the system's was synced: %v", err)
	}
}

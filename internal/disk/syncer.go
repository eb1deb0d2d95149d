package disk

import (
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// syncBytes is how much is written, at least, between the beginnings of two syncs of a file that is being written.
const syncBytes = 8 << 20

// Syncer syncs a file while more is written to it, so that the sync at the end has little to wait for: neither for bytes on their way to the disk, nor for the
// disk to bring them out of a cache of its own, which can take as long. The zero value is that of a file of which nothing has been written. It belongs to one goroutine, and
// [Syncer.Wait] has to be called before the file is closed.
type Syncer struct {
	fresh    int // bytes written since the last sync began
	underWay atomic.Bool
	group    errgroup.Group
}

// Wrote takes note of n bytes more at the end of the file. Where to is no file of the operating system's, nothing is synced.
func (s *Syncer) Wrote(to io.Writer, n int) {
	if file, ok := to.(*os.File); ok {
		s.wrote(file.Sync, n)
	}
}

func (s *Syncer) wrote(sync func() error, n int) {
	s.fresh += n
	if s.fresh < syncBytes || !s.underWay.CompareAndSwap(false, true) {
		return
	}
	s.fresh = 0
	s.group.Go(func() error {
		defer s.underWay.Store(false)
		return sync()
	})
}

// Wait returns when no sync is under way, with the first error that there was. The system tells of an error once: the sync at the end need not fail on it again.
func (s *Syncer) Wait() error { return s.group.Wait() }

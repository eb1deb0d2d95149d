package online

import (
	"sync"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"
)

// snapshots hands out the newest snapshot of a Badger store. Readers share it until the next write has ended: one that they opened themselves would wait
// for all writes that are under way, and so for the disk. It is taken by the writer, before the write is acknowledged.
type snapshots struct {
	writers sync.Mutex // held while a snapshot is taken, so that each is newer than the one before
	mu      sync.Mutex
	current *snapshot      // nil once closed
	closing errgroup.Group // bulks that no snapshot has any more
}

// snapshot is a transaction that reads, and the bulks beside it, in the order of their prefixes. The rows of a bulk count that has a record in the transaction.
type snapshot struct {
	txn   *badger.Txn
	bulks []*bulk
	users int // those who read, and snapshots as long as it is the newest
}

// refresh takes a new snapshot of db, which has in it what has been written before the call, and what change makes of the bulks; nil: they stay.
func (s *snapshots) refresh(db *badger.DB, change func([]*bulk) []*bulk) {
	s.writers.Lock()
	defer s.writers.Unlock()
	next := &snapshot{txn: db.NewTransaction(false), users: 1}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		next.bulks = s.current.bulks
	}
	if change != nil {
		next.bulks = change(next.bulks)
	}
	for _, b := range next.bulks {
		b.users++
	}
	s.drop(s.current)
	s.current = next
}

// acquire returns the newest snapshot, for release to be called with.
func (s *snapshots) acquire() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.users++
	return s.current
}

func (s *snapshots) release(t *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(t)
}

// close gives the newest snapshot up, and waits until all bulks are closed. There are no other snapshots left.
func (s *snapshots) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(s.current)
	s.current = nil
	return s.closing.Wait()
}

// drop ends one use of t.
func (s *snapshots) drop(t *snapshot) {
	if t == nil {
		return
	}
	if t.users--; t.users > 0 {
		return
	}
	t.txn.Discard()
	for _, b := range t.bulks {
		if b.users--; b.users == 0 {
			s.closing.Go(b.close) // which takes its time: a lookup may be what ends
		}
	}
}

package online

import (
	"sync"

	"github.com/dgraph-io/badger/v4"
)

// snapshots hands out the newest snapshot of a Badger store. Readers share it until the next write has ended: one that they opened themselves would wait
// for all writes that are under way, and so for the disk. It is taken by the writer, before the write is acknowledged.
type snapshots struct {
	mu      sync.Mutex
	current *sharedTxn // nil once closed
}

// sharedTxn is a transaction that reads, and how many use it: those who read, and snapshots as long as it is the newest.
type sharedTxn struct {
	txn   *badger.Txn
	users int
}

// refresh takes a new snapshot of db, which has in it what has been written before the call.
func (s *snapshots) refresh(db *badger.DB) {
	txn := db.NewTransaction(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.txn.ReadTs() > txn.ReadTs() { // that of another writer, who overtook this one
		txn.Discard()
		return
	}
	s.drop(s.current)
	s.current = &sharedTxn{txn: txn, users: 1}
}

// acquire returns the newest snapshot, for release to be called with.
func (s *snapshots) acquire() *sharedTxn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.users++
	return s.current
}

func (s *snapshots) release(t *sharedTxn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(t)
}

// close gives the newest snapshot up. There are no others left.
func (s *snapshots) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(s.current)
	s.current = nil
}

// drop ends one use of t.
func (s *snapshots) drop(t *sharedTxn) {
	if t == nil {
		return
	}
	if t.users--; t.users == 0 {
		t.txn.Discard()
	}
}

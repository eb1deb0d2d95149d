package online

import "time"

// restRows is how many rows are written or removed between two rests.
const restRows = 1 << 12

// RestServing is the Rest of a server: publications take a fifth of one processor at most, while lookups come in.
const RestServing = 4

// rester has a publication rest, if the store is set up for it, as long as lookups come in: those have the processors meanwhile. Without lookups it works on.
type rester struct {
	store   *Store
	lookups int64     // that had come when it last rested
	since   time.Time // when it last rested
}

// newRester begins to count work.
func (s *Store) newRester() *rester {
	return &rester{store: s, lookups: s.lookups.Load(), since: time.Now()}
}

// rest is called after each piece of work.
func (r *rester) rest() {
	lookups, worked := r.store.lookups.Load(), time.Since(r.since)
	if lookups != r.lookups {
		time.Sleep(time.Duration(r.store.options.Rest * float64(worked)))
	}
	r.lookups, r.since = lookups, time.Now()
}

// Rests reports whether publications rest between small pieces of work: whoever makes what is published should do so in small pieces too.
func (s *Store) Rests() bool { return s.options.Rest > 0 }

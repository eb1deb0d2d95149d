package online

import (
	"context"
	"errors"
	"runtime"
	"time"
)

// restRows is how many rows are removed between two rests.
const restRows = 1 << 12

// RestServing is the Rest of a server: while lookups come in, publications take a thirty-sixth of the processors, or one of more than that. On a machine whose processors
// requests keep busy for most of the time, more of it shows in the slowest of them.
func RestServing() float64 {
	const part = 36
	return max(restLeast, part/float64(runtime.GOMAXPROCS(0))-1)
}

// restLeast leaves publications their small pieces.
const restLeast = 0.1

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

// rest is called after each piece of work. It ends early, with the error of ctx, when that does.
func (r *rester) rest(ctx context.Context) error {
	lookups, worked := r.store.lookups.Load(), time.Since(r.since)
	if lookups != r.lookups && r.store.Rests() {
		rested := time.NewTimer(time.Duration(r.store.options.Rest * float64(worked)))
		defer rested.Stop()
		select {
		case <-rested.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.lookups, r.since = lookups, time.Now()
	return nil
}

// Rests reports whether publications rest between small pieces of work, in each of which whoever publishes makes some rows and then calls [Publish.Rest].
func (s *Store) Rests() bool { return s.options.Rest > 0 }

// Rest ends a piece of work of a publication that rests: it writes what has been put, and then rests as long as [Options] say, counted from the last rest.
// Where publications do not rest it does nothing.
func (p *Publish) Rest(ctx context.Context) error {
	if !p.store.Rests() {
		return nil
	}
	if err := errors.Join(p.guard(p.flush), p.guard(p.wait)); err != nil {
		return err
	}
	return p.rester.rest(ctx)
}

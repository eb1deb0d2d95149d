package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	connections  = 2    // so that the load is not held up by one
	closedCalls  = 32   // requests under way when as many are sent as are answered
	openCallsMax = 256  // requests under way at most when they are sent at a rate; others wait, which counts
	requestsMade = 1024 // different ones

	loadGCPercent = 800 // a load has few objects that live; what it allocates is not to take the processors from what it measures
)

// taskLoad sends requests to a server. The first answer of asof is compared with what the generator knows.
func taskLoad(ctx context.Context, t task) (o outcome, err error) {
	debug.SetGCPercent(loadGCPercent)
	dial := dialGRPC
	if t.Load.JSON {
		dial = dialHTTP
	}
	asked := t.keysAsked()
	c, err := dial(t.Load.Address, asked)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	var answer []byte
	err = c.ask(ctx, 0, &answer)
	if err == nil && t.Load.Response == 0 {
		err = t.checkAnswer(asked[0], answer, c.decode)
	}
	if err != nil {
		return o, err
	}
	l := &loader{client: c, bytes: len(answer)}
	// All requests are answered once before any counts, so that caches have what they are to have.
	for i := range requestsMade {
		if err := l.ask(ctx, i); err != nil {
			return o, err
		}
	}
	if t.Load.Rate == 0 {
		err = l.closed(ctx, t.Load.Seconds)
	} else {
		err = l.open(ctx, t.Load)
	}
	return l.outcome(), err
}

// loader sends requests and notes how long each takes.
type loader struct {
	client  *client
	bytes   int // of an answer
	seconds float64

	mu    sync.Mutex
	taken []time.Duration
}

// ask sends a request, and fails where it is answered with nothing.
func (l *loader) ask(ctx context.Context, i int) error {
	var size int
	if err := l.client.ask(ctx, i, &size); err != nil {
		return err
	}
	if size == 0 {
		return errors.New("an empty answer")
	}
	return nil
}

// closed sends requests for so many seconds, each as soon as the one before it has been answered.
func (l *loader) closed(ctx context.Context, seconds float64) error {
	begun := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for worker := range closedCalls {
		group.Go(func() error {
			var taken []time.Duration
			for i := worker; time.Since(begun).Seconds() < seconds; i += closedCalls {
				sent := time.Now()
				if err := l.ask(ctx, i%requestsMade); err != nil {
					return err
				}
				taken = append(taken, time.Since(sent))
			}
			l.add(taken)
			return nil
		})
	}
	err := group.Wait()
	l.seconds = time.Since(begun).Seconds()
	return err
}

// open sends requests at a rate for so many seconds, with a publication under way all the time if there is to be one, which then is given up. Each takes as long as
// from when it was due, whether it could be sent then or not.
func (l *loader) open(ctx context.Context, o load) error {
	begun := time.Now()
	length := time.Duration(o.Seconds * float64(time.Second))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		publishing, stop := context.WithCancel(ctx)
		defer stop()
		time.AfterFunc(length, stop)
		for o.Publishing && publishing.Err() == nil {
			if err := publish(publishing, o.Admin); err != nil && publishing.Err() == nil {
				return err
			}
		}
		return nil
	})
	due := make(chan time.Time, o.Rate) // a second's worth
	group.Go(func() error {
		defer close(due)
		// A sleep of Go's ends up to a millisecond late on an idle machine, one of the system's some 50 us.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		interval := time.Duration(float64(time.Second) / float64(o.Rate))
		for at := begun; at.Sub(begun) < length; at = at.Add(interval) {
			if wait := time.Until(at); wait > 0 {
				pause := syscall.NsecToTimespec(int64(wait))
				_ = syscall.Nanosleep(&pause, nil) // a signal ends it early, which makes no difference
			}
			select {
			case due <- at:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for worker := range openCallsMax {
		group.Go(func() error {
			random, taken := rand.New(rand.NewPCG(seed, uint64(worker))), []time.Duration(nil)
			for at := range due {
				if err := l.ask(ctx, random.IntN(requestsMade)); err != nil {
					return err
				}
				taken = append(taken, time.Since(at))
			}
			l.add(taken)
			return nil
		})
	}
	err := group.Wait()
	l.seconds = time.Since(begun).Seconds()
	return err
}

func (l *loader) add(taken []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken = append(l.taken, taken...)
}

func (l *loader) outcome() outcome {
	slices.Sort(l.taken)
	if len(l.taken) == 0 {
		return outcome{}
	}
	at := func(part float64) float64 { return 1000 * l.taken[int(part*float64(len(l.taken)-1))].Seconds() }
	return outcome{Seconds: l.seconds, Count: int64(len(l.taken)), Read: int64(l.bytes), P50: at(0.5), P99: at(0.99)}
}

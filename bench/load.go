package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

const (
	connections  = 2    // so that the load is not held up by one
	closedCalls  = 32   // requests under way when as many are sent as are answered
	openCallsMax = 256  // requests under way at most when they are sent at a rate; others wait, which counts
	requestsMade = 1024 // different ones
)

// ask sends request i and returns the answer.
type ask func(ctx context.Context, i int) ([]byte, error)

// taskLoad sends requests to a server.
func taskLoad(ctx context.Context, t task) (o outcome, err error) {
	call, publish, done, err := dialGRPC(t)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, done()) }()
	answer, err := call(ctx, 0)
	if err != nil {
		return o, err
	}
	l := &loader{ask: call, bytes: len(answer)}
	if t.Load.Rate == 0 {
		err = l.closed(ctx, t.Load.Seconds)
	} else {
		if !t.Load.Publishing {
			publish = nil
		}
		err = l.open(ctx, t.Load, publish)
	}
	return l.outcome(), err
}

// loader sends requests and notes how long each takes.
type loader struct {
	ask     ask
	bytes   int // of an answer
	seconds float64

	mu    sync.Mutex
	taken []time.Duration
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
				if _, err := l.ask(ctx, i%requestsMade); err != nil {
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

// open sends requests at a rate for so many seconds, and then until a publication that goes on meanwhile has ended. Each takes as long as from
// when it was due, whether it could be sent then or not.
func (l *loader) open(ctx context.Context, o load, publish func(context.Context) error) error {
	begun, ended := time.Now(), atomic.Bool{}
	length := time.Duration(o.Seconds * float64(time.Second))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer ended.Store(true)
		for publish != nil && time.Since(begun) < length {
			if err := publish(ctx); err != nil {
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
		for at := begun; at.Sub(begun) < length || !ended.Load(); at = at.Add(interval) {
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
				if _, err := l.ask(ctx, random.IntN(requestsMade)); err != nil {
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

// dialGRPC connects to a server of gRPC: requests are encoded beforehand and answers left encoded, so that the load costs the same on all. The first
// answer of asof is checked.
func dialGRPC(t task) (call ask, publish func(context.Context) error, done func() error, err error) {
	var conns []*grpc.ClientConn
	done = func() error {
		var errs []error
		for _, c := range conns {
			errs = append(errs, c.Close())
		}
		return errors.Join(errs...)
	}
	for range connections {
		c, err := grpc.NewClient(t.Load.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, nil, nil, errors.Join(err, done())
		}
		conns = append(conns, c)
	}
	asked, requests := t.keysAsked(), make([][]byte, requestsMade)
	for i, keys := range asked {
		if requests[i], err = proto.Marshal(request(keys)); err != nil {
			return nil, nil, nil, errors.Join(err, done())
		}
	}
	call = func(ctx context.Context, i int) ([]byte, error) {
		var answer []byte
		err := conns[i%connections].Invoke(ctx, asofv1.FeatureStore_GetFeatures_FullMethodName, &requests[i], &answer, grpc.ForceCodecV2(rawCodec{}))
		if err == nil && i == 0 && t.Load.Response == 0 {
			err = t.checkAnswer(asked[0], answer)
		}
		return answer, err
	}
	publish = func(ctx context.Context) error {
		_, err := asofv1.NewAdminClient(conns[0]).Publish(ctx, &asofv1.PublishRequest{Views: []string{t.Shape.views()[0].Name}, Rebuild: true})
		return err
	}
	return call, publish, done, nil
}

// keysAsked are the keys of each request, by their numbers.
func (t task) keysAsked() [][]int {
	random, asked := rand.New(rand.NewPCG(seed, 3)), make([][]int, requestsMade)
	for i := range asked {
		for range t.Load.Keys {
			asked[i] = append(asked[i], random.IntN(t.Shape.Keys))
		}
	}
	return asked
}

// request asks for the features of keys.
func request(keys []int) *asofv1.GetFeaturesRequest {
	values := &asofv1.Int64Values{}
	for _, k := range keys {
		values.Values = append(values.Values, keyOf(k))
	}
	column := &asofv1.KeyColumn{Name: "customer_id", Values: &asofv1.Values{Kind: &asofv1.Values_Int64S{Int64S: values}}}
	return &asofv1.GetFeaturesRequest{What: &asofv1.GetFeaturesRequest_Service{Service: serviceName}, Keys: []*asofv1.KeyColumn{column}}
}

// checkAnswer compares an answer with what the generator knows.
func (t task) checkAnswer(keys []int, answer []byte) error {
	var response asofv1.GetFeaturesResponse
	if err := proto.Unmarshal(answer, &response); err != nil {
		return err
	}
	column := 0
	for v, ref := range service(serviceName, t.Shape.views(), t.Load.Features).Refs {
		for _, f := range ref.Features {
			if column >= len(response.GetColumns()) {
				return fmt.Errorf("%w: the answer has %d columns", errUnequal, column)
			}
			values := response.GetColumns()[column].GetValues().GetFloat64S().GetValues()
			for i, k := range keys {
				if i >= len(values) || values[i] != t.Shape.value(v, k, t.Shape.perKey()-1, f) {
					return fmt.Errorf("%w: column %d of key %d", errUnequal, column, k)
				}
			}
			column++
		}
	}
	return nil
}

package materialize

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// inOrder calls do for 0 to n-1, several at once, and take with each result, in order and from the calling goroutine. No more than workers+1
// results are on their way at any time. The first error ends it.
func inOrder[T any](ctx context.Context, workers, n int, do func(i int) (T, error), take func(T) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	results, tickets := make([]chan T, n), make(chan struct{}, workers+1)
	for i := range results {
		results[i] = make(chan T, 1)
	}
	var next atomic.Int64
	for range min(workers, n) {
		group.Go(func() error {
			for {
				select {
				case tickets <- struct{}{}:
				case <-ctx.Done():
					return ctx.Err()
				}
				i := int(next.Add(1)) - 1
				if i >= n {
					return nil
				}
				v, err := do(i)
				if err != nil {
					return err
				}
				results[i] <- v
			}
		})
	}
	for _, result := range results {
		select {
		case v := <-result:
			if err := take(v); err != nil {
				cancel()
				_ = group.Wait() // it was told to stop
				return err
			}
			<-tickets
		case <-ctx.Done():
			return group.Wait()
		}
	}
	return group.Wait()
}

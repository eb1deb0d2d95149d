package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
)

// wideFeatures and keysAsked are the shape of the lookups.
const (
	wideFeatures = 50
	keysAsked    = 100
)

// benchOnline measures publishing a million keys, and lookups in a million keys.
func benchOnline(ctx context.Context, b *bench) error {
	fmt.Println("online: publishing 1 M keys from 20 M rows of history; lookups of 100 random keys x 50 features of 1 M keys")
	t, err := b.joinTask(ctx, "publish", million/2, 20*million, 8)
	if err != nil {
		return err
	}
	t.Out = b.path("published")
	if _, err := b.measured(ctx, "publish, all keys anew, 4 features", "keys", t); err != nil {
		return err
	}
	data, err := b.made(ctx, "online-50", task{Do: "make-online"})
	if err != nil {
		return err
	}
	f, err := b.measured(ctx, "get, one caller", "gets", task{Do: "get", Data: data})
	if err != nil {
		return err
	}
	fmt.Printf("  %.0f us a get, %.1f us a key\n", 1e6*f.Seconds/float64(f.Count), 1e6*f.Seconds/float64(f.Count)/keysAsked)
	return nil
}

func wideView() *feature.View {
	v := view(wideFeatures)
	v.Name = "wide"
	return v
}

// makeOnline publishes a million keys of wideView to a store at t.Out.
func makeOnline(_ context.Context, t task) (o outcome, err error) {
	s, err := online.Open(t.Out, online.Options{Logger: quiet()})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	v, random := wideView(), rand.New(rand.NewPCG(seed, 2))
	columns := make([]arrow.Array, wideFeatures)
	for i := range columns {
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		for range 1000 {
			b.Append(random.Float64())
		}
		columns[i] = b.NewArray()
	}
	p, err := s.Begin(v, true)
	if err != nil {
		return o, err
	}
	defer p.Abort()
	for k := range keysMade {
		row := online.Row{Event: yearStart(), AsOf: yearStart(), Values: columns, Index: k % 1000}
		if err := p.Put(feature.AppendKeyInt64(nil, keyOf(k)), row); err != nil {
			return o, err
		}
	}
	return outcome{Seconds: 1, Count: keysMade}, p.Commit(online.State{Watermark: yearStart()})
}

// taskGet looks random keys up, one call after the other.
func taskGet(ctx context.Context, t task) (o outcome, err error) {
	const warm, calls = 200, 2000
	s, err := online.Open(t.Data, online.Options{Logger: quiet()})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	v, random := wideView(), rand.New(rand.NewPCG(seed, 3))
	features, keys := service(v).Refs[0].Features, make([]feature.Key, keysAsked)
	var start time.Time
	for call := range warm + calls {
		if call == warm {
			start = time.Now()
		}
		for i := range keys {
			keys[i] = feature.AppendKeyInt64(keys[i][:0], keyOf(random.IntN(keysMade)))
		}
		if _, err := s.Get(ctx, v, features, keys, yearStart()); err != nil {
			return o, err
		}
	}
	return outcome{Seconds: time.Since(start).Seconds(), Count: calls}, nil
}

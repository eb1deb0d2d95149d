package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/asof-store/asof/feature"
)

// serving is a suite of requests to a server, beside the same load on an echo.
type serving struct {
	name       string
	keys       int // of a request
	features   int // from three views
	json       bool
	publishing bool // the open load comes while the server publishes all keys of a view anew
}

func benchServe1(ctx context.Context, b *bench, r *report) error {
	return b.serve(ctx, r, serving{name: "serve-1x20", keys: 1, features: 20})
}

func benchServe100(ctx context.Context, b *bench, r *report) error {
	return b.serve(ctx, r, serving{name: "serve-100x50", keys: 100, features: 50})
}

func benchServe500(ctx context.Context, b *bench, r *report) error {
	return b.serve(ctx, r, serving{name: "serve-500x50", keys: 500, features: 50})
}

// benchServeJSON is benchServe100 over HTTP.
func benchServeJSON(ctx context.Context, b *bench, r *report) error {
	return b.serve(ctx, r, serving{name: "serve-json", keys: 100, features: 50, json: true})
}

// benchServeWhilePublishing is all of them again. The last line is that of 100 keys.
func benchServeWhilePublishing(ctx context.Context, b *bench, r *report) error {
	const name = "serve-while-publishing"
	for _, s := range []serving{
		{name: name + "-1x20", keys: 1, features: 20}, {name: name + "-500x50", keys: 500, features: 50}, {name: name + "-json", keys: 100, features: 50, json: true},
		{name: name, keys: 100, features: 50},
	} {
		s.publishing = true
		r.printf("%s", s.name)
		if err := b.serve(ctx, r, s); err != nil {
			return err
		}
	}
	return nil
}

// load is what a process of requests does to a server.
type load struct {
	Address    string
	Admin      string // the address of the same server's gRPC
	Keys       int    // of a request
	Features   int    // from three views
	Cache      int64  // bytes of rows that the server keeps in memory
	JSON       bool
	Rate       int64 // requests a second, whether they are answered or not; 0: as many as are answered
	Seconds    float64
	Publishing bool // publishes all keys of a view again and again meanwhile
	Response   int  // bytes that an echo answers with; 0: the answers are asof's, and the first is checked
}

// rowsCached is the size of the server's cache: all rows that the load asks for fit.
const rowsCached = 1 << 30

// served is what a server has done in its turn.
type served struct {
	closed figure   // as many requests as it answers
	open   []figure // half as many
	busy   []figure // half as many, while it publishes; in turn with open
}

// serve measures a server and an echo in turn, each in a process of its own and the load in another: first as many requests as are answered,
// then half as many a second, whose latency counts from the moment at which each was due. The echo gets as many a second as asof then, in
// messages of the same size.
func (b *bench) serve(ctx context.Context, r *report, s serving) error {
	t := task{Do: "serve", Shape: b.servingShape(), Load: load{Keys: s.keys, Features: s.features, JSON: s.json, Cache: rowsCached, Seconds: max(0.1, 3/float64(b.scale))}}
	var err error
	name := "serving-" + t.Shape.name()
	if s.publishing {
		name += "-published-anew" // the others' store stays as it was made
	}
	if t.Data, err = b.made(ctx, name, task{Do: "make-online", Shape: t.Shape}); err != nil {
		return err
	}
	var asof, plain, echo []served
	for turn := range 1 + b.repeat {
		ours, err := b.serveOnce(ctx, t, 0, s.publishing)
		if err != nil {
			return err
		}
		var uncached served
		if bare := t; !s.publishing {
			bare.Load.Cache = 0
			if uncached, err = b.serveOnce(ctx, bare, 0, false); err != nil {
				return err
			}
		}
		other := t
		other.Do, other.Load.Response = "echo", int(ours.closed.Read)
		theirs, err := b.serveOnce(ctx, other, ours.rate(), false)
		if err != nil {
			return fmt.Errorf("echo: %w", err)
		}
		if b.counts(turn) {
			asof, plain, echo = append(asof, ours), append(plain, uncached), append(echo, theirs)
		}
	}
	closed := func(s served) []figure { return []figure{s.closed} }
	quiet := func(s served) []figure { return s.open }
	most, open := medianServed(asof, closed), medianServed(asof, quiet)
	r.showServed("asof, saturated", most)
	r.showServed("asof, half of that", open)
	if s.publishing {
		before := open.P99
		open = medianServed(asof, func(s served) []figure { return s.busy })
		r.showServed("asof, half of that, while publishing", open)
		r.printf("publishing makes p99 %.2f times what it is", open.P99/before)
	}
	if !s.publishing {
		r.showServed("asof without its cache, saturated", medianServed(plain, closed))
		r.showServed("asof without its cache, half of that", medianServed(plain, quiet))
	}
	echoed := medianServed(echo, closed)
	r.showServed("echo, saturated", echoed)
	r.showServed("echo, as many a second as asof", medianServed(echo, quiet))
	r.printf("bench %s ratio_echo=%.2f p50_ms=%.2f p99_ms=%.2f", s.name, most.perSecond()/echoed.perSecond(), open.P50, open.P99)
	return nil
}

// servingShape is what is served: three views of 1 M keys, 51 features in all.
func (b *bench) servingShape() shape {
	return shape{Kind: intKeys, Keys: b.rows(million), Rows: b.rows(million), Days: 360, Views: 3, Features: 17, Commits: 1}
}

// What a machine does now and then, which may take longer than a slow request, is to be in requests beside a publication as often as in those beside none: they come
// in turn, each so many times and so many times as long as requests are measured otherwise.
const (
	busyTurns = 3
	busyPart  = 5
)

// serveOnce starts a server and loads it. A rate of 0 is half of what it has answered.
func (b *bench) serveOnce(ctx context.Context, t task, rate float64, publishing bool) (s served, err error) {
	server, err := beginTask(ctx, t)
	if err != nil {
		return s, err
	}
	var at addresses
	if err := server.answers.Decode(&at); err != nil {
		return s, fmt.Errorf("%s told no address: %w", t.Do, err)
	}
	if t.Load.Address, t.Load.Admin = at.GRPC, at.GRPC; t.Load.JSON {
		t.Load.Address = at.HTTP
	}
	t.Do = "load"
	s.closed, err = measure(ctx, t)
	if err == nil {
		if rate == 0 {
			rate = s.rate()
		}
		t.Load.Rate = max(1, int64(rate))
		err = s.measureOpen(ctx, t, publishing)
	}
	f, ended := server.end()
	s.closed.Peak = f.Peak
	for _, part := range [][]figure{s.open, s.busy} {
		for i := range part {
			part[i].Peak = f.Peak
		}
	}
	if err == nil {
		err = ended
	}
	return s, err
}

// measureOpen sends requests at the task's rate, and where the server is to publish, in turn with that.
func (s *served) measureOpen(ctx context.Context, t task, publishing bool) error {
	turns := 1
	if publishing {
		turns = busyTurns
		t.Load.Seconds *= busyPart
	}
	for range turns {
		t.Load.Publishing = false
		quiet, err := measure(ctx, t)
		if err != nil {
			return err
		}
		s.open = append(s.open, quiet)
		if !publishing {
			continue
		}
		t.Load.Publishing = true
		busy, err := measure(ctx, t)
		if err != nil {
			return err
		}
		s.busy = append(s.busy, busy)
	}
	return nil
}

// rate is half of what a server has answered in a second.
func (s served) rate() float64 { return s.closed.perSecond() / 2 }

func (f figure) perSecond() float64 { return float64(f.Count) / f.Seconds }

func medianServed(all []served, of func(served) []figure) figure {
	var figures []figure
	for _, s := range all {
		figures = append(figures, of(s)...)
	}
	f := medianOf(figures)
	// The median of rates, not of each of their parts.
	slices.SortFunc(figures, func(a, b figure) int { return int(a.perSecond() - b.perSecond()) })
	middle := figures[len(figures)/2]
	f.Count, f.Seconds = middle.Count, middle.Seconds
	return f
}

func (r *report) showServed(what string, f figure) {
	r.printf("%-50s %8.0f requests/s  p50 %7.2f ms  p99 %7.2f ms  %6d MB peak", what, f.perSecond(), f.P50, f.P99, f.Peak>>20)
}

// servedNow is when everything is asked for: no row is from a later time.
func (s shape) servedNow() feature.Time { return start() + feature.Time(int64(s.Days)*dayMicros) }

// makeOnline makes histories and publishes them, in t.Out.
func makeOnline(ctx context.Context, t task) (outcome, error) {
	if o, err := makeHistory(ctx, t); err != nil {
		return o, err
	}
	t.Data, t.Out = t.Out, filepath.Join(t.Out, onlineName)
	return publishAll(ctx, t, 0)
}

// onlineName is the directory of the online store, beside the histories that it comes from.
const onlineName = "online"

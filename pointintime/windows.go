package pointintime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/internal/stages"
	"github.com/asof-store/asof/offline"
)

// coverage tells which tiles are in which windows of a shard's spine rows, by groups of tiles that are in the same ones: slices of
// time, or, for knownTiles, nodes of a tree.
type coverage[K keysort.Ordered] interface {
	// walk takes in a run's tiles.
	walk(h history[K], run int)
	// layer names the set of groups that a window is answered from.
	layer(window int) int
	// groups is the number of groups in a layer, spans the groups of a run's tiles. read gives the run's tiles again.
	groups() int
	spans(layer, run int, read func() (history[K], error)) ([]aggregate.Span, error)
	// answer merges the groups of each spine row's window into its group of out.
	answer(f *folded, window int, out aggregate.States)
	// latest returns the latest visible tile of each spine row.
	latest() latest
}

// latest are the times of the latest visible tile of each spine row: noEvent where there is none. known and created are nil
// for tiles without created times.
type latest struct {
	events, created []int64
	known           []bool
}

func newLatest(rows int, created bool) latest {
	l := latest{events: make([]int64, rows)}
	if created {
		l.created, l.known = make([]int64, rows), make([]bool, rows)
	}
	return l
}

// windowed is what a question asks of a windowed view.
type windowed struct {
	calls   []*aggregate.Call // for each of the question's features
	window  []int             // their windows, as indices into lengths
	lengths []int64           // the different windows, in microseconds, ascending; unbounded last
	inputs  [][]int           // the question's features, those of one input together, since they share states
}

func newWindowed(q Question) (*windowed, error) {
	w := &windowed{}
	var names []string
	for i, f := range q.Features {
		a := q.View.Features[f].Aggregation
		call, err := aggregate.New(*a)
		if err != nil {
			return nil, fmt.Errorf("view %s, feature %s: %w", q.View.Name, q.View.Features[f].Name, err)
		}
		w.calls, w.lengths = append(w.calls, call), append(w.lengths, lengthOf(a))
		at := slices.Index(names, a.Input.Name)
		if at < 0 {
			at, names, w.inputs = len(names), append(names, a.Input.Name), append(w.inputs, nil)
		}
		w.inputs[at] = append(w.inputs[at], i)
	}
	if len(q.Features) == 0 { // what is found is asked for all the same
		w.lengths = []int64{unbounded}
	}
	slices.Sort(w.lengths)
	w.lengths = slices.Compact(w.lengths)
	for _, f := range q.Features {
		at, _ := slices.BinarySearch(w.lengths, lengthOf(q.View.Features[f].Aggregation))
		w.window = append(w.window, at)
	}
	return w, nil
}

func lengthOf(a *feature.Aggregation) int64 {
	if a.Window == 0 {
		return unbounded
	}
	return a.Window.Microseconds()
}

// windowShards cuts rows of a question to a windowed view into shards: small ones, whose slices stay in the processor's cache, but
// between keys, for all of a key's history is read for each shard that has a row of it. A key of very many rows is cut all the same.
func (j *joiner[K]) windowShards(rows keysort.Part[K], workers int) []keysort.Part[K] {
	const (
		endsWanted = 1 << 16 // the slices of a sum take 3 MB then; twice as many take no less time, and a tenth more memory
		endsMax    = 1 << 19
	)
	ends := 1 + len(j.windows.lengths) // that each row has
	parts := max(1, rows.Len()*ends/endsWanted, min(workers, rows.Len()/1024))
	if parts > 1 {
		parts += workers - 1 - (parts-1)%workers // the last ones end together
	}
	var shards []keysort.Part[K]
	for _, rows := range rows.Split(parts, true, workers) {
		shards = append(shards, rows.Split(1+rows.Len()*ends/endsMax, false, workers)...)
	}
	return shards
}

// statePool keeps the memory of states from shard to shard.
type statePool struct {
	mu   sync.Mutex
	free map[string][]aggregate.States // by name
}

// get returns states of n empty groups.
func (p *statePool) get(spec *aggregate.Spec, n int) aggregate.States {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.free[spec.Name()]
	var s aggregate.States
	if len(free) == 0 {
		s = spec.New()
	} else {
		s, p.free[spec.Name()] = free[len(free)-1], free[:len(free)-1]
	}
	s.Reset(n)
	return s
}

func (p *statePool) put(spec *aggregate.Spec, s aggregate.States) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == nil {
		p.free = map[string][]aggregate.States{}
	}
	p.free[spec.Name()] = append(p.free[spec.Name()], s)
}

// shardWindows answers rows of a question to a windowed view: first which tiles are in which windows, then the values, input by input.
func (j *joiner[K]) shardWindows(ctx context.Context, rows keysort.Part[K], f *found, memory *shardMemory[K]) error {
	w := &windowShard[K]{joiner: j, sp: j.spineOf(rows, memory), spans: make([][]offline.Span, len(j.runs))}
	if j.o.AsKnown && j.q.View.HasCreatedTime {
		w.cover = newKnownTiles(w.sp, j.windows.lengths)
	} else {
		w.cover = newSlicing(w.sp, j.windows.lengths, len(j.runs), j.q.View.HasCreatedTime)
	}
	for r, run := range j.runs {
		if len(w.sp.keys) == 0 || !j.reaches(run, w.sp) {
			continue
		}
		if w.spans[r] = j.spans(run, w.sp); len(w.spans[r]) == 0 {
			continue
		}
		var h history[K]
		var err error
		if h, w.spans[r], err = j.readNear(ctx, run, w.sp, w.spans[r], few(w.sp, w.spans[r])); err != nil {
			return err
		}
		joining := j.o.Stats.Start(stages.Join)
		w.cover.walk(h, r)
		joining.Stop(0, 0)
		h.release()
	}
	w.found(memory)
	joining := j.o.Stats.Start(stages.Join) // what decodes within is taken from it
	defer func() { joining.Stop(int64(len(w.sp.rows)), 0) }()
	for _, features := range j.windows.inputs {
		if err := w.input(ctx, features); err != nil {
			return err
		}
	}
	l := w.cover.latest()
	var known func(s int32) bool
	if l.created != nil {
		known = func(s int32) bool { return l.known[s] }
	}
	f.ends, f.places = nil, w.to
	j.count(w.sp, w.hits, f, 0, l.events, known, &memory.counted)
	return nil
}

// windowShard is a shard of a question to a windowed view.
type windowShard[K keysort.Ordered] struct {
	*joiner[K]
	sp    spine[K]
	spans [][]offline.Span // of each run
	cover coverage[K]
	hits  []int32  // sorted positions of the spine rows that see a tile
	to    []uint32 // and their places in the answer
}

// found notes which spine rows see a tile.
func (w *windowShard[K]) found(memory *shardMemory[K]) {
	l := w.cover.latest()
	for s, event := range l.events {
		if event != noEvent {
			w.hits, w.to = append(w.hits, int32(s)), append(w.to, w.sp.rows[s])
		}
	}
	w.out.take(w.to, &memory.next)
	a := w.out.a
	for i, s := range w.hits {
		place := w.to[i]
		a.Rows[place] = feature.Present
		if a.EventTimes != nil {
			a.EventTimes[place] = feature.Time(l.events[s])
		}
		if a.Known != nil {
			a.CreatedTimes[place], a.Known[place] = feature.Time(l.created[s]), l.known[s]
		}
	}
}

// input answers features of one input, window by window. The states of all windows of one layer are folded together.
func (w *windowShard[K]) input(ctx context.Context, features []int) error {
	var states map[string]*folded
	layer := -1
	for window := range w.windows.lengths {
		asked := w.over(features, window)
		if len(asked) == 0 {
			continue
		}
		if l := w.cover.layer(window); l != layer {
			w.free(states)
			var err error
			if states, err = w.fold(ctx, w.specs(features, l), l); err != nil {
				return err
			}
			layer = l
		}
		if err := w.window(asked, window, states); err != nil {
			return err
		}
	}
	w.free(states)
	return nil
}

// over returns those of features that are over a window.
func (w *windowShard[K]) over(features []int, window int) []int {
	return slices.DeleteFunc(slices.Clone(features), func(f int) bool { return w.windows.window[f] != window })
}

// specs returns the states that features over windows of a layer are computed from.
func (w *windowShard[K]) specs(features []int, layer int) []*aggregate.Spec {
	var specs []*aggregate.Spec
	for _, f := range features {
		if w.cover.layer(w.windows.window[f]) != layer {
			continue
		}
		call := w.windows.calls[f]
		for i := range call.Specs {
			if !slices.ContainsFunc(specs, func(s *aggregate.Spec) bool { return s.Name() == call.Specs[i].Name() }) {
				specs = append(specs, &call.Specs[i])
			}
		}
	}
	return specs
}

// window answers features, which are over one window; functions share the states that they have in common.
func (w *windowShard[K]) window(features []int, window int, states map[string]*folded) error {
	answers := map[string]aggregate.States{}
	for _, f := range features {
		call := w.windows.calls[f]
		merged := make([]aggregate.States, len(call.Specs))
		for i := range call.Specs {
			spec := &call.Specs[i]
			if answers[spec.Name()] == nil {
				answer := w.answers.get(spec, len(w.sp.keys))
				defer w.answers.put(spec, answer)
				w.cover.answer(states[spec.Name()], window, answer)
				answers[spec.Name()] = answer
			}
			merged[i] = answers[spec.Name()]
		}
		values, err := call.Finish(merged)
		if err != nil {
			return w.failed(err, f)
		}
		w.out.columns[f].scatter(values, w.hits, w.to)
	}
	return nil
}

// fold merges the tiles of all runs into the groups of a layer, for each of specs. A run's columns are read together.
func (w *windowShard[K]) fold(ctx context.Context, specs []*aggregate.Spec, layer int) (map[string]*folded, error) {
	states := map[string]*folded{}
	var columns []string
	timed := false
	for _, spec := range specs {
		states[spec.Name()] = &folded{spec: spec, pool: &w.groups, states: w.groups.get(spec, w.cover.groups())}
		for _, c := range spec.Columns {
			columns = append(columns, c.Name)
		}
		timed = timed || spec.Timed
	}
	for r := range w.runs {
		if len(w.spans[r]) == 0 {
			continue
		}
		if err := w.foldRun(ctx, r, layer, specs, columns, timed, states); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// foldRun merges the tiles of run r; columns are those of specs, and timed tells that one of these looks at times.
func (w *windowShard[K]) foldRun(ctx context.Context, r, layer int, specs []*aggregate.Spec, columns []string, timed bool, states map[string]*folded) error {
	run := w.runs[r]
	read := sync.OnceValues(func() (history[K], error) { return w.read(ctx, run, w.spans[r]) })
	spans, err := w.cover.spans(layer, r, read)
	if err != nil || len(spans) == 0 {
		return err
	}
	var times aggregate.Times
	if timed {
		h, err := read()
		if err != nil {
			return err
		}
		defer h.release()
		times = aggregate.Times{Events: h.events, Created: h.created}
	}
	begun := time.Now()
	tiles, err := run.Read(ctx, columns, w.spans[r])
	if err != nil {
		return err
	}
	w.o.Stats.Within(stages.Join, stages.Decode, time.Since(begun), 0, 0)
	defer release(tiles)
	for _, spec := range specs {
		n := len(spec.Columns)
		if err := states[spec.Name()].states.Fold(tiles[:n:n], times, spans); err != nil {
			return fmt.Errorf("view %s, column %s: %w", w.q.View.Name, spec.Name(), err)
		}
		tiles = tiles[n:]
	}
	return nil
}

// free gives the memory of states back.
func (w *windowShard[K]) free(states map[string]*folded) {
	for _, f := range states {
		f.free()
	}
}

// failed says of which key and window a feature does not fit its type.
func (w *windowShard[K]) failed(err error, f int) error {
	var overflow *aggregate.OverflowError
	name := w.q.View.Features[w.q.Features[f]].Name
	if !errors.As(err, &overflow) {
		return fmt.Errorf("view %s, feature %s: %w", w.q.View.Name, name, err)
	}
	s := overflow.Group
	length, horizon := w.windows.lengths[w.windows.window[f]], w.sp.horizon[s]
	from := feature.MinTime
	if length != unbounded {
		from = feature.Time(before(horizon, length))
	}
	return feature.Errorf(feature.ErrInvalid, "view %s, feature %s, %s, window (%s, %s]: %w; take a sum of doubles, with expr: cast(... as double)",
		w.q.View.Name, name, feature.KeyText(w.q.View.Keys, w.q.Keys, int(w.sp.rows[s])), from, feature.Time(horizon), err)
}

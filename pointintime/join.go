package pointintime

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/internal/stages"
	"github.com/asof-store/asof/offline"
)

// Run is a piece of history whose rows are sorted by (key, event time, created time), NULL created times first.
// *offline.Run is one. Its methods may be called from several goroutines.
type Run interface {
	// Rows is the number of rows.
	Rows() int
	// Events bounds the event times.
	Events() feature.Range
	// FirstKeyBounds bounds the first key part; ok is false when that is unknown.
	FirstKeyBounds() (min, max feature.Key, ok bool)
	// Pages gives row ranges with bounds on the first key part, covering all rows in order; nil when unknown.
	Pages() []offline.Page
	// Read returns the named columns of the rows in spans; nil spans are all rows. The caller may release them.
	Read(ctx context.Context, columns []string, spans []offline.Span) ([]arrow.Array, error)
	// Keys returns the key parts of the rows in spans.
	Keys(ctx context.Context, spans []offline.Span) ([]offline.Runs, error)
	// Take is Read of single rows, which ascend strictly.
	Take(ctx context.Context, columns []string, rows []int32) ([]arrow.Array, error)
}

// Options change what the join sees and how it works. The zero value is a plain join on all processors.
type Options struct {
	AsKnown  bool // rows not yet known at the as-of time are not visible (views with created times)
	AsServed bool // the as-of time is moved back to the view's last schedule tick
	Workers  int  // goroutines; default: the number of processors
	// Stats, where it is set, takes in the work of the stages sort, decode and join.
	Stats *stages.Stats

	pieceRows int // rows of a run that are walked at a time; default: pieceRowsDefault
}

// Question asks for some features of one view, for many keys at a time each.
type Question struct {
	View     *feature.View
	Features []int         // indices into View.Features
	Keys     []arrow.Array // one for each of View.Keys, of its type
	Times    *array.Timestamp
	Order    *Order // of Keys and Times, for questions that share it; nil: nobody does

	tally *tally       // nil: nobody counts
	spare *spareMemory // memory for the answer, as far as it goes; nil: there is none
}

// Answer answers a [Question]; its columns have a value for each row of the question.
type Answer struct {
	Columns []Column
	// Rows tells what each row found: its visible row (Present), one that is too old (Expired), or none (NotFound). EventTimes and
	// CreatedTimes hold that row's times, unless the question is counted and does not want them; CreatedTimes is nil for a view without them and feature.MinTime where NULL. Known tells
	// whether it was known at the as-of time; nil for a view without created times.
	Rows         []feature.Status
	Known        []bool
	EventTimes   []feature.Time
	CreatedTimes []feature.Time
}

// Found reports whether a row has a visible row, be it too old.
func (a *Answer) Found(row int) bool { return a.Rows[row] != feature.NotFound }

// Column holds one feature's values with the view's default in place of NULL, and a status for each, which are not to be changed.
type Column struct {
	Values   arrow.Array
	Statuses []feature.Status
}

// Join answers q from runs, which are in source order. Errors are those of reading the runs, and ErrInvalid for an
// as-served question to a view without a schedule. Time is linear in the question's rows and the history of the key
// ranges that they touch.
func Join(ctx context.Context, q Question, runs []Run, o Options) (*Answer, error) {
	out, err := find(ctx, q, runs, o)
	if err != nil {
		return nil, err
	}
	return out.answer(ctx)
}

// find begins to answer q: it finds out which row of which run each of its rows sees. What it returns gathers their values.
func find(ctx context.Context, q Question, runs []Run, o Options) (*output, error) {
	if q.Order == nil {
		q.Order = &Order{}
	}
	if keysort.UsesInts(q.View.Keys) {
		return join(ctx, q, runs, o, keysort.Ints(q.View.Keys))
	}
	switch packing := q.packing(); {
	case packing == nil:
		return join(ctx, q, runs, o, keysort.Texts(q.View.Keys))
	case packing.OneWord():
		return join(ctx, q, runs, o, packing.Ints())
	default:
		return join(ctx, q, runs, o, packing.Words())
	}
}

// joiner is one Join at work.
type joiner[K keysort.Ordered] struct {
	q       Question
	o       Options
	runs    []Run
	order   []int // in which runs are read
	form    keysort.Form[K]
	columns []string // event time, created time: what the walk reads beside keys
	out     *output
	windows *windowed // nil for a latest-value view
	// Memory that shards leave to those that follow: of states for each group of tiles, and for each spine row; and of a worker.
	groups, answers statePool
	memory          chan *shardMemory[K]
}

// shardMemory is what a worker's shards need one after another.
type shardMemory[K keysort.Ordered] struct {
	horizon []int64
	matches matches
	pending pending[K]
	hits    []int32 // sorted positions of rows that have a match
	places  []uint32
	next    []uint32 // for each block of places
	order   []int32  // hits, run after run
	counted counted
}

func join[K keysort.Ordered](ctx context.Context, q Question, runs []Run, o Options, form keysort.Form[K]) (*output, error) {
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	j := &joiner[K]{q: q, o: o, runs: runs, order: newestFirst(runs), form: form}
	if err := j.prepare(); err != nil {
		return nil, err
	}
	shard := j.shard
	if j.windows != nil {
		shard = j.shardWindows
	}
	shards := j.shards(o.Workers)
	j.memory = j.shardMemories(o.Workers)
	j.out.shards = q.Order.founds(len(shards))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.Workers)
	for i, rows := range shards {
		group.Go(func() error {
			memory := <-j.memory
			defer func() { j.memory <- memory }()
			return shard(ctx, rows, &j.out.shards[i], memory)
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	j.out.settle()
	return j.out, nil
}

// prepare checks the question and makes room for the answer.
func (j *joiner[K]) prepare() error {
	if j.o.AsServed && j.q.View.Schedule == nil {
		return feature.Errorf(feature.ErrInvalid, "view %s: --as-served needs a schedule, and the view has none: give it one, or export without --as-served", j.q.View.Name)
	}
	j.columns = append(j.columns, feature.EventTimeColumn)
	if j.q.View.HasCreatedTime {
		j.columns = append(j.columns, feature.CreatedTimeColumn)
	}
	j.out = newOutput(j.q, j.runs, j.o)
	if !j.q.View.Windowed() {
		return nil
	}
	if j.o.AsKnown && j.q.View.Granularity > 0 {
		return feature.Errorf(feature.ErrInvalid, "view %s: --as-known needs an exact view, and its tiles have a granularity, in which rows that became known at different times cannot be told apart: leave out granularity, or export without --as-known", j.q.View.Name)
	}
	var err error
	j.windows, err = newWindowed(j.q)
	return err
}

// shard finds out which row of which run rows of the question see.
func (j *joiner[K]) shard(ctx context.Context, rows keysort.Part[K], f *found, memory *shardMemory[K]) error {
	sp, m := j.spineOf(rows, memory), memory.newMatches(len(rows.Rows), j.q.View.HasCreatedTime)
	spans := make([][]offline.Span, len(j.runs))
	for _, r := range j.order {
		run := j.runs[r]
		if !j.reaches(run, sp) {
			continue
		}
		if spans[r] = j.spans(run, sp); len(spans[r]) == 0 {
			continue
		}
		part, best := memory.pending.pendingOf(&sp, m, run.Events(), max(pendingFew, rowsOf(spans[r])/rowsOfKeyMin))
		if len(part.keys) < len(sp.keys) {
			if spans[r] = j.spans(run, *part); len(spans[r]) == 0 {
				continue
			}
		}
		var err error
		if spans[r], err = j.walkRun(ctx, int32(r), part, spans[r], best); err != nil {
			return err
		}
		memory.pending.settle(m)
	}
	joining := j.o.Stats.Start(stages.Join)
	j.place(sp, m, spans, f, memory)
	joining.Stop(int64(len(sp.rows)), 0)
	return nil
}

// walkRun offers rows of sp what the rows of run r in spans have for them, and returns where those lie that were walked.
func (j *joiner[K]) walkRun(ctx context.Context, r int32, sp *spine[K], spans []offline.Span, m *matches) (walked []offline.Span, err error) {
	run, few := j.runs[r], few(*sp, spans)
	before := 0
	for _, piece := range piecesOf(spans, run.Pages(), cmp.Or(j.o.pieceRows, pieceRowsDefault)) {
		h, read, err := j.readNear(ctx, run, *sp, piece, few)
		if err != nil {
			return nil, err
		}
		h.before = before
		joining := j.o.Stats.Start(stages.Join)
		walk(sp, &h, r, j.o.AsKnown && h.created != nil, m)
		joining.Stop(0, 0)
		h.release()
		for _, span := range read {
			walked = appendSpan(walked, span)
		}
		before += rowsOf(read)
	}
	return walked, nil
}

// appendSpan appends a span to others, the last of which goes on where it begins at that one's end.
func appendSpan(spans []offline.Span, span offline.Span) []offline.Span {
	if n := len(spans); n > 0 && spans[n-1].To == span.From {
		spans[n-1].To = span.To
		return spans
	}
	return append(spans, span)
}

// pieceRowsDefault is how many rows of a run are walked at a time, or a page more: their keys and times are still in a cache then, and the memory serves those that come next.
const pieceRowsDefault = 1 << 18

// piecesOf cuts spans between pages, which they hold whole, to pieces of so many rows, or a page more; of pages that are not known there is one piece.
func piecesOf(spans []offline.Span, pages []offline.Page, rows int) (pieces [][]offline.Span) {
	var piece []offline.Span
	n, p := 0, 0 // rows of the piece; the page that it may end with
	for _, s := range spans {
		for s.From < s.To {
			p += sort.Search(len(pages)-p, func(i int) bool { return pages[p+i].To-s.From >= rows-n })
			end := s.To
			if p < len(pages) {
				end = min(end, pages[p].To)
			}
			piece = append(piece, offline.Span{From: s.From, To: end})
			n += end - s.From
			if s.From = end; n >= rows {
				pieces, piece, n = append(pieces, piece), nil, 0
			}
		}
	}
	if n > 0 {
		pieces = append(pieces, piece)
	}
	return pieces
}

// reaches reports whether run begins early enough for one of sp's rows to see something of it.
func (j *joiner[K]) reaches(run Run, sp spine[K]) bool {
	return len(sp.horizon) > 0 && int64(run.Events().From) <= sp.latest
}

// spans returns the rows of run that lie in pages which can hold one of sp's keys. It asks for the pages only if the run as a whole can.
func (j *joiner[K]) spans(run Run, sp spine[K]) []offline.Span {
	if len(sp.keys) == 0 {
		return nil
	}
	min, max, _ := run.FirstKeyBounds()
	whole := j.holding([]offline.Page{{From: 0, To: run.Rows(), Min: min, Max: max}}, sp)
	if len(whole) == 0 {
		return nil
	}
	if pages := run.Pages(); len(pages) > 0 {
		return j.holding(pages, sp)
	}
	return whole
}

// holding returns the rows of pages which can hold one of sp's keys.
func (j *joiner[K]) holding(pages []offline.Page, sp spine[K]) []offline.Span {
	var spans []offline.Span
	s := 0
	for _, p := range pages {
		low, high := j.form.Low(p.Min), j.form.High(p.Max)
		if low.Known {
			if s < len(sp.keys) && keysort.Less(sp.keys[s], low.Value) {
				s = gallop(sp.keys, s, low.Value)
			}
			if s == len(sp.keys) {
				break
			}
		}
		if high.Above(sp.keys[s], len(j.q.View.Keys)) {
			continue
		}
		spans = appendSpan(spans, offline.Span{From: p.From, To: p.To})
	}
	return spans
}

// rowsOfKeyMin is how many rows of pages there must be for each row of the spine: of fewer, all times are read sooner than some are left out.
const rowsOfKeyMin = 64

// few reports whether there are so few keys in sp that their rows among those of spans are to be found first.
func few[K keysort.Ordered](sp spine[K], spans []offline.Span) bool {
	return rowsOf(spans) >= rowsOfKeyMin*len(sp.keys)
}

// readNear returns those of the rows of spans for the walk which have sp's keys, and where they are, leaving others out where keys are few. The caller
// releases them.
func (j *joiner[K]) readNear(ctx context.Context, run Run, sp spine[K], spans []offline.Span, few bool) (history[K], []offline.Span, error) {
	if !few {
		h, err := j.read(ctx, run, spans)
		return h, spans, err
	}
	decoding := j.o.Stats.Start(stages.Decode)
	keys, err := run.Keys(ctx, spans)
	if err != nil {
		return history[K]{}, nil, err
	}
	decoding.Stop(0, 0)
	near, spans := blocksOf(keys, rowsOf(spans), j.form.Of).near(sp.keys, spans)
	if len(spans) == 0 {
		return history[K]{}, nil, nil
	}
	h, err := j.readTimes(ctx, run, near, spans)
	return h, spans, err
}

// read returns the rows of spans for the walk, to be released by the caller.
func (j *joiner[K]) read(ctx context.Context, run Run, spans []offline.Span) (history[K], error) {
	decoding := j.o.Stats.Start(stages.Decode)
	keys, err := run.Keys(ctx, spans)
	if err != nil {
		return history[K]{}, err
	}
	decoding.Stop(0, 0)
	h, err := j.readTimes(ctx, run, blocksOf(keys, rowsOf(spans), j.form.Of), spans)
	for _, k := range keys {
		h.columns = append(h.columns, k.Values)
	}
	return h, err
}

func rowsOf(spans []offline.Span) (rows int) {
	for _, s := range spans {
		rows += s.To - s.From
	}
	return rows
}

// readTimes returns the rows of spans, whose keys are known.
func (j *joiner[K]) readTimes(ctx context.Context, run Run, keys blocks[K], spans []offline.Span) (history[K], error) {
	decoding := j.o.Stats.Start(stages.Decode)
	columns, err := run.Read(ctx, j.columns, spans)
	if err != nil {
		return history[K]{}, err
	}
	decoding.Stop(int64(columns[0].Len()), 0)
	events, ok := columns[0].(*array.Timestamp)
	if !ok || events.NullN() > 0 {
		return history[K]{}, feature.Errorf(feature.ErrCorrupt, "view %s: stored history has event times that are NULL or no timestamps", j.q.View.Name)
	}
	h := history[K]{blocks: keys, events: keysort.Timestamps(events), columns: columns}
	if n := len(h.ends); len(h.keys) != n || n > 0 && int(h.ends[n-1]) != len(h.events) {
		return history[K]{}, fmt.Errorf("view %s: keys of other rows than its %d event times", j.q.View.Name, len(h.events))
	}
	if !j.q.View.HasCreatedTime {
		return h, nil
	}
	created, ok := columns[1].(*array.Timestamp)
	if !ok {
		return history[K]{}, feature.Errorf(feature.ErrCorrupt, "view %s: stored created times are no timestamps", j.q.View.Name)
	}
	h.created = keysort.Timestamps(created)
	if created.NullN() > 0 {
		h.created = append([]int64(nil), h.created...)
		for i := range h.created {
			if created.IsNull(i) {
				h.created[i] = unknownCreated
			}
		}
	}
	return h, nil
}

package pointintime

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/internal/stages"
	"github.com/asof-store/asof/offline"
)

// found are the rows of a shard whose values are wanted, those that have found a row of the same run one after the other, in the order of the run.
type found struct {
	ends   []int32  // for each run, where its own end; none in a windowed view, whose values come with the shard
	rows   []int32  // of the run
	places []uint32 // in the answer
	ages   []int64  // of what was found at the times of the question, in microseconds, where that is counted
}

// place gives a shard's rows that have a match their places, and notes in f those whose values are wanted. Of each run, spans are what was walked.
func (j *joiner[K]) place(sp spine[K], m *matches, spans [][]offline.Span, f *found, memory *shardMemory[K]) {
	hits, places := slices.Grow(memory.hits[:0], len(m.run)), slices.Grow(memory.places[:0], len(m.run))
	for s, run := range m.run {
		if run >= 0 {
			hits, places = append(hits, int32(s)), append(places, sp.rows[s])
		}
	}
	memory.hits, memory.places = hits, places
	j.out.take(places, &memory.next)
	wanted := j.out.found(hits, places, m, sp.asOf)
	expired := len(hits) - wanted
	hits, places = hits[:wanted], places[:wanted]

	f.rows, f.places = slices.Grow(f.rows[:0], wanted)[:wanted], slices.Grow(f.places[:0], wanted)[:wanted]
	f.ends = slices.Grow(f.ends[:0], len(j.runs))[:len(j.runs)]
	if !f.dealOrdered(hits, places, m) {
		memory.order = slices.Grow(memory.order[:0], wanted)[:wanted]
		f.deal(hits, places, m, memory.order)
		hits = memory.order
	}
	begin := int32(0)
	for r, end := range f.ends {
		rowsOfRun(f.rows[begin:end], spans[r])
		begin = end
	}
	var known func(s int32) bool
	if m.created != nil {
		known = func(s int32) bool { return m.known(s, sp.asOf) }
	}
	j.count(sp, hits, f, expired, m.events, known, &memory.counted)
}

// dealOrdered is deal of hits that have the runs in order, as where a commit has made several row groups. It returns false, and no more, of others.
func (f *found) dealOrdered(hits []int32, places []uint32, m *matches) bool {
	last := 0
	for i, s := range hits {
		run := int(m.run[s])
		if run < last {
			return false
		}
		for ; last < run; last++ {
			f.ends[last] = int32(i)
		}
		f.rows[i] = m.row[s]
	}
	for ; last < len(f.ends); last++ {
		f.ends[last] = int32(len(hits))
	}
	copy(f.places, places)
	return true
}

// deal puts the rows and places of hits by runs, and hits in the same order.
func (f *found) deal(hits []int32, places []uint32, m *matches, order []int32) {
	clear(f.ends)
	for _, s := range hits {
		f.ends[m.run[s]]++
	}
	sum := int32(0)
	for r, n := range f.ends {
		f.ends[r] = sum // where those of the run begin, and where they end when they are all there
		sum += n
	}
	for i, s := range hits {
		at := f.ends[m.run[s]]
		f.ends[m.run[s]]++
		f.rows[at], f.places[at], order[at] = m.row[s], places[i], s
	}
}

// rowsOfRun makes rows of a run of their indices among the rows of spans, which never fall.
func rowsOfRun(indices []int32, spans []offline.Span) {
	begin := 0 // of the span among the rows of all
	for _, s := range spans {
		end := begin + s.To - s.From
		n, _ := slices.BinarySearch(indices, int32(end))
		for i := range indices[:n] {
			indices[i] += int32(s.From - begin)
		}
		indices, begin = indices[n:], end
	}
}

// gather gathers the values of columns, by their places in the question, of all shards. Each column is gathered once.
func (o *output) gather(ctx context.Context, columns ...int) error {
	for _, c := range columns {
		if o.columns[c] == nil {
			o.columns[c] = o.newSink(c)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(o.workers)
	memory := o.q.Order.picks(o.workers)
	for i := range o.shards {
		if len(o.shards[i].ends) == 0 {
			continue
		}
		group.Go(func() error {
			p := <-memory
			defer func() { memory <- p }()
			return o.gatherShard(ctx, &o.shards[i], columns, p)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if o.q.tally != nil {
		for _, c := range columns {
			o.q.tally.finish(c, o.columns[c].nulls(), o.shards)
		}
	}
	return nil
}

// picks are the rows of a run of which values are read, each of them once, and for each row that has found one the index of its own among them.
type picks struct{ rows, of []int32 }

// gatherShard reads the values of columns that the rows of a shard have found, and puts them in their places.
func (o *output) gatherShard(ctx context.Context, f *found, columns []int, p *picks) error {
	begin := int32(0)
	for r, end := range f.ends {
		if begin == end {
			continue
		}
		p.pick(f.rows[begin:end])
		for _, c := range columns {
			decoding := o.stats.Start(stages.Decode)
			values, err := o.runs[r].Take(ctx, []string{o.feature(c).Name}, p.rows)
			if err != nil {
				return err
			}
			decoding.Stop(0, 0)
			joining := o.stats.Start(stages.Join)
			o.columns[c].scatter(values[0], p.of, f.places[begin:end])
			joining.Stop(0, 0)
			release(values)
		}
		begin = end
	}
	return nil
}

// pick notes rows, which never fall. It takes no branch at a row, since which of them are equal cannot be foreseen.
func (p *picks) pick(rows []int32) {
	p.rows, p.of = slices.Grow(p.rows[:0], len(rows))[:len(rows)], slices.Grow(p.of[:0], len(rows))[:len(rows)]
	n, last := int32(0), rows[0]
	for i, row := range rows {
		if row != last {
			n++
		}
		p.rows[n], p.of[i], last = row, n, row
	}
	p.rows = p.rows[:n+1]
}

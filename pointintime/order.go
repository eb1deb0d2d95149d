package pointintime

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/internal/stages"
)

// Order is what questions with the same keys and times share when they are asked one after the other: the first of them puts its rows in order, and
// those that follow find them so. The zero value is ready for the first.
type Order struct {
	shards  any // []keysort.Part[K]; nil: nobody has asked yet
	packed  bool
	packing *keysort.Packing
	// Memory that one question leaves to the next:
	memory  any // of its shards: a chan *shardMemory[K]
	found   []found
	picking chan *picks
}

// founds returns what so many shards are to find.
func (o *Order) founds(shards int) []found {
	o.found = slices.Grow(o.found[:0], shards)[:shards]
	return o.found
}

// picks returns memory for as many workers, who take it from there and put it back.
func (o *Order) picks(workers int) chan *picks {
	if len(o.picking) != workers {
		o.picking = make(chan *picks, workers)
		for range workers {
			o.picking <- &picks{}
		}
	}
	return o.picking
}

// shardMemories returns memory for as many workers, who take it from there and put it back.
func (j *joiner[K]) shardMemories(workers int) chan *shardMemory[K] {
	if memory, ok := j.q.Order.memory.(chan *shardMemory[K]); ok && len(memory) == workers {
		return memory
	}
	memory := make(chan *shardMemory[K], workers)
	for range workers {
		memory <- &shardMemory[K]{}
	}
	j.q.Order.memory = memory
	return memory
}

// packing returns the packing of the question's keys.
func (q *Question) packing() *keysort.Packing {
	order := q.Order
	if !order.packed {
		order.packing, order.packed = keysort.PackingOf(q.View.Keys, q.Keys, q.Times.Len()), true
	}
	return order.packing
}

// shards returns the rows of the question that can match, in shards that ascend by key and as-of time, each of them sorted. Nobody changes them. Windows
// have shards of their own sizes, and as-served questions times of their own, so that these share no order.
func (j *joiner[K]) shards(workers int) []keysort.Part[K] {
	shared := j.q.Order
	if j.windows != nil || j.o.AsServed {
		shared = &Order{}
	}
	if shards, ok := shared.shards.([]keysort.Part[K]); ok {
		return shards
	}
	const sortedMax = 1 << 15 // rows that are sorted at a time: a second-level cache holds what it takes
	sorting := j.o.Stats.Start(stages.Sort)
	rows := withoutNull(j.form.Of(j.q.Keys, j.q.Times.Len()), append([]arrow.Array{j.q.Times}, j.q.Keys...))
	if j.o.AsServed {
		rows.Times = servedTimes(j.q.View.Schedule, rows.Times)
	}
	if j.windows != nil {
		shards := j.windowShards(rows, workers)
		sorting.Stop(0, 0)
		j.sort(shards, workers)
		return shards
	}
	history := 0
	for _, run := range j.runs {
		history += run.Rows()
	}
	n := shardsFor(rows.Len(), history, workers)
	parts := rows.Split(n*(1+rows.Len()/(n*sortedMax)), false, workers)
	sorting.Stop(0, 0)
	j.sort(parts, workers)
	var shards []keysort.Part[K]
	for most := (len(parts) + n - 1) / n; len(parts) > 0; {
		k := max(1, min(most, len(parts)/(2*workers))) // the last are small, so that workers end together
		shards, parts = append(shards, keysort.Adjacent(parts[:k])), parts[k:]
	}
	shared.shards = shards
	return shards
}

// sort sorts each of shards, several at a time.
func (j *joiner[K]) sort(shards []keysort.Part[K], workers int) {
	free := make(chan *keysort.Memory[K], workers)
	for range workers {
		free <- &keysort.Memory[K]{}
	}
	var group errgroup.Group
	group.SetLimit(workers)
	for _, rows := range shards {
		group.Go(func() error {
			memory := <-free
			sorting := j.o.Stats.Start(stages.Sort)
			rows.Sort(memory)
			sorting.Stop(int64(rows.Len()), 0)
			free <- memory
			return nil
		})
	}
	_ = group.Wait() // there are no errors
}

// shardsFor returns into how many shards, if they were of one size, that many rows are cut: as many for each worker, of at most shardRowsMax rows, with at most
// historyRowsMax of a history whose rows are spread evenly, and no more than would leave shardRowsMin.
func shardsFor(rows, history, workers int) int {
	const (
		shardRowsMax   = 1 << 17 // sorting and walking it takes 8 MB; each shard decodes the pages at its ends once more
		historyRowsMax = 1 << 22 // whose times take 32 MB
		shardRowsMin   = 1 << 15 // below this, a shard's fixed cost (locating pages) shows
	)
	return max(1, min(rows/shardRowsMin, workers*(1+max(rows/(workers*shardRowsMax), history/(workers*historyRowsMax)))))
}

// withoutNull returns the rows that have no NULL in any of columns, the first of which are their times.
func withoutNull[K keysort.Ordered](keys []K, columns []arrow.Array) keysort.Part[K] {
	all := keysort.Part[K]{Keys: keys, Times: keysort.Timestamps(columns[0].(*array.Timestamp))}
	columns = slices.DeleteFunc(columns, func(c arrow.Array) bool { return c.NullN() == 0 })
	if len(columns) == 0 {
		return all
	}
	some := keysort.Part[K]{Rows: []uint32{}}
	for i := range all.Keys {
		if !slices.ContainsFunc(columns, func(c arrow.Array) bool { return c.IsNull(i) }) {
			some.Rows, some.Keys, some.Times = append(some.Rows, uint32(i)), append(some.Keys, all.Keys[i]), append(some.Times, all.Times[i])
		}
	}
	return some
}

// spineOf returns a shard's part of the spine, with what each row sees of the view.
func (j *joiner[K]) spineOf(rows keysort.Part[K], memory *shardMemory[K]) spine[K] {
	sp := spine[K]{keys: rows.Keys, asOf: rows.Times, horizon: rows.Times, latest: noEvent, rows: rows.Rows}
	if !j.q.View.Immediate() {
		memory.horizon = slices.Grow(memory.horizon[:0], len(rows.Rows))[:len(rows.Rows)]
		sp.horizon = memory.horizon
		for s, q := range sp.asOf {
			sp.horizon[s] = int64(j.q.View.Horizon(feature.Time(q)))
		}
	}
	for _, h := range sp.horizon {
		sp.latest = max(sp.latest, h)
	}
	return sp
}

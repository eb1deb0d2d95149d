package pointintime

import (
	"sync"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
)

// tally counts what the rows of a question find. Shards do so when they find it, so that an answer need not hold the times of what each of its rows has found.
type tally struct {
	withTimes bool   // the answer holds them all the same
	leaked    []leak // takes in what is to be said of each row

	mu                  sync.Mutex
	exactTime, notKnown int64
	columns             []counted // of each feature of the question; rows that have found nothing are not among them
}

// counted tells of rows how many have which status, and how old those are that are present.
type counted struct {
	rows [feature.Expired + 1]int64
	ages ages
}

func (c *counted) add(d *counted) {
	for status, n := range d.rows {
		c.rows[status] += n
	}
	c.ages.add(&d.ages)
}

// count takes in the rows of a shard that have found something, when their values have been scattered: hits are their sorted positions, which have the places that are given, and
// expired as many more. By sorted position, events are the times of what was found, and known tells whether it was known at the as-of time; nil where nobody can tell.
func (j *joiner[K]) count(sp spine[K], hits []int32, places []uint32, expired int, events []int64, known func(s int32) bool, memory *shardMemory[K]) {
	t := j.q.tally
	if t == nil {
		return
	}
	whole, own := &memory.counted[0], &memory.counted[1]
	*whole = counted{}
	whole.rows[feature.Present], whole.rows[feature.Expired] = int64(len(hits)), int64(expired)
	asked := keysort.Timestamps(j.q.Times) // by row: sp's may have been moved
	age := func(s int32) int64 {
		if j.o.AsServed {
			return asked[sp.rows[s]] - events[s]
		}
		return sp.asOf[s] - events[s]
	}
	var exact, unknown int64
	for _, s := range hits {
		old := age(s)
		whole.ages.note(old)
		if old == 0 {
			exact++
			t.leaked[sp.rows[s]] |= exactTime
		}
		if known != nil && !known(s) {
			unknown++
			t.leaked[sp.rows[s]] |= notKnown
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exactTime, t.notKnown = t.exactTime+exact, t.notKnown+unknown
	for c, column := range j.out.columns {
		null := column.nulls()
		if null == nil {
			t.columns[c].add(whole)
			continue
		}
		*own = counted{}
		own.rows[feature.Expired] = int64(expired)
		for i, s := range hits {
			if null[places[i]] {
				own.rows[feature.Null]++
				continue
			}
			own.rows[feature.Present]++
			own.ages.note(age(s))
		}
		t.columns[c].add(own)
	}
}

package pointintime

import (
	"slices"
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
	rows                counted    // that have found something
	columns             []*counted // of each feature of the question
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

// count takes in the rows of a shard that have found something, and notes in f the ages of what they have found: hits are their sorted positions, in the order of f, and
// expired as many more. By sorted position, events are the times of what was found, and known tells whether it was known at the as-of time; nil where nobody can tell.
func (j *joiner[K]) count(sp spine[K], hits []int32, f *found, expired int, events []int64, known func(s int32) bool, memory *counted) {
	t := j.q.tally
	if t == nil {
		return
	}
	*memory = counted{}
	memory.rows[feature.Present], memory.rows[feature.Expired] = int64(len(hits)), int64(expired)
	asked := keysort.Timestamps(j.q.Times) // by row: sp's may have been moved
	f.ages = slices.Grow(f.ages[:0], len(hits))[:len(hits)]
	var exact, unknown int64
	for i, s := range hits {
		age := sp.asOf[s] - events[s]
		if j.o.AsServed {
			age = asked[sp.rows[s]] - events[s]
		}
		f.ages[i] = age
		memory.ages.note(age)
		if age == 0 {
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
	t.rows.add(memory)
}

// finish counts column c, of which null tells, by place, what is NULL; nil: nothing.
func (t *tally) finish(c int, null []bool, shards []found) {
	if null == nil {
		t.columns[c] = &t.rows
		return
	}
	own := &counted{}
	own.rows[feature.Expired] = t.rows.rows[feature.Expired]
	for i := range shards {
		for k, place := range shards[i].places {
			if null[place] {
				own.rows[feature.Null]++
				continue
			}
			own.rows[feature.Present]++
			own.ages.note(shards[i].ages[k])
		}
	}
	t.columns[c] = own
}

package pointintime

import (
	"cmp"
	"slices"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
)

// pending are rows of a shard's spine to which a run may have something to say, with the best answers to them so far.
type pending[K keysort.Ordered] struct {
	spine   spine[K]
	matches matches
	at      []int32 // in the shard's spine
}

// pendingFew are so few rows that copies of them cost nothing.
const pendingFew = 1 << 10

// newestFirst returns the indices of runs by the last event time that they have, the latest first: what it settles need not be looked for in the others.
func newestFirst(runs []Run) []int {
	order := make([]int, len(runs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(runs[b].Events().To, runs[a].Events().To) })
	return order
}

// pendingOf returns those rows of sp that may see event times of a run, and have no answer in m that is later than all of them: copies, which
// [pending.settle] takes to m, if they are fewer than the others and no more than so many, and sp and m themselves otherwise.
func (p *pending[K]) pendingOf(sp *spine[K], m *matches, events feature.Range, most int) (*spine[K], *matches) {
	from, to := int64(events.From), int64(events.To)
	p.at = p.at[:0]
	for s, horizon := range sp.horizon {
		if horizon < from || m.run[s] >= 0 && m.events[s] > to {
			continue
		}
		if p.at = append(p.at, int32(s)); len(p.at) > most || 2*len(p.at) > len(sp.keys) {
			p.at = p.at[:0]
			return sp, m
		}
	}
	part, best := &p.spine, &p.matches
	part.keys, part.asOf, part.horizon, part.latest = part.keys[:0], part.asOf[:0], part.horizon[:0], sp.latest
	best.run, best.row, best.events, best.created = best.run[:0], best.row[:0], best.events[:0], best.created[:0]
	for _, s := range p.at {
		part.keys, part.asOf, part.horizon = append(part.keys, sp.keys[s]), append(part.asOf, sp.asOf[s]), append(part.horizon, sp.horizon[s])
		best.run, best.row, best.events = append(best.run, m.run[s]), append(best.row, m.row[s]), append(best.events, m.events[s])
		if m.created != nil {
			best.created = append(best.created, m.created[s])
		}
	}
	return part, best
}

// settle takes the answers of copies to m.
func (p *pending[K]) settle(m *matches) {
	for i, s := range p.at {
		m.run[s], m.row[s], m.events[s] = p.matches.run[i], p.matches.row[i], p.matches.events[i]
		if m.created != nil {
			m.created[s] = p.matches.created[i]
		}
	}
}

package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// payment is a row of the transactions table, and what only the bank's investigators learn.
type payment struct {
	at, loaded time.Time
	customer   int
	terminal   int
	payee      int
	amount     float64 // below zero for a refund
	online     bool
	fraud      bool
}

// pay returns the payments of all customers in the order of time; a payment's ID is its place in it.
func (w *world) pay() []payment {
	rng := w.cfg.stream(streamPayments)
	payments := make([]payment, 0, w.cfg.Payments)
	for at := w.start; at.Before(w.end); at = at.Add(day) {
		for c := range w.customers {
			for range poisson(rng, w.customers[c].perDay) {
				if p := w.payment(rng, c, at); p.at.Before(w.end) {
					payments = append(payments, p)
				}
			}
		}
	}
	slices.SortStableFunc(payments, func(a, b payment) int { return a.at.Compare(b.at) })
	return payments
}

// payment makes a payment of customer c on the day that begins at from.
func (w *world) payment(rng *rand.Rand, c int, from time.Time) payment {
	who := &w.customers[c]
	p := payment{
		customer: c,
		at:       from.Add(timeOfDay(rng)).Truncate(time.Millisecond),
		online:   rng.Float64() < who.online,
		amount:   who.amount * math.Exp(0.7*rng.NormFloat64()),
		terminal: who.terminals[min(int(3*rng.ExpFloat64()), len(who.terminals)-1)],
		payee:    rng.IntN(len(w.customers) - 1),
	}
	if p.payee >= c { // somebody else
		p.payee++
	}
	if p.online || rng.Float64() < 0.03 { // shops on the net and on journeys lie anywhere
		p.terminal = rng.IntN(len(w.terminals))
	}
	w.defraud(rng, &p)
	if !p.fraud && rng.Float64() < 0.015 {
		p.amount = -p.amount
	}
	p.amount = math.Round(p.amount*100) / 100
	p.loaded = p.at.Add(time.Minute + time.Duration(rng.Int64N(int64(9*time.Minute)))).Truncate(time.Second)
	if rng.Float64() < 0.02 { // a batch that came the day after
		p.loaded = p.loaded.Add(day)
	}
	return p
}

func (w *world) defraud(rng *rand.Rand, p *payment) {
	chance := rng.Float64()
	switch {
	case w.customers[p.customer].stolen.contains(p.at) && chance < 1.0/3:
		p.amount *= 5
		p.fraud = true
	case !p.online && w.terminals[p.terminal].tampered.contains(p.at) && chance < 0.5:
		p.fraud = true
	case chance < 0.0006:
		p.amount = w.customers[p.customer].amount * (15 + 10*rng.Float64())
		p.fraud = true
	}
}

// timeOfDay is around three in the afternoon, seldom at night.
func timeOfDay(rng *rand.Rand) time.Duration {
	hours := 15 + 4.5*rng.NormFloat64()
	return time.Duration(math.Mod(hours+48, 24) * float64(time.Hour))
}

// poisson draws a count with the given mean, which is small: by the product of uniform numbers (Knuth 1969).
func poisson(rng *rand.Rand, mean float64) int {
	limit, product := math.Exp(-mean), rng.Float64()
	n := 0
	for product > limit {
		product *= rng.Float64()
		n++
	}
	return n
}

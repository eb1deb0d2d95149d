package simulate

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

const day = 24 * time.Hour

// The streams of random numbers.
const (
	streamTerminals = iota + 1
	streamCustomers
	streamCompromises
	streamPayments
	streamMarket
	streamSpine
)

// world is everything but the payments.
type world struct {
	cfg        Config
	start, end time.Time
	terminals  []terminal
	customers  []customer
}

type terminal struct {
	lat, lon  float64
	category  string // of its merchant; "" where nobody knows
	country   string
	installed time.Time
	tampered  span
}

type customer struct {
	lat, lon   float64
	birthYear  int32
	country    string
	income     float64 // 0 where it is not known
	perDay     float64 // payments
	amount     float64 // median of a payment
	online     float64 // share of payments
	terminals  []int   // near by, the nearest first
	stolen     span    // the card's data
	firstRow   time.Time
	changes    []time.Time // of the profile, after firstRow
	segmentSet uint
}

// span is a time from..to; the zero span contains nothing.
type span struct{ from, to time.Time }

func (s span) contains(t time.Time) bool { return !t.Before(s.from) && t.Before(s.to) }

func newWorld(cfg Config) *world {
	end := cfg.End.UTC().Truncate(time.Microsecond)
	w := &world{cfg: cfg, end: end, start: end.AddDate(0, -months, 0)}
	w.addTerminals(cfg.stream(streamTerminals))
	w.addCustomers(cfg.stream(streamCustomers))
	w.compromise(cfg.stream(streamCompromises))
	return w
}

func (w *world) addTerminals(rng *rand.Rand) {
	categories := []string{"groceries", "fuel", "restaurant", "travel", "electronics", "fashion", "health", "gaming", ""}
	countries := []string{"DE", "DE", "DE", "DE", "DE", "DE", "DE", "FR", "NL", "AT", "PL", "CH"}
	for range w.cfg.Terminals {
		w.terminals = append(w.terminals, terminal{
			lat: 47.3 + 7.6*rng.Float64(), lon: 6 + 9*rng.Float64(),
			category:  categories[rng.IntN(len(categories))],
			country:   countries[rng.IntN(len(countries))],
			installed: w.start.Add(-time.Duration(30+rng.IntN(3000)) * day).Truncate(day),
		})
	}
}

func (w *world) addCustomers(rng *rand.Rand) {
	countries := []string{"DE", "DE", "DE", "DE", "DE", "DE", "DE", "DE", "FR", "NL", "AT", "PL", "CH", "TR"}
	days := w.end.Sub(w.start).Hours() / 24
	mean := float64(w.cfg.Payments) / float64(w.cfg.Customers) / days
	for range w.cfg.Customers {
		c := customer{
			lat: 47.3 + 7.6*rng.Float64(), lon: 6 + 9*rng.Float64(),
			birthYear: int32(w.end.Year() - 18 - rng.IntN(65)),
			country:   countries[rng.IntN(len(countries))],
			income:    math.Round(30_000 * math.Exp(0.5*rng.NormFloat64())),
			perDay:    mean * (0.2 + 1.6*rng.Float64()),
			amount:    12 * math.Exp(0.6*rng.NormFloat64()),
			online:    0.5 * rng.Float64(),
			firstRow:  w.start.Add(-time.Duration(rng.Int64N(int64(300 * day)))),
		}
		if rng.Float64() < 0.08 {
			c.income = 0
		}
		for at := c.firstRow; ; {
			at = at.Add(time.Duration(120 * rng.ExpFloat64() * float64(day)))
			if !at.Before(w.end) {
				break
			}
			c.changes = append(c.changes, at)
		}
		c.segmentSet = uint(rng.IntN(1 << len(segmentNames)))
		c.terminals = w.nearest(c.lat, c.lon)
		w.customers = append(w.customers, c)
	}
}

// nearest returns the terminals that a customer who lives there goes to.
func (w *world) nearest(lat, lon float64) []int {
	const many = 12
	type place struct {
		terminal int
		distance float64
	}
	places := make([]place, len(w.terminals))
	for i, t := range w.terminals {
		places[i] = place{i, (t.lat-lat)*(t.lat-lat) + (t.lon-lon)*(t.lon-lon)/2}
	}
	slices.SortFunc(places, func(a, b place) int {
		switch {
		case a.distance < b.distance:
			return -1
		case a.distance > b.distance:
			return 1
		}
		return a.terminal - b.terminal
	})
	var near []int
	for _, p := range places[:min(many, len(places))] {
		near = append(near, p.terminal)
	}
	return near
}

// compromise chooses the terminals that are tampered with and the customers whose cards are stolen, some each week.
func (w *world) compromise(rng *rand.Rand) {
	for from := w.start; from.Before(w.end); from = from.Add(7 * day) {
		for range max(1, w.cfg.Terminals/120) {
			t := &w.terminals[rng.IntN(len(w.terminals))]
			at := from.Add(time.Duration(rng.Int64N(int64(7 * day))))
			t.tampered = span{at, at.Add(time.Duration(14+rng.IntN(14)) * day)}
		}
		for range max(1, w.cfg.Customers/120) {
			c := &w.customers[rng.IntN(len(w.customers))]
			at := from.Add(time.Duration(rng.Int64N(int64(7 * day))))
			c.stolen = span{at, at.Add(14 * day)}
		}
	}
}

// pressure returns how much fraud goes on at t: the share of terminals and customers that are compromised, in percent.
func (w *world) pressure(t time.Time) float64 {
	terminals, customers := 0, 0
	for i := range w.terminals {
		if w.terminals[i].tampered.contains(t) {
			terminals++
		}
	}
	for i := range w.customers {
		if w.customers[i].stolen.contains(t) {
			customers++
		}
	}
	return 100 * (float64(terminals)/float64(len(w.terminals)) + float64(customers)/float64(len(w.customers)))
}

var segmentNames = [...]string{"student", "family", "traveller", "online_shopper", "premium"}

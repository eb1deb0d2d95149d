package main

import (
	"context"
	"errors"
)

// standing is what a suite has measured: asof first, then the peers.
type standing struct {
	names   []string
	figures []figure
	x       int // what they are to be plotted against
}

func (s standing) at(x int) standing {
	s.x = x
	return s
}

// ratio is how many times the time of asof the first peer takes.
func (s standing) ratio() float64 { return s.figures[1].Seconds / s.figures[0].Seconds }

// stand measures contenders that do count things each, and prints how they stand.
func (b *bench) stand(ctx context.Context, r *report, name, what, unit string, count int64, contenders []contender) (standing, error) {
	figures, err := b.inTurn(ctx, contenders)
	if errors.Is(err, errUnequal) && name != "" {
		r.unequal(name)
	}
	if err != nil {
		return standing{}, err
	}
	s := standing{figures: figures}
	for i, c := range contenders {
		figures[i].Count = count
		s.names = append(s.names, c.name)
		if what != "" {
			c.name += ", " + what
		}
		r.show(c.name, figures[i], unit)
	}
	if name != "" && len(figures) > 1 {
		r.close(name, figures[0], figures[1])
	}
	return s, nil
}

// worst measures the cases of a suite and closes with the line of the one that stands worst.
func worst[C any](r *report, name string, measure func(C) (standing, error), cases ...C) error {
	var least *standing
	for _, c := range cases {
		s, err := measure(c)
		if err != nil {
			return err
		}
		if len(s.figures) > 1 && (least == nil || s.ratio() < least.ratio()) {
			least = &s
		}
	}
	if least != nil {
		r.close(name, least.figures[0], least.figures[1])
	}
	return nil
}

// doing returns what does t once.
func doing(t task) func(context.Context) (figure, error) {
	return func(ctx context.Context) (figure, error) { return measure(ctx, t) }
}

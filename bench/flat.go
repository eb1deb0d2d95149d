package main

import (
	"context"
	"fmt"
)

// benchMemoryFlat exports one spine with histories of one feature, from 2 M to 200 M rows, the longest of which is removed afterwards: memory must
// stay what it is. The closing line compares the longest history with the shortest, whose time is a fact and no aim.
//
// Then it exports a spine that is larger than the memory allows for.
func benchMemoryFlat(ctx context.Context, b *bench, r *report) error {
	var byHistory []standing
	for _, rows := range []int{2 * million, 20 * million, 200 * million} {
		s := b.usual()
		s.Rows, s.Features = b.rows(rows), 1
		st, err := b.besideExportAlone(ctx, r, fmt.Sprintf("%d M of history", rows/million), exportOf(s, b.rows(2*million)))
		if err != nil {
			return err
		}
		byHistory = append(byHistory, st.at(rows))
		if rows >= 100*million {
			if err := b.discardHistory(s); err != nil {
				return err
			}
		}
	}
	r.plotStandings("memory-flat", "2 M spine rows, 1 feature: export against rows of history", byHistory)
	for _, c := range []struct {
		spine  int
		memory int64
	}{{2 * million, 256 << 20}, {10 * million, 256 << 20}, {10 * million, 1 << 30}} {
		t := exportOf(b.usual(), b.rows(c.spine))
		t.Memory = c.memory
		if _, err := b.besideExportAlone(ctx, r, fmt.Sprintf("%d M spine rows, --memory %dMiB", c.spine/million, c.memory>>20), t); err != nil {
			return err
		}
	}
	r.close("memory-flat", byHistory[2].figures[0], byHistory[0].figures[0])
	return nil
}

// besideExportAlone is besideExport without peers: the training set is compared with what the generator knows.
func (b *bench) besideExportAlone(ctx context.Context, r *report, what string, t task) (standing, error) {
	alone := *b
	alone.python = ""
	return alone.besideExport(ctx, r, "", what, t)
}

package source

import (
	"context"

	"github.com/asof-store/asof/feature"
)

// Count returns at most how many rows have an event time in the given range: those of the row groups whose statistics do
// not place them outside. It reads the files' metadata alone, and fails as Read does on it.
func Count(ctx context.Context, spec Spec, events feature.Range) (rows int64, err error) {
	files, err := Files(ctx, spec)
	if err != nil {
		return 0, err
	}
	for i := range files {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := countFile(&spec, files[i], events)
		if err != nil {
			return 0, err
		}
		rows += n
	}
	return rows, nil
}

func countFile(spec *Spec, stat FileStat, events feature.Range) (rows int64, err error) {
	f, err := spec.open(stat.Path)
	if err != nil {
		return 0, spec.wrap(err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = spec.errorf(feature.ErrUnavailable, "closing %s: %w", f.Path(), closed)
		}
	}()
	r := fileReader{reader: &reader{spec: spec}, file: f}
	for g, group := range f.RowGroups() {
		from, to, ok := r.eventBounds(g)
		if !ok || events.Overlaps(feature.Range{From: from, To: to}) {
			rows += int64(group.Rows)
		}
	}
	return rows, nil
}

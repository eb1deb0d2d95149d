package source

import (
	"context"

	"github.com/asof-store/asof/feature"
)

// Survey returns the source's files, in source order, with their rows and the bounds of their event times. Those of known, by path, that
// have neither another size nor another modification time are taken as they are; of the others the metadata is read, and event
// times where that has no bounds. Bad rows are passed over. It fails as [Read] does.
func Survey(ctx context.Context, spec Spec, known map[string]FileStat) ([]FileStat, error) {
	files, err := Files(ctx, spec)
	if err != nil {
		return nil, err
	}
	lenient := spec
	lenient.BadRows = BadRowsSkip
	nothing := feature.Range{From: 1, To: 0} // no row is wanted
	r := newReader(&lenient, &Request{Range: nothing}, files, nil)
	for i := range files {
		if k, ok := known[files[i].Path]; ok && k.SameVersion(files[i]) {
			files[i] = k
			continue
		}
		if err := r.readFile(ctx, &files[i]); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// SameVersion reports whether f and g, of one path, are one version of a file as far as its size and modification time, to the microsecond, tell.
func (f *FileStat) SameVersion(g FileStat) bool {
	return f.Size == g.Size && feature.TimeOf(f.ModTime) == feature.TimeOf(g.ModTime)
}

// Events bounds the event times of the whole file; it is empty where the file has none.
func (f *FileStat) Events() feature.Range { return feature.Range{From: f.MinEvent, To: f.MaxEvent} }

// Piece is a row group of a source.
type Piece struct {
	Events      feature.Range // bounds; those of the file where its metadata has none for the row group
	Rows, Bytes int64         // stored, of all columns
}

// Pieces returns the row groups of files, as [Survey] gave them, whose event times can lie in the given range. It reads metadata alone, and fails
// as [Read] does on it.
func Pieces(ctx context.Context, spec Spec, files []FileStat, events feature.Range) ([]Piece, error) {
	var pieces []Piece
	for i := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !events.Overlaps(files[i].Events()) {
			continue
		}
		of, err := piecesOf(&spec, &files[i], events)
		if err != nil {
			return nil, err
		}
		pieces = append(pieces, of...)
	}
	return pieces, nil
}

func piecesOf(spec *Spec, stat *FileStat, events feature.Range) (pieces []Piece, err error) {
	f, err := spec.open(stat.Path, nil)
	if err != nil {
		return nil, spec.changedSince(stat, spec.wrap(err))
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = spec.errorf(feature.ErrUnavailable, "closing %s: %w", f.Path(), closed)
		}
	}()
	r := fileReader{reader: &reader{spec: spec}, file: f}
	for g, group := range f.RowGroups() {
		p := Piece{Events: stat.Events(), Rows: int64(group.Rows), Bytes: group.Bytes}
		if from, to, ok := r.eventBounds(g); ok {
			p.Events = feature.Range{From: from, To: to}
		}
		if events.Overlaps(p.Events) {
			pieces = append(pieces, p)
		}
	}
	return pieces, nil
}

package simulation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// compareExport compares what a process serves of a view, for all keys and one that there is not, with what the training export
// answers for them at the view's watermark.
func (w *world) compareExport(p *process, view string) (err error) {
	ctx := context.Background()
	service, err := p.model.Service("of_" + view)
	if err != nil {
		return err
	}
	snapshot, err := p.store.Snapshot(ctx, view)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	at := snapshot.Progress().Watermark
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "k", Type: arrow.PrimitiveTypes.Int64}, {Name: "at", Type: feature.Scalar(feature.Timestamp).Arrow()},
	}, nil))
	for k := range int64(keys + 1) {
		b.Field(0).(*array.Int64Builder).Append(k)
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(at))
	}
	batch := b.NewRecordBatch()
	spine, out := filepath.Join(w.dir, "spine.arrow"), filepath.Join(w.dir, "out.arrow")
	if err := tabular.WriteFile(spine, batch.Schema(), batch); err != nil {
		return err
	}
	snapshots := map[string]*offline.Snapshot{view: snapshot}
	if _, err := pointintime.Export(ctx, service.Service, snapshots, spine, out, pointintime.ExportOptions{TimeColumn: "at", Options: pointintime.Options{Workers: 1}}); err != nil {
		return err
	}
	trained, err := readTable(out)
	if err != nil {
		return err
	}
	served, err := p.engine.Online.Lookup(ctx, service.Service, map[string]arrow.Array{"k": batch.Column(0)}, at, false)
	if err != nil {
		return err
	}
	for _, c := range served.Columns {
		column := trained.Column(trained.Schema().FieldIndices(c.Name)[0])
		for i := range keys + 1 {
			if is, want := cellText(c.Values(), i), cellText(column, i); is != want {
				return fmt.Errorf("%s of key %d at %s is %s online, and %s in the export", c.Name, i, at, is, want)
			}
		}
	}
	return nil
}

func cellText(column arrow.Array, i int) string {
	if column.IsNull(i) {
		return "NULL"
	}
	return column.ValueStr(i)
}

// readTable reads a table of one batch.
func readTable(path string) (arrow.RecordBatch, error) {
	r, err := tabular.OpenReader(path, tabular.ReaderOptions{})
	if err != nil {
		return nil, err
	}
	batch, err := r.Next(context.Background())
	if err == nil {
		if _, end := r.Next(context.Background()); !errors.Is(end, io.EOF) {
			err = fmt.Errorf("%s has more rows than a batch: %w", path, end)
		}
	}
	return batch, errors.Join(err, r.Close())
}

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/offline"
)

// The generated data: keys are scattered over the integers, events over a year, values over [0, 1).
const (
	keysMade  = 1_000_000
	keyGap    = 1000
	yearDays  = 360
	batchRows = 1 << 15
	seed      = 20260101
)

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func yearStart() feature.Time {
	return feature.TimeOf(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
}

const yearMicros = int64(yearDays) * 24 * 3600 * 1e6

// keyOf returns the k-th key; they ascend.
func keyOf(k int) int64 { return int64(k)*keyGap + int64(uint64(k)*2654435761%keyGap) }

// view is the one that all histories here belong to.
func view(features int) *feature.View {
	v := &feature.View{Name: "spend", Keys: []feature.Field{{Name: "customer_id", Type: feature.Scalar(feature.Int64)}}, Hash: "bench", Online: true}
	for i := range features {
		v.Features = append(v.Features, feature.Feature{Field: feature.Field{Name: fmt.Sprintf("f%d", i), Type: feature.Scalar(feature.Float64)}})
	}
	return v
}

// service asks for all features of view.
func service(v *feature.View) *feature.Service {
	ref := feature.Ref{View: v, KeyColumns: []string{v.Keys[0].Name}}
	for i := range v.Features {
		ref.Features = append(ref.Features, i)
	}
	return &feature.Service{Name: "bench", Refs: []feature.Ref{ref}}
}

func schemaOf(fields []feature.Field) *arrow.Schema {
	var out []arrow.Field
	for _, f := range fields {
		out = append(out, arrow.Field{Name: f.Name, Type: f.Type.Arrow(), Nullable: true})
	}
	return arrow.NewSchema(out, nil)
}

// makeHistory writes t.History rows, as many for every key, in t.Commits commits that follow each other in time, into a
// warehouse at t.Out.
func makeHistory(ctx context.Context, t task) (outcome, error) {
	store, err := offline.Open(ctx, t.Out, offline.Options{})
	if err != nil {
		return outcome{}, err
	}
	v, perKey := view(4), t.History/keysMade
	span := yearMicros / int64(t.Commits)
	for c := range t.Commits {
		from := yearStart() + feature.Time(int64(c)*span)
		r := feature.Range{From: from, To: from + feature.Time(span) - 1}
		commit := offline.Commit{Range: r, Progress: offline.Progress{Watermark: r.To, Start: yearStart(), RunID: fmt.Sprint("bench", c), Hash: v.Hash}}
		// Rows are dealt evenly to the commits, the odd ones to the first.
		n := perKey / t.Commits
		if c < perKey%t.Commits {
			n++
		}
		snapshot, err := store.Replace(ctx, v, commit, func(w *offline.Writer) error {
			return historyRows(v, r, n, rand.New(rand.NewPCG(seed, uint64(c))), w.Write)
		})
		if err != nil {
			return outcome{}, err
		}
		if err := snapshot.Close(); err != nil {
			return outcome{}, err
		}
	}
	return outcome{Seconds: 1, Count: int64(t.History)}, nil
}

// historyRows yields perKey rows of each key, sorted, with event times in r.
func historyRows(v *feature.View, r feature.Range, perKey int, random *rand.Rand, yield func(arrow.RecordBatch) error) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(v.Columns()))
	slot := (int64(r.To-r.From) + 1) / int64(max(1, perKey))
	rows := 0
	for k := range keysMade {
		for i := range perKey {
			b.Field(0).(*array.Int64Builder).Append(keyOf(k))
			b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(int64(r.From) + int64(i)*slot + random.Int64N(slot)))
			for f := range v.Features {
				b.Field(2 + f).(*array.Float64Builder).Append(random.Float64())
			}
			rows++
		}
		if rows >= batchRows || k == keysMade-1 {
			if err := yield(b.NewRecordBatch()); err != nil {
				return err
			}
			rows = 0
		}
	}
	return nil
}

// spineName is the file that makeSpine makes.
const spineName = "spine.parquet"

// makeSpine writes t.Spine rows of random keys and times, in no order, to a file in t.Out. One key of a hundred has no history.
func makeSpine(_ context.Context, t task) (outcome, error) {
	return writeSpine(t, keysMade, yearMicros)
}

// writeSpine is makeSpine for so many keys and so long a time.
func writeSpine(t task, keys int, micros int64) (_ outcome, err error) {
	if err := os.MkdirAll(t.Out, 0o755); err != nil {
		return outcome{}, err
	}
	scalar := func(name string, k feature.Kind) feature.Field {
		return feature.Field{Name: name, Type: feature.Scalar(k)}
	}
	schema := schemaOf([]feature.Field{scalar("row", feature.Int64), scalar("customer_id", feature.Int64), scalar("event_timestamp", feature.Timestamp), scalar("label", feature.Float64)})
	w, err := tabular.Create(filepath.Join(t.Out, spineName), schema, tabular.WriterOptions{})
	if err != nil {
		return outcome{}, err
	}
	defer w.Abort()
	random := rand.New(rand.NewPCG(seed, 1<<32))
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i := range t.Spine {
		key := keyOf(random.IntN(keys))
		if random.IntN(100) == 0 {
			key = -1 - key
		}
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.Int64Builder).Append(key)
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(int64(yearStart()) + random.Int64N(micros)))
		b.Field(3).(*array.Float64Builder).Append(random.Float64())
		if i%batchRows == batchRows-1 || i == t.Spine-1 {
			if err := w.Write(b.NewRecordBatch()); err != nil {
				return outcome{}, err
			}
		}
	}
	return outcome{Seconds: 1, Count: int64(t.Spine)}, w.Commit()
}

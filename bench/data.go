package main

import (
	"context"
	"fmt"
	"iter"
	"math"
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

const (
	million   = 1_000_000
	batchRows = 1 << 15
	seed      = 20260101
	dayMicros = int64(24 * 3600 * 1e6)
)

// keyKind is what keys are made of.
type keyKind string

const (
	intKeys  keyKind = "int64" // scattered over the integers
	uuidKeys keyKind = "uuid"  // texts of 36 characters
	pairKeys keyKind = "pair"  // a text that 1,000 keys share, and an integer
)

// shape says what generated data looks like. Every row follows from it by arithmetic, so a check needs no second copy.
type shape struct {
	Kind     keyKind
	Keys     int // distinct ones
	Rows     int // of the history of each view, as many for every key
	Days     int // over which they are spread
	Views    int
	Features int // of each view, all float64
	Commits  int // that follow each other in time
}

// name tells shapes apart in names of directories.
func (s shape) name() string {
	return fmt.Sprintf("%s-%d-keys-%dk-rows-%dx%d-in-%d", s.Kind, s.Keys, s.Rows/1000, s.Views, s.Features, s.Commits)
}

func (s shape) perKey() int { return s.Rows / s.Keys }

// slot is how much of the time each row of a key has for itself.
func (s shape) slot() int64 { return int64(s.Days) * dayMicros / int64(s.perKey()) }

func start() feature.Time {
	return feature.TimeOf(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))
}

// mix scatters numbers over all 64 bits (splitmix64, by Sebastiano Vigna).
func mix(parts ...int) uint64 {
	x := uint64(seed)
	for _, p := range parts {
		x += uint64(p) + 0x9e3779b97f4a7c15
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return x
}

// event is the time of row i of key k in view v; a key's rows ascend.
func (s shape) event(v, k, i int) feature.Time {
	return start() + feature.Time(int64(i)*s.slot()+int64(mix(v, k, i)%uint64(s.slot())))
}

// value is feature f of that row: 53 random bits in [0, 1), which no codec makes smaller.
func (s shape) value(v, k, i, f int) float64 {
	return float64(mix(v, k, i, f)>>11) / (1 << 53)
}

// newest is the row of key k that is the newest at a time; -1 if none is.
func (s shape) newest(v, k int, at feature.Time) int {
	i := min(int(int64(at-start())/s.slot()), s.perKey()-1)
	if i >= 0 && s.event(v, k, i) > at {
		i--
	}
	return i
}

// keyOf returns the k-th integer key; they ascend.
func keyOf(k int) int64 { return int64(k)*1000 + int64(uint64(k)*2654435761%1000) }

// keyFields are the key parts of a kind.
func (s shape) keyFields() []feature.Field {
	text := feature.Field{Name: "customer", Type: feature.Scalar(feature.String)}
	number := feature.Field{Name: "customer_id", Type: feature.Scalar(feature.Int64)}
	switch s.Kind {
	case uuidKeys:
		return []feature.Field{text}
	case pairKeys:
		text.Name = "region"
		return []feature.Field{text, number}
	}
	return []feature.Field{number}
}

// key returns the parts of the k-th key; they ascend with k. One that is not known has no history, and lies beside one that has.
func (s shape) key(k int, known bool) []any {
	number := keyOf(k)
	if !known {
		number ^= 1
	}
	switch s.Kind {
	case uuidKeys:
		// The first half ascends, in even steps.
		step := math.MaxUint64 / uint64(s.Keys)
		high, low := uint64(k)*step+mix(k)%step, mix(k, 1)
		if !known {
			low ^= 1
		}
		return []any{fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", high>>32, high>>16&0xffff, high&0xffff, low>>48, low&(1<<48-1))}
	case pairKeys:
		return []any{fmt.Sprintf("region-%04d", k*1000/s.Keys), number}
	}
	return []any{number}
}

func appendKey(b *array.RecordBuilder, at int, parts []any) {
	for i, p := range parts {
		switch p := p.(type) {
		case int64:
			b.Field(at + i).(*array.Int64Builder).Append(p)
		case string:
			b.Field(at + i).(*array.StringBuilder).Append(p)
		}
	}
}

// views are those that the histories belong to. Their features have different names, so that one table can hold them all.
func (s shape) views() []*feature.View {
	views := make([]*feature.View, s.Views)
	for v := range views {
		views[v] = &feature.View{Name: fmt.Sprintf("view%d", v), Keys: s.keyFields(), Hash: "bench", Online: true}
		for f := range s.Features {
			name := fmt.Sprintf("f%d", v*s.Features+f)
			views[v].Features = append(views[v].Features, feature.Feature{Field: feature.Field{Name: name, Type: feature.Scalar(feature.Float64)}})
		}
	}
	return views
}

// service asks for the first so many features of views, as evenly as it goes; all of them if features is 0.
func service(name string, views []*feature.View, features int) *feature.Service {
	svc := &feature.Service{Name: name}
	for v, view := range views {
		n := len(view.Features)
		if features > 0 {
			n = (features + len(views) - 1 - v) / len(views)
		}
		ref := feature.Ref{View: view}
		for _, k := range view.Keys {
			ref.KeyColumns = append(ref.KeyColumns, k.Name)
		}
		for i := range n {
			ref.Features = append(ref.Features, i)
		}
		svc.Refs = append(svc.Refs, ref)
	}
	return svc
}

func schemaOf(fields []feature.Field) *arrow.Schema {
	var out []arrow.Field
	for _, f := range fields {
		out = append(out, arrow.Field{Name: f.Name, Type: f.Type.Arrow(), Nullable: true})
	}
	return arrow.NewSchema(out, nil)
}

// makeHistory writes the histories of t.Shape into a warehouse at t.Out.
func makeHistory(ctx context.Context, t task) (outcome, error) {
	store, err := offline.Open(ctx, t.Out, offline.Options{})
	if err != nil {
		return outcome{}, err
	}
	s := t.Shape
	for v, view := range s.views() {
		for c := range s.Commits {
			first, end := c*s.perKey()/s.Commits, (c+1)*s.perKey()/s.Commits
			r := feature.Range{From: start() + feature.Time(int64(first)*s.slot()), To: start() + feature.Time(int64(end)*s.slot()) - 1}
			commit := offline.Commit{Range: r, Progress: offline.Progress{Watermark: r.To, Start: start(), RunID: fmt.Sprint("bench", c), Hash: view.Hash}}
			snapshot, err := store.Replace(ctx, view, commit, func(w *offline.Writer) error {
				return s.history(v, view, first, end, w.Write)
			})
			if err != nil {
				return outcome{}, err
			}
			if err := snapshot.Close(); err != nil {
				return outcome{}, err
			}
		}
	}
	return outcome{Count: int64(s.Rows) * int64(s.Views)}, nil
}

// history yields the rows [first, end) of every key of a view, sorted.
func (s shape) history(v int, view *feature.View, first, end int, yield func(arrow.RecordBatch) error) error {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(view.Columns()))
	n, rows := len(view.Keys), 0
	for k := range s.Keys {
		parts := s.key(k, true)
		for i := first; i < end; i++ {
			appendKey(b, 0, parts)
			b.Field(n).(*array.TimestampBuilder).Append(arrow.Timestamp(s.event(v, k, i)))
			for f := range s.Features {
				b.Field(n + 1 + f).(*array.Float64Builder).Append(s.value(v, k, i, f))
			}
			if rows++; rows < batchRows && (k < s.Keys-1 || i < end-1) {
				continue
			}
			if err := yield(b.NewRecordBatch()); err != nil {
				return err
			}
			rows = 0
		}
	}
	return nil
}

// spineRow is what a row of a spine is made of.
type spineRow struct {
	key   int
	known bool // one key of a hundred has no history
	time  feature.Time
	label float64
}

// spineRows are the rows of t's spine: random keys and times, in no order.
func (t task) spineRows() iter.Seq2[int, spineRow] {
	return func(yield func(int, spineRow) bool) {
		random := rand.New(rand.NewPCG(seed, 1<<32))
		first, keys := 0, t.Shape.Keys
		if t.Near > 0 {
			first, keys = keys/2, t.Near
		}
		for i := range t.Spine {
			row := spineRow{key: first + random.IntN(keys), known: random.IntN(100) > 0, label: random.Float64()}
			row.time = start() + feature.Time(random.Int64N(int64(t.Shape.Days)*dayMicros))
			if !yield(i, row) {
				return
			}
		}
	}
}

// The spine's columns besides its keys, and its file.
const (
	rowColumn   = "row"
	timeColumn  = "event_timestamp"
	labelColumn = "label"
	spineName   = "spine.parquet"
)

func (s shape) spineFields() []feature.Field {
	fields := append([]feature.Field{{Name: rowColumn, Type: feature.Scalar(feature.Int64)}}, s.keyFields()...)
	return append(fields, feature.Field{Name: timeColumn, Type: feature.Scalar(feature.Timestamp)}, feature.Field{Name: labelColumn, Type: feature.Scalar(feature.Float64)})
}

// makeSpine writes t's spine to a file in t.Out.
func makeSpine(_ context.Context, t task) (outcome, error) {
	if err := os.MkdirAll(t.Out, 0o755); err != nil {
		return outcome{}, err
	}
	n := len(t.Shape.keyFields())
	return outcome{Count: int64(t.Spine)}, writeFile(filepath.Join(t.Out, spineName), t.Shape.spineFields(), t.Spine, func(b *array.RecordBuilder, emit func() error) error {
		for i, row := range t.spineRows() {
			b.Field(0).(*array.Int64Builder).Append(int64(i))
			appendKey(b, 1, t.Shape.key(row.key, row.known))
			b.Field(1 + n).(*array.TimestampBuilder).Append(arrow.Timestamp(row.time))
			b.Field(2 + n).(*array.Float64Builder).Append(row.label)
			if err := emit(); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeFile writes a Parquet file of so many rows, after each of which fill calls emit.
func writeFile(path string, fields []feature.Field, rows int, fill func(b *array.RecordBuilder, emit func() error) error) error {
	w, err := tabular.Create(path, schemaOf(fields), tabular.WriterOptions{})
	if err != nil {
		return err
	}
	defer w.Abort()
	b, written := array.NewRecordBuilder(memory.DefaultAllocator, schemaOf(fields)), 0
	err = fill(b, func() error {
		if written++; written%batchRows != 0 && written != rows {
			return nil
		}
		return w.Write(b.NewRecordBatch())
	})
	if err != nil {
		return err
	}
	return w.Commit()
}

package source

import (
	"context"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
	"github.com/asof-store/asof/internal/stages"
)

// input is where the values of a column come from.
type input struct {
	kind    inputKind
	value   any                // of a constant; nil is NULL
	scanner *parquetio.Scanner // of the row group being read; opened when first wanted
}

type inputKind uint8

const (
	missing  inputKind = iota // NULL in every row
	fromFile                  // a column of the file
	constant                  // given by a folder of the path
)

// constant returns the input of a folder column wanted as t.
func (r *fileReader) constant(f folder, t feature.Type) (input, error) {
	if f.null {
		return input{kind: constant}, nil
	}
	in := input{kind: constant}
	n, err := strconv.ParseInt(f.value, 10, 64)
	switch {
	case t == feature.Scalar(feature.String):
		in.value = f.value
		return in, nil
	case err == nil && t == feature.Scalar(feature.Int64):
		in.value = n
		return in, nil
	case err == nil && t == feature.Scalar(feature.Int32) && n == int64(int32(n)):
		in.value = int32(n)
		return in, nil
	case err == nil && t == feature.Scalar(feature.Float64):
		in.value = float64(n)
		return in, nil
	}
	return in, r.spec.errorf(feature.ErrInvalid, "%s: the folder %s=%s cannot be read as %s: declare it as %s, or cast it in an expression",
		r.stat.Path, f.name, f.value, t, r.folderKinds[f.name])
}

// readGroup reads a row group batch by batch.
func (r *fileReader) readGroup(ctx context.Context, group int, g parquetio.RowGroup) error {
	defer r.freeScanners()
	_, _, bounded := r.eventBounds(group)
	for from := 0; from < g.Rows; from += r.batchRows {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := batch{fileReader: r, group: group, first: g.FirstRow, span: parquetio.Span{From: from, To: min(from+r.batchRows, g.Rows)}}
		b.clock = r.request.Stats.Start(stages.Decode)
		if err := b.selectEvents(!bounded); err != nil {
			return err
		}
		if err := b.emit(); err != nil {
			return err
		}
	}
	return nil
}

// freeScanners gives the memory of the pages of a row group back.
func (r *fileReader) freeScanners() {
	for i := range r.inputs {
		if s := r.inputs[i].scanner; s != nil {
			s.Free()
			r.inputs[i].scanner = nil
		}
	}
}

// batch is a stretch of a row group of which some rows are wanted.
type batch struct {
	*fileReader
	group int
	first int64            // row of the file with which the row group begins
	span  parquetio.Span   // of the row group
	spans []parquetio.Span // the rows wanted
	rows  int              // in spans
	event arrow.Array      // of spans
	clock stages.Clock     // of decoding
}

// scan reads the wanted rows of column i.
func (b *batch) scan(i int, spans []parquetio.Span, rows int) (arrow.Array, error) {
	in, t := &b.inputs[i], b.columns[i].Type
	switch in.kind {
	case missing:
		return array.MakeArrayOfNull(memory.DefaultAllocator, t.Arrow(), rows), nil
	case constant:
		return repeat(in.value, t, rows)
	}
	if in.scanner == nil {
		s, err := b.file.Scan(b.group, b.columns[i].Name, t)
		if err != nil {
			return nil, b.spec.wrap(err)
		}
		in.scanner = s
	}
	a, err := in.scanner.Spans(spans)
	if err != nil {
		return nil, b.spec.wrap(err)
	}
	return a, nil
}

func repeat(value any, t feature.Type, rows int) (arrow.Array, error) {
	builder := array.NewBuilder(memory.DefaultAllocator, t.Arrow())
	defer builder.Release()
	builder.Reserve(rows)
	for range rows {
		if err := feature.AppendValue(builder, value); err != nil {
			return nil, err
		}
	}
	return builder.NewArray(), nil
}

// selectEvents reads the event times and finds the rows in range; observe says that the file's bounds must be found
// from them.
func (b *batch) selectEvents(observe bool) error {
	rows := b.span.To - b.span.From
	all, err := b.scan(0, []parquetio.Span{b.span}, rows)
	if err != nil {
		return err
	}
	events := all.(*array.Timestamp)
	times := events.TimestampValues()
	nullable := events.NullN() > 0
	from, to := arrow.Timestamp(b.request.Range.From), arrow.Timestamp(b.request.Range.To)
	if !nullable {
		least, most := times[0], times[0]
		for _, t := range times {
			least, most = min(least, t), max(most, t)
		}
		if from <= least && most <= to { // all of them, as nearly always
			if observe {
				b.widen(feature.Time(least), feature.Time(most))
			}
			b.spans, b.rows, b.event = []parquetio.Span{b.span}, rows, events
			return nil
		}
	}
	for i, t := range times {
		if nullable && events.IsNull(i) {
			if err := b.bad(b.first+int64(b.span.From+i), 0, "event time"); err != nil {
				return err
			}
			continue
		}
		if observe {
			b.widen(feature.Time(t), feature.Time(t))
		}
		if from <= t && t <= to {
			b.want(b.span.From + i)
		}
	}
	b.event = events
	if b.rows < rows {
		b.event = gather(times, b.spans, b.span.From, b.rows)
		events.Release()
	}
	return nil
}

// want adds a row of the row group to spans.
func (b *batch) want(row int) {
	b.rows++
	if n := len(b.spans); n > 0 && b.spans[n-1].To == row {
		b.spans[n-1].To++
		return
	}
	b.spans = append(b.spans, parquetio.Span{From: row, To: row + 1})
}

// gather returns the times of spans; times begins with row first.
func gather(times []arrow.Timestamp, spans []parquetio.Span, first, rows int) arrow.Array {
	out := make([]arrow.Timestamp, 0, rows)
	for _, s := range spans {
		out = append(out, times[s.From-first:s.To-first]...)
	}
	data := array.NewData(feature.Scalar(feature.Timestamp).Arrow(), rows,
		[]*memory.Buffer{nil, memory.NewBufferBytes(arrow.GetBytes(out))}, nil, 0, 0)
	return array.NewTimestampData(data)
}

// emit reads the other columns of the wanted rows and hands them out.
func (b *batch) emit() error {
	if b.rows == 0 {
		b.clock.Stop(0, 0)
		return nil
	}
	columns := make([]arrow.Array, len(b.columns))
	columns[0] = b.event
	for i := b.firstKey; i < b.firstColumn; i++ {
		a, err := b.scan(i, b.spans, b.rows)
		if err != nil {
			return err
		}
		columns[i] = a
	}
	if err := b.dropBadKeys(columns); err != nil {
		return err
	}
	if b.rows == 0 {
		b.clock.Stop(0, 0)
		return nil
	}
	for i := range columns {
		if columns[i] != nil {
			continue
		}
		a, err := b.scan(i, b.spans, b.rows)
		if err != nil {
			return err
		}
		columns[i] = a
	}
	b.stats.Rows += int64(b.rows)
	b.stat.RowsRead += int64(b.rows)
	record := array.NewRecordBatch(b.schema, columns, int64(b.rows))
	defer record.Release()
	for _, c := range columns {
		c.Release() // the record holds it
	}
	b.clock.Stop(int64(b.rows), 0)
	return b.yield(Batch{Record: record, File: b.stat.Path, FirstRow: b.first + int64(b.spans[0].From), group: b.first, spans: b.spans})
}

// dropBadKeys narrows spans, and the columns read so far, to rows without a NULL among their keys.
func (b *batch) dropBadKeys(columns []arrow.Array) error {
	clean := true
	for i := b.firstKey; i < b.firstColumn; i++ {
		clean = clean && columns[i].NullN() == 0
	}
	if clean {
		return nil
	}
	old := b.spans
	b.spans, b.rows = nil, 0
	var kept []parquetio.Span // positions among the old rows
	at := 0
	for _, s := range old {
		for row := s.From; row < s.To; row++ {
			column := b.nullKey(columns, at)
			if column >= 0 {
				if err := b.bad(b.first+int64(row), column, "key"); err != nil {
					return err
				}
			} else {
				b.want(row)
				if n := len(kept); n > 0 && kept[n-1].To == at {
					kept[n-1].To++
				} else {
					kept = append(kept, parquetio.Span{From: at, To: at + 1})
				}
			}
			at++
		}
	}
	if b.rows == 0 {
		return nil
	}
	for i := range columns {
		if columns[i] == nil {
			continue
		}
		parts := make([]arrow.Array, len(kept))
		for j, s := range kept {
			parts[j] = array.NewSlice(columns[i], int64(s.From), int64(s.To))
		}
		joined, err := array.Concatenate(parts, memory.DefaultAllocator)
		if err != nil {
			return feature.Errorf(feature.ErrInternal, "source %s: joining rows of %s: %w", b.spec.Name, b.columns[i].Name, err)
		}
		columns[i] = joined
	}
	return nil
}

// nullKey returns the first key column that is NULL in a row, -1 when none is.
func (b *batch) nullKey(columns []arrow.Array, row int) int {
	for i := b.firstKey; i < b.firstColumn; i++ {
		if columns[i].IsNull(row) {
			return i
		}
	}
	return -1
}

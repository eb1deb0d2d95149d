package interleave

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Batches builds batches out of single rows of other batches.
type Batches struct {
	schema  *arrow.Schema
	place   map[int]int32 // batch id -> index in sources
	sources []arrow.RecordBatch
	from    []int32 // source of each row
	row     []int32
	lastID  int
	last    int32
}

// NewBatches returns an empty one, for batches with the given schema.
func NewBatches(schema *arrow.Schema) *Batches {
	return &Batches{schema: schema, place: map[int]int32{}, lastID: -1}
}

// Add appends a row of batch, whose id tells it from the other batches since the last flush, and returns the number of rows.
func (w *Batches) Add(batch arrow.RecordBatch, id, row int) int {
	if id != w.lastID {
		place, ok := w.place[id]
		if !ok {
			place = int32(len(w.sources))
			w.place[id], w.sources = place, append(w.sources, batch)
		}
		w.lastID, w.last = id, place
	}
	w.from, w.row = append(w.from, w.last), append(w.row, int32(row))
	return len(w.row)
}

// Flush yields the rows added since the last flush as one batch, if there are any.
func (w *Batches) Flush(yield func(arrow.RecordBatch) error) error {
	if len(w.row) == 0 {
		return nil
	}
	columns := make([]arrow.Array, w.schema.NumFields())
	sources := make([]arrow.Array, len(w.sources))
	for c := range columns {
		for i, s := range w.sources {
			sources[i] = s.Column(c)
		}
		columns[c] = Rows(sources, w.from, w.row)
	}
	batch := array.NewRecordBatch(w.schema, columns, int64(len(w.row)))
	clear(w.place)
	clear(w.sources) // let the batches go
	w.sources, w.from, w.row, w.lastID = w.sources[:0], w.from[:0], w.row[:0], -1
	return yield(batch)
}

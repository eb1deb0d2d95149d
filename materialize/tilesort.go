package materialize

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/internal/stages"
)

// tileSorter is a sorter of rows that are to become tiles. Where rows come in the order of their times, or of their keys, a batch has several rows
// of most of its tiles. They are added up at once: what is dealt, sorted and perhaps spilled are then partial tiles, far fewer than rows, and
// those of one key and stretch of time are merged in the end. Whether that pays, the first batch of a run says.
type tileSorter struct {
	sorter         // of rows, or of partial tiles
	options        sortOptions
	view, rowsView *feature.View
	specs          []aggregate.Spec

	chosen  sync.Once
	partial bool
	tilers  sync.Pool // of tilesOf
}

// newTileSorter returns a sorter for the tiles of a view; rows is the view of the rows that they are made of.
func newTileSorter(view, rows *feature.View, o sortOptions) (*tileSorter, error) {
	specs, err := aggregate.Specs(view.Features)
	o.tiles = view
	return &tileSorter{sorter: newSorter(rows, o), options: o, view: view, rowsView: rows, specs: specs}, err
}

// partialShare is how many rows a partial tile has to have, on the average of the first batch, for partial tiles to be sorted in place of rows: a tile takes
// more memory than a row, and adding up comes before sorting, not in place of it.
const partialShare = 3

// mergeable reports whether partial tiles can be merged. States that look at the times of their rows do not store these.
func (s *tileSorter) mergeable() bool {
	return s.view.Granularity > 0 && !slices.ContainsFunc(s.specs, func(s aggregate.Spec) bool { return s.Timed })
}

// tilesOf returns the tiles of sorted rows, or of sorted partial tiles.
func (s *tileSorter) tilesOf(rows arrow.RecordBatch) ([]arrow.RecordBatch, error) {
	if keysort.UsesInts(s.view.Keys) {
		return tilesOf(s, keysort.IntKeys, rows)
	}
	return tilesOf(s, keysort.TextKeys, rows)
}

func tilesOf[K keysort.Ordered](s *tileSorter, keysOf func([]arrow.Array, int) []K, rows arrow.RecordBatch) ([]arrow.RecordBatch, error) {
	clock := s.options.stats.Start(stages.Compute)
	defer clock.Stop(0, 0)
	of := s.rowsView
	if s.partial {
		of = s.view
	}
	t, ok := s.tilers.Get().(*tiler[K])
	if !ok {
		t = newTiler(s.view, of, s.specs, keysOf)
	}
	defer s.tilers.Put(t)
	if s.partial {
		return t.merged(rows)
	}
	return t.tiles(rows)
}

// feeder returns one for another goroutine.
func (s *tileSorter) feeder() feeder {
	if keysort.UsesInts(s.view.Keys) {
		return newTileFeeder(s, keysort.IntKeys)
	}
	return newTileFeeder(s, keysort.TextKeys)
}

// tileFeeder takes rows from one goroutine and hands them on, or the partial tiles that each batch of them makes.
type tileFeeder[K keysort.Ordered] struct {
	of     *tileSorter
	to     feeder // nil before the first rows
	tiler  *tiler[K]
	groups *tileGroups[K]
	first  []uint32 // row of each group
	ids    []tileID[K]
	inputs arena // of the rows at hand, in the order of their groups
}

func newTileFeeder[K keysort.Ordered](s *tileSorter, keysOf func([]arrow.Array, int) []K) *tileFeeder[K] {
	return &tileFeeder[K]{of: s, tiler: newTiler(s.view, s.rowsView, s.specs, keysOf), groups: newTileGroups[K](s.view)}
}

func (f *tileFeeder[K]) add(ctx context.Context, place int64, rows arrow.RecordBatch) error {
	clock := f.of.options.stats.Start(stages.Compute)
	f.begin(rows)
	if !f.of.partial {
		clock.Stop(0, 0)
		return f.to.add(ctx, place, rows)
	}
	f.groups.number(f.headOf(rows))
	tiles, err := f.partialTiles(rows)
	if overflow := (*aggregate.OverflowError)(nil); errors.As(err, &overflow) { // of a part of a tile, of which the rest may be negative
		f.groups.apart(f.headOf(rows))
		tiles, err = f.partialTiles(rows)
	}
	clock.Stop(0, 0)
	if err != nil {
		return err
	}
	return f.to.add(ctx, place, tiles)
}

// partialTiles returns a tile of each group of rows.
func (f *tileFeeder[K]) partialTiles(rows arrow.RecordBatch) (arrow.RecordBatch, error) {
	g := f.groups
	f.first, f.ids = f.first[:0], f.ids[:0]
	for i, s := range g.spans {
		f.first, f.ids = append(f.first, g.order[s.From]), append(f.ids, tileID[K]{label: g.labels[i], created: unknownCreated})
	}
	columns, inputs := slices.Clone(rows.Columns()), len(rows.Columns())-len(f.of.rowsView.Features)
	f.inputs.forget()
	copy(columns[inputs:], takenColumns(&f.inputs, columns[inputs:], g.order))
	grouped := array.NewRecordBatch(rows.Schema(), columns, rows.NumRows())
	defer grouped.Release()
	f.tiler.add(grouped, aggregate.Times{}, g.spans)
	return f.tiler.stored(takenColumns(memory.DefaultAllocator, columns[:len(f.of.view.Keys)], f.first), f.ids)
}

// begin chooses, by the first rows of all, what is to be sorted.
func (f *tileFeeder[K]) begin(rows arrow.RecordBatch) {
	f.of.chosen.Do(func() {
		if !f.of.mergeable() {
			return
		}
		f.groups.number(f.headOf(rows))
		tiles := int64(len(f.groups.spans))
		if tiles*partialShare > rows.NumRows() {
			return
		}
		o := f.of.options
		o.tiles, o.rows = nil, o.rows*tiles/rows.NumRows()
		f.of.partial, f.of.sorter = true, newSorter(f.of.view, o)
	})
	if f.to == nil {
		f.to = f.of.sorter.feeder()
	}
}

// headOf returns what tells which tiles rows are in.
func (f *tileFeeder[K]) headOf(rows arrow.RecordBatch) keysort.Head[K] {
	return keysort.HeadOf(rows, len(f.of.view.Keys), false, f.tiler.keysOf)
}

func (f *tileFeeder[K]) close(ctx context.Context) error {
	if f.to == nil {
		return nil
	}
	return f.to.close(ctx)
}

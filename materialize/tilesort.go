package materialize

import (
	"context"
	"errors"
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

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
	if s.partial {
		return newTiler(s.view, s.view, s.specs, keysOf).merged(rows)
	}
	return newTiler(s.view, s.rowsView, s.specs, keysOf).tiles(rows)
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
	groups tileGroups[K]
}

func newTileFeeder[K keysort.Ordered](s *tileSorter, keysOf func([]arrow.Array, int) []K) *tileFeeder[K] {
	return &tileFeeder[K]{of: s, tiler: newTiler(s.view, s.rowsView, s.specs, keysOf), groups: tileGroups[K]{seed: maphash.MakeSeed()}}
}

func (f *tileFeeder[K]) add(ctx context.Context, place int64, rows arrow.RecordBatch) error {
	clock := f.of.options.stats.Start(stages.Compute)
	f.begin(rows)
	if !f.of.partial {
		clock.Stop(0, 0)
		return f.to.add(ctx, place, rows)
	}
	f.number(rows, int(rows.NumRows()))
	tiles, err := f.partialTiles(rows)
	if overflow := (*aggregate.OverflowError)(nil); errors.As(err, &overflow) { // of a part of a tile, of which the rest may be negative
		f.groups.apart()
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
	order, spans := f.groups.order()
	first, ids := make([]uint32, len(spans)), make([]tileID[K], len(spans))
	events, tile := f.tiler.timesOf(rows).Events, feature.Range{From: 1, To: 0}
	for i, s := range spans {
		first[i] = order[s.From]
		if event := feature.Time(events[first[i]]); !tile.Contains(event) {
			tile = f.of.view.TileOf(event)
		}
		ids[i] = tileID[K]{label: int64(tile.To), created: unknownCreated}
	}
	columns, inputs := slices.Clone(rows.Columns()), len(rows.Columns())-len(f.of.rowsView.Features)
	copy(columns[inputs:], takenColumns(columns[inputs:], order))
	f.tiler.add(array.NewRecordBatch(rows.Schema(), columns, rows.NumRows()), aggregate.Times{}, spans)
	return f.tiler.stored(takenColumns(columns[:len(f.of.view.Keys)], first), ids)
}

// begin chooses, by the first rows of all, what is to be sorted.
func (f *tileFeeder[K]) begin(rows arrow.RecordBatch) {
	f.of.chosen.Do(func() {
		if !f.of.mergeable() || !f.number(rows, int(rows.NumRows())/partialShare) {
			return
		}
		o := f.of.options
		o.tiles, o.rows = nil, o.rows*int64(len(f.groups.sizes))/rows.NumRows()
		f.of.partial, f.of.sorter = true, newSorter(f.of.view, o)
	})
	if f.to == nil {
		f.to = f.of.sorter.feeder()
	}
}

// number gives each row its group; false where there are more groups than so many.
func (f *tileFeeder[K]) number(rows arrow.RecordBatch, most int) bool {
	return f.groups.number(f.of.view, keysort.HeadOf(rows, len(f.of.view.Keys), false, f.tiler.keysOf), most)
}

func (f *tileFeeder[K]) close(ctx context.Context) error {
	if f.to == nil {
		return nil
	}
	return f.to.close(ctx)
}

// tileGroups finds out which rows are in one tile, in whatever order they come.
type tileGroups[K keysort.Ordered] struct {
	seed   maphash.Seed
	sizes  []int32 // rows of each group, of which there is one for each tile, in the order of their first rows
	of     []int32 // the group of each row
	places []tilePlace[K]
	tiles  [hashedRows]int64 // of the rows at hand
	hashes [hashedRows]uint64
}

// tilePlace is a place of a hash table, in which a tile lies at its hash or behind.
type tilePlace[K keysort.Ordered] struct {
	key   K
	tile  int64
	group int32 // one more; 0: none
}

// hashedRows is how many rows are hashed at a time: their hashes fit the first-level cache.
const hashedRows = 1 << 10

// number gives each row its group. It returns false where there are more than so many.
func (g *tileGroups[K]) number(view *feature.View, h keysort.Head[K], most int) bool {
	g.sizes, g.of = g.sizes[:0], slices.Grow(g.of[:0], len(h.Keys))[:len(h.Keys)]
	clear(g.places)
	for row, key := range h.Keys {
		at := row % hashedRows
		if at == 0 {
			n := min(hashedRows, len(h.Keys)-row)
			numberTiles(view, h.Events[row:row+n], g.tiles[:])
			g.hash(h.Keys[row:row+n], g.tiles[:n])
		}
		if 2*len(g.sizes) >= len(g.places) {
			g.grow()
		}
		p := g.place(key, g.tiles[at], g.hashes[at])
		if p.group == 0 {
			if len(g.sizes) == most {
				return false
			}
			g.sizes = append(g.sizes, 0)
			*p = tilePlace[K]{key, g.tiles[at], int32(len(g.sizes))}
		}
		g.sizes[p.group-1]++
		g.of[row] = p.group - 1
	}
	return true
}

// place returns the place of a tile, or the one that it is to have.
func (g *tileGroups[K]) place(key K, tile int64, hash uint64) *tilePlace[K] {
	for mask := uint64(len(g.places) - 1); ; hash++ {
		if p := &g.places[hash&mask]; p.group == 0 || p.tile == tile && p.key == key {
			return p
		}
	}
}

// grow doubles the table.
func (g *tileGroups[K]) grow() {
	old := g.places
	g.places = make([]tilePlace[K], max(hashedRows, 2*len(old)))
	hashes := g.hashes
	for _, p := range old {
		if p.group > 0 {
			g.hash([]K{p.key}, []int64{p.tile})
			*g.place(p.key, p.tile, g.hashes[0]) = p
		}
	}
	g.hashes = hashes
}

// hash fills in the hashes of rows.
func (g *tileGroups[K]) hash(keys []K, tiles []int64) {
	switch keys := any(keys).(type) {
	case []int64:
		for i, key := range keys {
			g.hashes[i] = mixed(uint64(key), uint64(tiles[i]))
		}
	case []string:
		for i, key := range keys {
			g.hashes[i] = mixed(maphash.String(g.seed, key), uint64(tiles[i]))
		}
	}
}

// mixed returns a hash of two numbers, as wyhash (Wang Yi) makes it.
func mixed(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	return high ^ low
}

// apart gives each row a group of its own.
func (g *tileGroups[K]) apart() {
	g.sizes = g.sizes[:0]
	for row := range g.of {
		g.of[row], g.sizes = int32(row), append(g.sizes, 1)
	}
}

// order returns the rows that were numbered last, those of a group together and in the order in which they came, and which of them are those of each group.
func (g *tileGroups[K]) order() ([]uint32, []aggregate.Span) {
	spans, next := make([]aggregate.Span, len(g.sizes)), int32(0)
	for i, n := range g.sizes {
		spans[i] = aggregate.Span{Group: int32(i), From: next, To: next}
		next += n
	}
	order := make([]uint32, len(g.of))
	for row, group := range g.of {
		s := &spans[group]
		order[s.To] = uint32(row)
		s.To++
	}
	return order, spans
}

package materialize

import (
	"slices"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
)

// tileGroups finds out which rows are in one tile, in whatever order they come.
//
// Each key has a number, and each tile that of its place behind the first one that any row is in. Together they are a place among those of all keys and tiles, and
// rows are counted by place, which takes little longer than reading them. Where most places would be empty, as where some rows are much older
// than the others, pairs of key and tile are numbered instead.
type tileGroups[K keysort.Ordered] struct {
	view *feature.View

	order  []uint32         // the rows, those of a group together and in the order in which they came
	spans  []aggregate.Span // of order: the rows of each group
	labels []int64          // of each group, the last instant of its tile

	keys   *numbering[K]
	pairs  *numbering[keyTile]
	places []int32 // of each row
	next   []int32 // of each place: how many rows have it, then where in order the next of them goes
	ranked []uint32
	ends   []int64           // the last instants of tiles
	tiles  [hashedRows]int64 // of the rows at hand
	both   [hashedRows]keyTile
}

// keyTile is the number of a key, and that of a tile.
type keyTile struct {
	key  int32
	tile int64
}

// placesPerRow bounds how many places there are: counting in more of them takes longer than numbering pairs does.
const placesPerRow = 2

func newTileGroups[K keysort.Ordered](view *feature.View) *tileGroups[K] {
	return &tileGroups[K]{view: view, keys: newNumbering(keyHashes[K]()), pairs: newNumbering(pairHashes)}
}

// number finds the groups of rows, of which there are some. Mostly they are in the order of keys and tiles, so that who deals them finds them dealt.
func (g *tileGroups[K]) number(h keysort.Head[K]) {
	g.places, g.spans, g.labels = slices.Grow(g.places[:0], len(h.Keys))[:len(h.Keys)], g.spans[:0], g.labels[:0]
	g.keys.forget()
	least, most := h.Events[0], h.Events[0]
	for _, t := range h.Events {
		least, most = min(least, t), max(most, t)
	}
	var bounds [2]int64
	numberTiles(g.view, []int64{least, most}, bounds[:])
	tiles := uint64(bounds[1]-bounds[0]) + 1
	if tiles > uint64(placesPerRow*len(h.Keys)) || !g.place(h, bounds[0], int(tiles)) {
		g.pair(h)
		return
	}
	g.ends = g.ends[:0]
	for at := feature.Time(least); len(g.ends) < int(tiles); at++ {
		at = g.view.TileOf(at).To
		g.ends = append(g.ends, int64(at))
	}
	g.ranked = g.ranked[:0]
	for key := range g.keys.values {
		g.ranked = append(g.ranked, uint32(key))
	}
	for _, key := range keysort.Rows(g.ranked, g.keys.values) {
		for tile, end := range g.ends {
			if g.group(int(key)*len(g.ends) + tile) {
				g.labels = append(g.labels, end)
			}
		}
	}
	g.sort()
}

// place gives each row the place of its key and tile: each key has so many, from the first tile on. It returns false if there would be too many.
func (g *tileGroups[K]) place(h keysort.Head[K], first int64, tiles int) bool {
	for from := 0; from < len(h.Keys); from += hashedRows {
		places := g.places[from:min(from+hashedRows, len(h.Keys))]
		g.keys.number(h.Keys[from:], places)
		if len(g.keys.values)*tiles > placesPerRow*len(h.Keys) {
			return false
		}
		numberTiles(g.view, h.Events[from:from+len(places)], g.tiles[:])
		for i := range places {
			places[i] = places[i]*int32(tiles) + int32(g.tiles[i]-first)
		}
	}
	g.count(len(g.keys.values) * tiles)
	return true
}

// pair finds the groups of rows by numbering their keys and tiles.
func (g *tileGroups[K]) pair(h keysort.Head[K]) {
	g.keys.forget()
	g.pairs.forget()
	for from := 0; from < len(h.Keys); from += hashedRows {
		places := g.places[from:min(from+hashedRows, len(h.Keys))]
		g.keys.number(h.Keys[from:], places)
		numberTiles(g.view, h.Events[from:from+len(places)], g.tiles[:])
		for i, key := range places {
			g.both[i] = keyTile{key, g.tiles[i]}
		}
		g.pairs.number(g.both[:], places)
	}
	g.count(len(g.pairs.values))
	for place := range g.next {
		g.group(place)
	}
	g.sort()
	g.label(h)
}

// apart gives each row a group of its own.
func (g *tileGroups[K]) apart(h keysort.Head[K]) {
	g.spans, g.labels = g.spans[:0], g.labels[:0]
	for row := range h.Keys {
		g.places[row] = int32(row)
	}
	g.count(len(h.Keys))
	for place := range g.next {
		g.group(place)
	}
	g.sort()
	g.label(h)
}

// count counts the rows of so many places.
func (g *tileGroups[K]) count(places int) {
	g.next = slices.Grow(g.next[:0], places)[:places]
	next := g.next
	clear(next)
	for _, place := range g.places {
		next[place]++
	}
}

// group makes a group of the rows of a place, behind those that there are; false where it has none.
func (g *tileGroups[K]) group(place int) bool {
	n, from := g.next[place], int32(0)
	if last := len(g.spans) - 1; last >= 0 {
		from = g.spans[last].To
	}
	g.next[place] = from
	if n > 0 {
		g.spans = append(g.spans, aggregate.Span{Group: int32(len(g.spans)), From: from, To: from + n})
	}
	return n > 0
}

// sort puts the rows into the order of their groups.
func (g *tileGroups[K]) sort() {
	g.order = slices.Grow(g.order[:0], len(g.places))[:len(g.places)]
	order, next := g.order, g.next
	for row, place := range g.places {
		at := next[place]
		next[place] = at + 1
		order[at] = uint32(row)
	}
}

// label labels groups by their first rows.
func (g *tileGroups[K]) label(h keysort.Head[K]) {
	for _, s := range g.spans {
		g.labels = append(g.labels, int64(g.view.TileOf(feature.Time(h.Events[g.order[s.From]])).To))
	}
}

package materialize

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	"github.com/asof-store/asof/internal/keysort"
	"github.com/asof-store/asof/internal/stages"
)

// sorter is an external sort of a view's rows by (key, event time, created time), NULL created times first; rows equal in
// all three keep the order of their source. Where tiles are to be made of the rows it sorts them by (key, tile) alone.
//
// Rows are dealt to buckets of keys and times as they come, in any order and by several goroutines. The buckets follow each other in the
// order of the sort, so that each can be sorted, added up and encoded on its own, and nothing is merged. What does not fit the budget is
// spilled to temporary files that vanish with the process.
type sorter interface {
	// feeder returns what one goroutine adds rows to.
	feeder() feeder
	// count returns how many rows have been added, after the last feeder has been closed.
	count() int64
	// sorted yields all rows in order, after the last feeder has been closed. A stretch of them passes through a function first, which is
	// called by several goroutines at once; rows that sort alike are in one stretch. The rows are released when that function returns, and the batches that it returns when
	// yield does: their memory then serves others. It can be called once.
	sorted(ctx context.Context, workers int, through func(rows arrow.RecordBatch) ([]arrow.RecordBatch, error), yield func(arrow.RecordBatch) error) error
	// close removes what was spilled.
	close() error
}

// feeder takes rows from one goroutine.
type feeder interface {
	// add takes a batch with the view's columns, in source order. place is its own, and greater than those of batches before it in the source. What is
	// kept of the batch is retained.
	add(ctx context.Context, place int64, batch arrow.RecordBatch) error
	// close is called after the last add.
	close(ctx context.Context) error
}

// sortOptions are the options of a sorter.
type sortOptions struct {
	dir    string        // for spilled rows
	budget int64         // bytes of rows to hold
	rows   int64         // that are expected, about
	tiles  *feature.View // the windowed view that tiles are made for; nil: rows stay as they are
	stats  *stages.Stats
}

// newSorter returns a sorter for the view's rows.
func newSorter(view *feature.View, o sortOptions) sorter {
	if keysort.UsesInts(view.Keys) {
		return newExternalSort(view, o, keysort.IntKeys)
	}
	return newExternalSort(view, o, keysort.TextKeys)
}

func newExternalSort[K keysort.Ordered](view *feature.View, o sortOptions, keysOf func([]arrow.Array, int) []K) *externalSort[K] {
	s := &externalSort[K]{sortOptions: o, view: view, schema: schemaOf(view), keysOf: keysOf,
		bucketBytes: max(1, min(bucketBytes, o.budget/16)), blockBytes: max(1, min(blockBytes, o.budget/8))}
	s.batches.size = s.bucketBytes * 5 / 4 // some are larger than others
	heads := len(view.Keys) + 1
	if view.HasCreatedTime {
		heads++
	}
	s.head = arrow.NewSchema(s.schema.Fields()[:heads], nil)
	return s
}

// schemaOf returns the Arrow schema of the view's stored rows.
func schemaOf(view *feature.View) *arrow.Schema {
	var fields []arrow.Field
	for i, c := range view.Columns() {
		required := i <= len(view.Keys) // keys and event time
		fields = append(fields, arrow.Field{Name: c.Name, Type: c.Type.Arrow(), Nullable: !required})
	}
	return arrow.NewSchema(fields, nil)
}

const (
	// bucketBytes is about how large a bucket is: a worker holds two or three times as much while it sorts one, and a column of it should
	// stay in the processor's cache.
	bucketBytes = 8 << 20
	// bucketsMax bounds the buckets of one sort: each gets some rows of every batch, in a piece of memory of its own.
	bucketsMax = 256
	// sampleBytes is how much is held before the buckets are chosen.
	sampleBytes = 32 << 20
	// blockBytes is how much of a worker's rows is kept or spilled as a whole.
	blockBytes = 16 << 20
)

// externalSort is a sorter of keys that are compared as K.
type externalSort[K keysort.Ordered] struct {
	sortOptions
	view   *feature.View
	schema *arrow.Schema
	head   *arrow.Schema // of the columns that rows are sorted by, which come first
	keysOf func([]arrow.Array, int) []K

	bucketBytes, blockBytes int64 // see the constants; less where the budget is small

	mu      sync.Mutex
	waiting []piece // until the buckets are chosen
	total   int64   // rows that have been added
	bytes   int64   // that they take
	buckets *buckets[K]
	kept    []piece
	held    int64 // bytes of kept
	spills  []*spill
	inner   []*externalSort[K] // of buckets that were split
	spaces  sync.Pool          // of those that sort units: *unitSpace
	batches batchMemories      // of sorted units
}

// piece is a batch whose rows lie in the order of their buckets, and within a bucket in source order.
type piece struct {
	place int64
	batch arrow.RecordBatch
	ends  []int32 // of each bucket's rows
	bytes int64
}

// rows returns where the rows of buckets [from, to) are.
func (p *piece) rows(from, to int) (first, end int64) {
	if from > 0 {
		first = int64(p.ends[from-1])
	}
	return first, int64(p.ends[to-1])
}

// headOf returns what rows are sorted by.
func (s *externalSort[K]) headOf(batch arrow.RecordBatch) keysort.Head[K] {
	created := s.view.HasCreatedTime && (s.tiles == nil || s.tiles.HasCreatedTime)
	h := keysort.HeadOf(batch, len(s.view.Keys), created, s.keysOf)
	if s.tiles != nil && s.tiles.Granularity > 0 {
		numbers := make([]int64, len(h.Events))
		numberTiles(s.tiles, h.Events, numbers)
		h.Events = numbers
	}
	return h
}

// numberTiles fills in numbers of the tiles that rows are in: later tiles have greater ones.
func numberTiles(view *feature.View, events, numbers []int64) {
	length := view.Granularity.Microseconds()
	before := int64(1) // a tile includes its end
	if view.StrictlyBefore {
		before = 0
	}
	first, n := int64(0), int64(0) // of the tile that the one before is in
	for i, t := range events {
		t -= before
		if i == 0 || uint64(t-first) >= uint64(length) {
			n = t / length
			if t%length < 0 {
				n--
			}
			first = n * length
		}
		numbers[i] = n
	}
}

// buckets cut the order of the sort: bucket i begins with the i-th least key and times, the first with the least of all.
type buckets[K keysort.Ordered] struct {
	keys   []K
	events []int64
	create []int64 // nil where rows have no created times
	// slots cut the span of integer keys evenly: slot i has the number of beginnings before it, and the last all of them. Most have
	// but one or none within.
	slots []uint16
	shift uint // of the distance from the first key
}

// slotsMax is how many slots there are at most: their numbers fit the first-level cache.
const slotsMax = 1 << 12

// count returns the number of buckets.
func (b *buckets[K]) count() int { return len(b.keys) + 1 }

// index fills slots.
func (b *buckets[K]) index() {
	keys, ok := any(b.keys).([]int64)
	if !ok || len(keys) == 0 {
		return
	}
	span := uint64(keys[len(keys)-1]) - uint64(keys[0])
	for span>>b.shift >= slotsMax-1 {
		b.shift++
	}
	b.slots = make([]uint16, span>>b.shift+2)
	for _, key := range keys {
		b.slots[(uint64(key)-uint64(keys[0]))>>b.shift+1]++
	}
	for i := 1; i < len(b.slots); i++ {
		b.slots[i] += b.slots[i-1]
	}
}

// among returns between which beginnings a key's bucket is to be looked for.
func (b *buckets[K]) among(key K) (low, high int) {
	if b.slots == nil {
		return 0, len(b.keys)
	}
	k, first := any(key).(int64), any(b.keys[0]).(int64)
	if k < first {
		return 0, 0
	}
	slot := (uint64(k) - uint64(first)) >> b.shift
	if slot >= uint64(len(b.slots)-1) {
		return len(b.keys), len(b.keys)
	}
	return int(b.slots[slot]), int(b.slots[slot+1])
}

// of returns which bucket a row is in: how many of the beginnings are not after it.
func (b *buckets[K]) of(key K, h *keysort.Head[K], row int) int {
	low, high := b.among(key)
	for low < high {
		mid := int(uint(low+high) / 2)
		if k := b.keys[mid]; keysort.Less(k, key) || k == key && b.reached(mid, h, row) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// reached reports whether a row with the key of a beginning is not before it.
func (b *buckets[K]) reached(i int, h *keysort.Head[K], row int) bool {
	if b.create == nil || b.events[i] != h.Events[row] {
		return b.events[i] <= h.Events[row]
	}
	return b.create[i] <= h.Created[row]
}

// samplesPerBucket are taken to choose buckets: with 64, their sizes deviate by about an eighth.
const samplesPerBucket = 64

// choose returns at most n buckets of about equal size, by some of the rows.
func (s *externalSort[K]) choose(some []arrow.RecordBatch, n int) *buckets[K] {
	b := &buckets[K]{}
	rows := int64(0)
	for _, batch := range some {
		rows += batch.NumRows()
	}
	step := max(1, rows/int64(max(1, n*samplesPerBucket)))
	var sample keysort.Head[K]
	next := int64(0)
	for _, batch := range some {
		if n == 1 {
			break
		}
		h := s.headOf(batch)
		for ; next < batch.NumRows(); next += step {
			sample.Keys, sample.Events = append(sample.Keys, h.Keys[next]), append(sample.Events, h.Events[next])
			if h.Created != nil {
				sample.Created = append(sample.Created, h.Created[next])
			}
		}
		next -= batch.NumRows()
	}
	order := sortedOrder(sample, &orderScratch{})
	for i := 1; i < n; i++ {
		r := order[i*len(order)/n]
		last := len(b.keys) - 1
		if last >= 0 && b.keys[last] == sample.Keys[r] && b.reached(last, &sample, int(r)) && b.events[last] == sample.Events[r] &&
			(sample.Created == nil || b.create[last] == sample.Created[r]) {
			continue // the same again
		}
		b.keys, b.events = append(b.keys, sample.Keys[r]), append(b.events, sample.Events[r])
		if sample.Created != nil {
			b.create = append(b.create, sample.Created[r])
		}
	}
	b.index()
	return b
}

// dealing is memory for dealing batches, one after the other.
type dealing struct {
	dealt  *arena   // of their rows, in the order of their buckets
	bucket []uint16 // of each row of one
	places []uint32 // that its rows get
}

// deal puts the rows of a batch into the order of their buckets.
func (s *externalSort[K]) deal(p piece, b *buckets[K], m *dealing) (piece, error) {
	defer func() { countNulls(p.batch) }()
	rows := int(p.batch.NumRows())
	p.ends = make([]int32, b.count())
	if b.count() == 1 {
		p.ends[0] = int32(rows)
		return p, nil
	}
	clock := s.stats.Start(stages.Sort)
	h := s.headOf(p.batch)
	m.bucket, m.places = sized(m.bucket, rows), sized(m.places, rows)
	for i, key := range h.Keys {
		at := b.of(key, &h, i)
		m.bucket[i] = uint16(at)
		p.ends[at]++
	}
	next := make([]int32, b.count())
	sum := int32(0)
	for i, n := range p.ends {
		next[i] = sum
		sum += n
		p.ends[i] = sum
	}
	for i, at := range m.bucket {
		m.places[i] = uint32(next[at])
		next[at]++
	}
	if !slices.IsSorted(m.bucket) {
		dealt, err := placed(s.schema, []stretch{{batch: p.batch, to: p.batch.NumRows()}}, m.places, m.dealt, memory.DefaultAllocator)
		if err != nil {
			return piece{}, err
		}
		p.batch.Release()
		p.batch = dealt
	}
	clock.Stop(0, 0)
	return p, nil
}

// memoryOf returns the memory for rows that are read back and joined, from which they are then taken in order: the arena's, unless there are lists, of which what is taken may share the elements, where all of
// these are NULL.
func (s *externalSort[K]) memoryOf(a *arena) memory.Allocator {
	for _, f := range s.schema.Fields() {
		if f.Type.ID() == arrow.LIST {
			return memory.DefaultAllocator
		}
	}
	return a
}

func takenColumns(m memory.Allocator, columns []arrow.Array, rows []uint32) []arrow.Array {
	out := make([]arrow.Array, len(columns))
	for i, c := range columns {
		out[i] = interleave.Take(m, c, rows)
	}
	return out
}

// feeder returns one for another goroutine.
func (s *externalSort[K]) feeder() feeder {
	return &sortFeeder[K]{sort: s, dealing: dealing{dealt: &arena{}}}
}

// sortFeeder deals the rows of one goroutine to buckets. It keeps or spills them in blocks.
type sortFeeder[K keysort.Ordered] struct {
	sort  *externalSort[K]
	block []piece
	bytes int64
	dealing
}

func (f *sortFeeder[K]) add(ctx context.Context, place int64, batch arrow.RecordBatch) error {
	batch.Retain()
	p := piece{place: place, batch: batch, bytes: recordBytes(batch)}
	b, pieces := f.sort.admit(p)
	for _, p := range pieces {
		p, err := f.sort.deal(p, b, &f.dealing)
		if err != nil {
			return err
		}
		f.block = append(f.block, p)
		f.bytes += p.bytes
		if f.bytes >= f.sort.blockBytes {
			if err := f.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// admit returns the pieces that can be dealt now, p among them, and the buckets; none while the buckets are not chosen.
func (s *externalSort[K]) admit(p piece) (*buckets[K], []piece) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total, s.bytes = s.total+p.batch.NumRows(), s.bytes+p.bytes
	if s.buckets != nil {
		return s.buckets, []piece{p}
	}
	s.waiting = append(s.waiting, p)
	if s.bytes < min(sampleBytes, s.budget/4) {
		return nil, nil
	}
	return s.settle(max(s.rows, 2*s.total))
}

// settle chooses the buckets for so many rows, by those that wait, and returns these. The caller has locked s.
func (s *externalSort[K]) settle(rows int64) (*buckets[K], []piece) {
	n := float64(s.bytes) / float64(max(1, s.total)) * float64(rows) / float64(s.bucketBytes)
	pieces := s.waiting
	batches := make([]arrow.RecordBatch, len(pieces))
	for i := range pieces {
		batches[i] = pieces[i].batch
	}
	s.buckets = s.choose(batches, max(1, min(bucketsMax, int(n))))
	s.waiting = nil
	return s.buckets, pieces
}

// flush keeps the block where the budget allows it, else spills it.
func (f *sortFeeder[K]) flush(ctx context.Context) error {
	if len(f.block) == 0 {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s, block, bytes := f.sort, f.block, f.bytes
	f.block, f.bytes = nil, 0
	s.mu.Lock()
	keep := s.held+bytes <= s.budget
	if keep {
		s.kept, s.held = append(s.kept, block...), s.held+bytes
	}
	s.mu.Unlock()
	if keep {
		f.dealt = &arena{}
		return nil
	}
	defer f.dealt.forget()
	clock := s.stats.Start(stages.Spill)
	file, err := spillPieces(s.dir, s.schema, block, s.buckets.count())
	if err != nil {
		return err
	}
	clock.Stop(0, file.size)
	s.mu.Lock()
	s.spills = append(s.spills, file)
	s.mu.Unlock()
	return nil
}

func (f *sortFeeder[K]) close(ctx context.Context) error { return f.flush(ctx) }

func (s *externalSort[K]) count() int64 { return s.total }

func (s *externalSort[K]) close() error {
	var first error
	for _, f := range s.spills {
		if err := f.close(); err != nil && first == nil {
			first = err
		}
	}
	for _, inner := range s.inner {
		if err := inner.close(); err != nil && first == nil {
			first = err
		}
	}
	s.spills, s.inner = nil, nil
	return first
}

// byPlace sorts pieces into source order; those of one batch, which are of several buckets, stay as they are.
func byPlace(pieces []piece) {
	slices.SortStableFunc(pieces, func(a, b piece) int { return cmp.Compare(a.place, b.place) })
}

// recordBytes returns the memory that a batch's columns take.
func recordBytes(batch arrow.RecordBatch) int64 {
	total := int64(0)
	for _, c := range batch.Columns() {
		total += dataBytes(c.Data())
	}
	return total
}

func dataBytes(data arrow.ArrayData) int64 {
	total := int64(0)
	for _, b := range data.Buffers() {
		if b != nil {
			total += int64(b.Len())
		}
	}
	for _, child := range data.Children() {
		total += dataBytes(child)
	}
	return total
}

package keysort

import (
	"cmp"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRowsAgreesWithStableSort holds the radix sort against the standard library's stable comparison sort.
func TestRowsAgreesWithStableSort(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 300).Draw(t, "rows")
		wide := rapid.Bool().Draw(t, "wide")
		number := rapid.Int64Range(-3, 3)
		if wide {
			number = rapid.Int64()
		}
		column := func(name string) []int64 { return rapid.SliceOfN(number, n, n).Draw(t, name) }
		events, created, keys := column("events"), column("created"), column("keys")
		words := make([]string, n)
		alphabet := rapid.SampledFrom([]string{"a", "ab", "\x00a", "the same head \x00"}).Draw(t, "alphabet")
		for i := range words { // of equal heads, with zeros, one the beginning of another
			for k := keys[i] & 0xfff; k > 0; k >>= 1 {
				words[i] += alphabet[:1+int(k&1)*(len(alphabet)-1)]
			}
		}
		rows := make([]uint32, 0, n)
		for i := range n {
			if i%7 != 3 { // a subset, as a spine with NULL keys is
				rows = append(rows, uint32(i))
			}
		}
		byTimes := func(a, b uint32) int {
			return cmp.Or(cmp.Compare(events[a], events[b]), cmp.Compare(created[a], created[b]))
		}
		want := slices.Clone(rows)
		slices.SortStableFunc(want, func(a, b uint32) int { return cmp.Or(cmp.Compare(keys[a], keys[b]), byTimes(a, b)) })
		if got := Rows(slices.Clone(rows), keys, events, created); !slices.Equal(got, want) {
			t.Fatalf("int keys: got %v, want %v", got, want)
		}
		want = slices.Clone(rows)
		slices.SortStableFunc(want, func(a, b uint32) int { return cmp.Or(cmp.Compare(words[a], words[b]), byTimes(a, b)) })
		if got := Rows(slices.Clone(rows), words, events, created); !slices.Equal(got, want) {
			t.Fatalf("text keys: got %v, want %v", got, want)
		}
		numbers := make([]Words, n)
		for i, k := range keys {
			numbers[i] = Words{uint64(k) & 1, uint64(k) >> 1 & 1, uint64(k) >> 2}
		}
		want = slices.Clone(rows)
		slices.SortStableFunc(want, func(a, b uint32) int { return cmp.Or(Compare(numbers[a], numbers[b]), byTimes(a, b)) })
		if got := Rows(slices.Clone(rows), numbers, events, created); !slices.Equal(got, want) {
			t.Fatalf("keys of three words: got %v, want %v", got, want)
		}
	})
}

// TestSplitKeepsOrder cuts rows into parts and sorts each: together they must be what sorting all by comparison gives.
func TestSplitKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 500).Draw(t, "rows")
		number := rapid.Int64Range(-3, rapid.SampledFrom([]int64{-3, 3, 1000, math.MaxInt64}).Draw(t, "greatest"))
		checkSplit(t, rapid.SliceOfN(number, n, n).Draw(t, "keys"), rapid.SliceOfN(number, n, n).Draw(t, "times"))
		extreme := rapid.SampledFrom([]int64{math.MinInt64, -1, 0, 1, math.MaxInt64})
		checkSplit(t, rapid.SliceOfN(extreme, n, n).Draw(t, "keys"), rapid.SliceOfN(extreme, n, n).Draw(t, "times"))
		near := rapid.SampledFrom([]int64{1, 2, 1 << 40, 1<<40 + 1, 1<<40 + 5, math.MaxInt64}) // what the first digits of the span do not tell apart
		checkSplit(t, rapid.SliceOfN(near, n, n).Draw(t, "keys"), rapid.SliceOfN(rapid.Int64(), n, n).Draw(t, "times"))
		text := rapid.Custom(func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"", "a", "user-0000"}).Draw(t, "head") + rapid.StringOfN(rapid.RuneFrom([]rune{0, 1, 'a', 'é'}), 0, 10, -1).Draw(t, "tail")
		})
		checkSplit(t, rapid.SliceOfN(text, n, n).Draw(t, "texts"), rapid.SliceOfN(number, n, n).Draw(t, "times"))
		word := rapid.OneOf(rapid.SampledFrom([]uint64{0, 1, math.MaxUint64}), rapid.Uint64Range(0, 1<<rapid.IntRange(0, 63).Draw(t, "bits")))
		words := rapid.Custom(func(t *rapid.T) Words { return Words(rapid.SliceOfN(word, 3, 3).Draw(t, "words")) })
		checkSplit(t, rapid.SliceOfN(words, n, n).Draw(t, "keys"), rapid.SliceOfN(number, n, n).Draw(t, "times"))
	})
}

// TestSplitByManyWorkers deals rows to parts by one worker and by several: the parts are the same.
func TestSplitByManyWorkers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	all := newPart[int64](200_000)
	for i := range all.Rows {
		all.Rows[i], all.Keys[i], all.Times[i] = uint32(i), random.Int64N(1000), random.Int64N(5)
	}
	for _, whole := range []bool{false, true} {
		want := all.Split(13, whole, 1)
		if len(want) < 12 {
			t.Fatalf("%d parts", len(want))
		}
		some := Part[int64]{}
		for _, p := range want[3:7] {
			some.Rows, some.Keys, some.Times = append(some.Rows, p.Rows...), append(some.Keys, p.Keys...), append(some.Times, p.Times...)
		}
		if got := Adjacent(want[3:7]); !reflect.DeepEqual(got, some) {
			t.Fatal("parts that follow each other do not lie beside each other")
		}
		for _, workers := range []int{2, 3, 8} {
			if got := all.Split(13, whole, workers); !reflect.DeepEqual(got, want) {
				t.Fatalf("%d workers deal otherwise", workers)
			}
		}
	}
}

// TestSortedAsByComparison sorts many rows: of keys that lie evenly, of keys in heaps that the first digits do not tell apart, and of few keys, whose
// times lie evenly, in heaps, or are the same.
func TestSortedAsByComparison(t *testing.T) {
	const rows = 5000
	random := rand.New(rand.NewPCG(7, 8))
	numbers := []func() int64{
		func() int64 { return int64(random.Uint64()) },
		func() int64 { return random.Int64N(3)<<40 + random.Int64N(100) },
		func() int64 { return random.Int64N(3) - 1 },
		func() int64 { return 7 },
	}
	for k, key := range numbers {
		for q, time := range numbers {
			p := newPart[int64](rows)
			for i := range p.Rows {
				p.Rows[i], p.Keys[i], p.Times[i] = uint32(i), key(), time()
			}
			want := slices.Clone(p.Rows)
			slices.SortStableFunc(want, func(a, b uint32) int {
				return cmp.Or(cmp.Compare(p.Keys[a], p.Keys[b]), cmp.Compare(p.Times[a], p.Times[b]))
			})
			got := p.Split(1, false, 1)[0]
			got.Sort(&Memory[int64]{})
			if !slices.Equal(got.Rows, want) {
				t.Errorf("keys %d, times %d: rows are in another order", k, q)
			}
			for i, row := range got.Rows {
				if got.Keys[i] != p.Keys[row] || got.Times[i] != p.Times[row] {
					t.Fatalf("keys %d, times %d: row %d has key and time of another", k, q, row)
				}
			}
		}
	}
}

// TestSplitIsEven deals rows of keys and times that lie evenly, and others most of which have one key: no part is far larger than the others.
func TestSplitIsEven(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for name, key := range map[string]func() int64{
		"many keys": func() int64 { return random.Int64() - 1<<62 },
		"one key":   func() int64 { return max(0, random.Int64N(100)-95) },
	} {
		all := newPart[int64](100_000)
		for i := range all.Rows {
			all.Rows[i], all.Keys[i], all.Times[i] = uint32(i), key(), random.Int64()
		}
		const parts = 10
		for i, part := range all.Split(parts, false, 2) {
			if n := len(part.Rows); n < len(all.Rows)/parts/2 || n > len(all.Rows)/parts*2 {
				t.Errorf("%s: part %d of %d has %d rows of %d", name, i, parts, n, len(all.Rows))
			}
		}
	}
}

func checkSplit[K Ordered](t *rapid.T, keys []K, times []int64) {
	all, step := Part[K]{Keys: keys, Times: times}, 1
	if rapid.Bool().Draw(t, "some rows") {
		step = 3
		for i := range keys {
			all.Rows = append(all.Rows, uint32(step*i))
		}
	}
	order := make([]int, len(keys))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Or(Compare(keys[a], keys[b]), cmp.Compare(times[a], times[b])) })
	whole := rapid.Bool().Draw(t, "whole")
	at := 0
	var last K
	var memory Memory[K]
	for i, part := range all.Split(rapid.IntRange(1, 9).Draw(t, "parts"), whole, 1) {
		if len(part.Rows) == 0 {
			t.Fatal("an empty part")
		}
		part.Sort(&memory)
		if whole && i > 0 && part.Keys[0] == last {
			t.Fatalf("key %v is in two parts", last)
		}
		for j, row := range part.Rows {
			if want := order[at]; row != uint32(step*want) || part.Keys[j] != keys[want] || part.Times[j] != times[want] {
				t.Fatalf("place %d: row %d with (%v, %d), want row %d with (%v, %d)", at, row, part.Keys[j], part.Times[j], step*want, keys[want], times[want])
			}
			last = part.Keys[j]
			at++
		}
	}
	if at != len(keys) {
		t.Fatalf("%d rows of %d", at, len(keys))
	}
}

// TestTextThatDiffersInZeros sorts keys that their first bytes, with zeros behind the end, do not tell apart.
func TestTextThatDiffersInZeros(t *testing.T) {
	var rows []uint32
	var keys []string
	for i := range 300 {
		rows, keys = append(rows, uint32(i)), append(keys, "the same head"+strings.Repeat("\x00", i*7%5))
	}
	want := slices.Clone(rows)
	slices.SortStableFunc(want, func(a, b uint32) int { return cmp.Compare(keys[a], keys[b]) })
	if got := Rows(rows, keys); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// BenchmarkSorted sorts a shard of a spine: keys of one row, as hashes are, keys of two rows, and keys of 100.
func BenchmarkSorted(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, keys := range map[string]int64{"many keys": math.MaxInt64, "two rows each": 1 << 16, "few keys": 1 << 17 / 100} {
		p := newPart[int64](1 << 17)
		for i := range p.Rows {
			p.Rows[i], p.Keys[i], p.Times[i] = uint32(i), random.Int64N(keys), random.Int64N(31e12)
		}
		b.Run(name, func(b *testing.B) { benchmarkSort(b, p) })
	}
	p := newPart[Words](1 << 17)
	for i := range p.Rows {
		key := uint64(random.IntN(1 << 16)) // two rows each, or so
		p.Rows[i], p.Keys[i], p.Times[i] = uint32(i), Words{key * 0x9e3779b97f4a7c15 >> 6, key, 1}, random.Int64N(31e12)
	}
	b.Run("three words", func(b *testing.B) { benchmarkSort(b, p) })
}

func benchmarkSort[K Ordered](b *testing.B, p Part[K]) {
	b.ReportAllocs()
	var m Memory[K]
	part := newPart[K](p.Len())
	for b.Loop() {
		copy(part.Rows, p.Rows)
		copy(part.Keys, p.Keys)
		copy(part.Times, p.Times)
		part.Sort(&m)
	}
	b.ReportMetric(float64(len(p.Rows))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

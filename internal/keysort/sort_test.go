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
		for _, workers := range []int{2, 3, 8} {
			if got := all.Split(13, whole, workers); !reflect.DeepEqual(got, want) {
				t.Fatalf("%d workers deal otherwise", workers)
			}
		}
	}
}

func checkSplit[K Ordered](t *rapid.T, keys []K, times []int64) {
	all := Part[K]{Keys: keys, Times: times}
	for i := range keys {
		all.Rows = append(all.Rows, uint32(3*i))
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
		sorted := part.Sorted(&memory)
		if whole && i > 0 && sorted.Keys[0] == last {
			t.Fatalf("key %v is in two parts", last)
		}
		for j, row := range sorted.Rows {
			if want := order[at]; row != uint32(3*want) || sorted.Keys[j] != keys[want] || sorted.Times[j] != times[want] {
				t.Fatalf("place %d: row %d with (%v, %d), want row %d with (%v, %d)", at, row, sorted.Keys[j], sorted.Times[j], 3*want, keys[want], times[want])
			}
			last = sorted.Keys[j]
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

// BenchmarkSorted sorts a shard of a spine: keys and times that fit a word together, and some that do not.
func BenchmarkSorted(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	for name, keys := range map[string]int64{"one word": 1 << 18, "two words": math.MaxInt64} {
		p := newPart[int64](1 << 17)
		for i := range p.Rows {
			p.Rows[i], p.Keys[i], p.Times[i] = uint32(i), random.Int64N(keys), random.Int64N(31e12)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var m Memory[int64]
			for b.Loop() {
				p.Sorted(&m)
			}
			b.ReportMetric(float64(len(p.Rows))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
	p := newPart[Words](1 << 17)
	for i := range p.Rows {
		key := uint64(random.IntN(1 << 16)) // two rows each, or so
		p.Rows[i], p.Keys[i], p.Times[i] = uint32(i), Words{key * 0x9e3779b97f4a7c15 >> 6, key, 1}, random.Int64N(31e12)
	}
	b.Run("three words", func(b *testing.B) {
		b.ReportAllocs()
		var m Memory[Words]
		for b.Loop() {
			p.Sorted(&m)
		}
		b.ReportMetric(float64(len(p.Rows))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}

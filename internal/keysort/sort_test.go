package keysort

import (
	"cmp"
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

// TestSplitKeepsOrder cuts rows into parts and sorts each: together they must be what sorting all gives.
func TestSplitKeepsOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 500).Draw(t, "rows")
		number := rapid.Int64Range(-3, rapid.SampledFrom([]int64{-3, 3, 1000}).Draw(t, "greatest"))
		keys, times := rapid.SliceOfN(number, n, n).Draw(t, "keys"), rapid.SliceOfN(number, n, n).Draw(t, "times")
		var rows []uint32
		for i := range n {
			if i%7 != 3 {
				rows = append(rows, uint32(i))
			}
		}
		parts := Split(rows, keys, times, rapid.IntRange(1, 9).Draw(t, "parts"))
		var got []uint32
		for _, part := range parts {
			if len(part) == 0 {
				t.Fatal("an empty part")
			}
			got = append(got, Rows(slices.Clone(part), keys, times)...)
		}
		if want := Rows(slices.Clone(rows), keys, times); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
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

package parquetio

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"pgregory.net/rapid"
)

// randomDeltas draws values whose deltas take up to as many bits as the stretch of the page that they are in has.
func randomDeltas(t *rapid.T) []int64 {
	random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	var values []int64
	last := rapid.OneOf(rapid.Int64(), rapid.Just(int64(0))).Draw(t, "first")
	for range rapid.IntRange(0, 6).Draw(t, "stretches") {
		width := rapid.OneOf(rapid.IntRange(0, 64), rapid.SampledFrom([]int{0, 1, 32, 33, 56, 57, 58, 64})).Draw(t, "bits")
		repeats, step := rapid.Bool().Draw(t, "repeats"), rapid.SampledFrom([]int64{0, 0, 1, -3}).Draw(t, "step")
		for range rapid.IntRange(1, 150).Draw(t, "values") {
			if width > 0 && (!repeats || random.IntN(10) == 0) {
				last += int64(random.Uint64() >> (64 - width))
			}
			last += step
			values = append(values, last)
		}
	}
	return values
}

// TestDeltas decodes deltas of all widths, at the end of memory and before more of it.
func TestDeltas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := randomDeltas(t)
		body, err := (&delta.BinaryPackedEncoding{}).EncodeInt64(nil, values)
		if err != nil {
			t.Fatal(err)
		}
		end := len(body)
		body = append(body, "more"...)
		if rapid.Bool().Draw(t, "spare") {
			body = append(body, make([]byte, bodySlack)...)[:end+4]
		} else {
			body = slices.Clip(body)
		}
		got := make([]int64, len(values))
		rest, err := decodeDelta(got, body)
		if err != nil || !slices.Equal(got, values) {
			t.Fatalf("%v are %v, %v", values, got, err)
		}
		if len(values) > 0 && string(rest) != "more" {
			t.Fatalf("%q follows them", rest)
		}
	})
}

// TestRunsOfDeltas adds pages of deltas and of single numbers to runs, and holds the runs against the numbers.
func TestRunsOfDeltas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ends := &runEnds{expected: rapid.Int32Range(0, 5000).Draw(t, "expected")}
		sink := &numberRunSink[int64]{runSink: &runSink[int64]{sink: &numberSink[int64]{memory: &Memory{}}, runEnds: ends, same: same[int64], keep: itself[int64]}}
		var all []int64
		for range rapid.IntRange(0, 5).Draw(t, "pages") {
			page := randomDeltas(t)
			if len(all) > 0 && len(page) > 0 && rapid.Bool().Draw(t, "goes on") {
				page[0] = all[len(all)-1]
			}
			all = append(all, page...)
			if rapid.Bool().Draw(t, "single") {
				sink.add(page)
				continue
			}
			body, err := (&delta.BinaryPackedEncoding{}).EncodeInt64(nil, page)
			if err != nil {
				t.Fatal(err)
			}
			if err := sink.addDeltas(body, len(page)); err != nil {
				t.Fatal(err)
			}
		}
		if ends.rows > 0 {
			ends.ends = append(ends.ends, ends.rows)
		}
		values := array.NewInt64Data(sink.finish(arrow.PrimitiveTypes.Int64)).Int64Values()
		if distinct := slices.Compact(slices.Clone(all)); !slices.Equal(values, distinct) || len(ends.ends) != len(distinct) {
			t.Fatalf("%v of %d runs, want %v", values, len(ends.ends), distinct)
		}
		var got []int64
		for i, end := range ends.ends {
			got = append(got, slices.Repeat(values[i:i+1], int(end)-len(got))...)
		}
		if !slices.Equal(got, all) {
			t.Fatalf("%v, want %v", got, all)
		}
	})
}

// TestBrokenDeltas cuts pages of deltas short, and has them promise other numbers of values.
func TestBrokenDeltas(t *testing.T) {
	values := []int64{1, 1, 1, 5, 1 << 40, 1 << 41, 1<<41 + 1}
	body, err := (&delta.BinaryPackedEncoding{}).EncodeInt64(nil, values)
	if err != nil {
		t.Fatal(err)
	}
	runs := func() deltaSink {
		return &numberRunSink[int64]{runSink: &runSink[int64]{sink: &numberSink[int64]{}, runEnds: &runEnds{}, same: same[int64], keep: itself[int64]}}
	}
	whole := runs()
	if err := whole.addDeltas(body, len(values)); err != nil {
		t.Fatal(err)
	}
	for n := range 20 { // of some fifty bytes, the last of which are of no value's
		if err := runs().addDeltas(body[:n:n], len(values)); !errors.Is(err, errShortPage) {
			t.Errorf("%d bytes of %d: %v", n, len(body), err)
		}
	}
	for _, n := range []int{1, len(values) - 1, len(values) + 1} {
		if err := runs().addDeltas(body, n); err == nil {
			t.Errorf("%d values are taken for %d", len(values), n)
		}
	}
}

package parquetio

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"
)

// TestRunsOfPages adds pages of texts to runs in all ways in which a page can hold them, and holds the runs against the texts.
func TestRunsOfPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"", "a", "b", "a\x00\x00\x00", "aa", "a longer text", "a longer one", string(make([]byte, 300))})
		ends := &runEnds{}
		sink := &textRunSink{runSink[[]byte]{sink: &bytesSink{}, runEnds: ends, same: bytes.Equal, keep: bytes.Clone}}
		var all []string
		for range rapid.IntRange(0, 5).Draw(t, "pages") {
			var page []string
			for range rapid.IntRange(1, 6).Draw(t, "runs") {
				page = append(page, slices.Repeat([]string{text.Draw(t, "text")}, rapid.IntRange(0, 40).Draw(t, "length"))...)
			}
			addPage(t, sink, page)
			all = append(all, page...)
		}
		var got []string
		values := array.NewBinaryData(sink.finish(arrow.BinaryTypes.Binary))
		if ends.rows > 0 {
			ends.ends = append(ends.ends, ends.rows)
		}
		if values.Len() != len(ends.ends) || int(ends.rows) != len(all) {
			t.Fatalf("%d values of %d runs, %d rows of %d", values.Len(), len(ends.ends), ends.rows, len(all))
		}
		for i, end := range ends.ends {
			if i > 0 && values.ValueString(i) == values.ValueString(i-1) {
				t.Fatalf("runs %d and %d are one: %q", i-1, i, values.ValueString(i))
			}
			for len(got) < int(end) {
				got = append(got, values.ValueString(i))
			}
		}
		if !slices.Equal(got, all) {
			t.Fatalf("got %q, want %q", got, all)
		}
	})
}

// addPage adds a page to a sink as plain bytes, by places in a dictionary that may have a text twice, decoded or not, or one by one.
func addPage(t *rapid.T, sink *textRunSink, page []string) {
	var body []byte
	var values, dict [][]byte
	var indices []int32
	for _, text := range page {
		body = appendText(body, text)
		values = append(values, []byte(text))
		at := slices.IndexFunc(dict, func(b []byte) bool { return string(b) == text })
		if at < 0 || rapid.IntRange(0, 9).Draw(t, "twice") == 0 {
			at, dict = len(dict), append(dict, []byte(text))
		}
		indices = append(indices, int32(at))
	}
	switch rapid.SampledFrom([]string{"plain", "indexed", "runs", "packed", "values"}).Draw(t, "page") {
	case "plain":
		if known, err := sink.addTexts(format.Plain, body, len(page)); !known || err != nil {
			t.Fatal(known, err)
		}
		clear(body) // the memory of a page goes to the next
	case "runs":
		if len(page) == 0 {
			return
		}
		if err := sink.addRuns(dict, appendRuns(nil, indices), len(page)); err != nil {
			t.Fatal(err)
		}
	case "packed":
		coder := rle.DictionaryEncoding{}
		packed, err := coder.EncodeInt32(nil, indices)
		if err != nil {
			t.Fatal(err)
		}
		if err := sink.addRuns(dict, packed, len(page)); err != nil {
			t.Fatal(err)
		}
	case "indexed":
		if err := sink.addIndexed(dict, indices); err != nil {
			t.Fatal(err)
		}
	case "values":
		sink.add(values)
	}
}

// TestBrokenPagesOfText adds pages that are cut short, and places that are not in a dictionary.
func TestBrokenPagesOfText(t *testing.T) {
	var body []byte
	for _, text := range []string{"a", "a", "a", "bc", "bc"} {
		body = appendText(body, text)
	}
	sinks := func() []textSink {
		return []textSink{&bytesSink{}, &textRunSink{runSink[[]byte]{sink: &bytesSink{}, runEnds: &runEnds{}, same: bytes.Equal, keep: bytes.Clone}}}
	}
	for n := range len(body) {
		for _, sink := range sinks() {
			if _, err := sink.addTexts(format.Plain, body[:n:n], 5); !errors.Is(err, errShortPage) {
				t.Errorf("%T, %d bytes of %d: %v", sink, n, len(body), err)
			}
		}
	}
	coder := delta.LengthByteArrayEncoding{}
	lengths, err := coder.EncodeByteArray(nil, []byte("aaabcbc"), []uint32{0, 1, 2, 3, 5, 7})
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(lengths) {
		if known, err := (&bytesSink{}).addTexts(format.DeltaLengthByteArray, lengths[:n:n], 5); !known || err == nil {
			t.Errorf("%d bytes of %d are read as five texts", n, len(lengths))
		}
	}
	if known, err := (&bytesSink{}).addTexts(format.DeltaLengthByteArray, nil, 0); !known || err != nil {
		t.Errorf("a page without values: %v", err)
	}
	numbers := delta.BinaryPackedEncoding{}
	if lengths, err = numbers.EncodeInt32(nil, []int32{2, -1, 1}); err != nil {
		t.Fatal(err)
	}
	if known, err := (&bytesSink{}).addTexts(format.DeltaLengthByteArray, append(lengths, "abcde"...), 3); !known || err == nil {
		t.Error("a text is less than nothing")
	}
	for _, runs := range [][]byte{nil, {33}, {1}, {1, 4}, {1, 4, 0}, {1, 4, 2, 6, 0}, {1, 0, 0}, {1, 3}, {2, 3, 0xff}} {
		for _, sink := range sinks()[1:] {
			if err := sink.(runsSink[[]byte]).addRuns([][]byte{{}, {}}, runs, 5); err == nil {
				t.Errorf("%T takes the runs %v of a dictionary of two as five rows", sink, runs)
			}
		}
	}
	for _, indices := range [][]int32{{-1}, {0, 2}, {0, 0, -1, 0}, {1 << 30}} {
		for _, sink := range sinks() {
			if err := sink.(indexedSink[[]byte]).addIndexed([][]byte{{}, {}}, indices); err == nil {
				t.Errorf("%T takes places %v of a dictionary of two", sink, indices)
			}
		}
	}
}

// TestRunsOfOtherWriters adds pages with runs of no rows, and with groups of eight that go on beyond the page.
func TestRunsOfOtherWriters(t *testing.T) {
	for _, c := range []struct {
		runs []byte
		ends []int32 // of all runs but the last
	}{
		{[]byte{1, 0, 1, 10, 0}, nil},
		{[]byte{1, 4, 0, 0, 1, 6, 1}, []int32{2}},
		{[]byte{1, 3, 0b11100}, []int32{2}},
		{[]byte{1, 200, 1, 1}, nil},
	} {
		sink := &textRunSink{runSink[[]byte]{sink: &bytesSink{}, runEnds: &runEnds{}, same: bytes.Equal, keep: bytes.Clone}}
		if err := sink.addRuns([][]byte{{'a'}, {'b'}}, c.runs, 5); err != nil || sink.rows != 5 || !slices.Equal(sink.ends, c.ends) {
			t.Errorf("%v: %d rows, ends %v, want %v; %v", c.runs, sink.rows, sink.ends, c.ends, err)
		}
		if n := sink.finish(arrow.BinaryTypes.Binary).Len(); n != len(c.ends)+1 {
			t.Errorf("%v: %d values", c.runs, n)
		}
	}
}

package source

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"
)

type twinRow struct {
	Time  *int64   `parquet:"t,optional,timestamp(microsecond)"`
	Made  *int64   `parquet:"made,optional,timestamp(nanosecond)"`
	Key   *string  `parquet:"key,optional,dict"`
	Value *float32 `parquet:"value,optional,snappy"`
}

// Read gives what a plain loop over the rows gives, whatever the files' layout and the batches' size.
func TestReadEqualsLoop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp("", "asof-source")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		nulls := rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "nulls of 20")
		value := func(label string, span int64) *int64 {
			v := rapid.Int64Range(0, span).Draw(t, label)
			if rapid.IntRange(0, 19).Draw(t, "null") < nulls {
				return nil
			}
			return &v
		}
		files := make([][]twinRow, rapid.IntRange(1, 3).Draw(t, "files"))
		for i := range files {
			base := rapid.Int64Range(0, 100).Draw(t, "base")
			for range rapid.IntRange(0, 60).Draw(t, "rows") {
				var r twinRow
				if r.Time = value("time", 30); r.Time != nil {
					*r.Time += base
				}
				r.Made = value("made", 5000)
				if k := value("key", 3); k != nil {
					s := fmt.Sprint("key ", *k)
					r.Key = &s
				}
				if v := value("value", 10); v != nil {
					f := float32(*v)
					r.Value = &f
				}
				files[i] = append(files[i], r)
			}
			path := filepath.Join(root, fmt.Sprint(i, ".parquet"))
			if err := parquet.WriteFile(path, files[i], parquet.MaxRowsPerRowGroup(int64(rapid.IntRange(1, 50).Draw(t, "group"))), parquet.PageBufferSize(rapid.SampledFrom([]int{8, 100, 10000}).Draw(t, "page"))); err != nil {
				t.Fatal(err)
			}
		}
		from := rapid.Int64Range(-5, 140).Draw(t, "from")
		span := feature.Range{From: feature.Time(from), To: feature.Time(from + rapid.Int64Range(0, 100).Draw(t, "span"))}
		spec := Spec{Name: "s", Root: root, Glob: "*.parquet", EventTime: "t", CreatedTime: "made", BadRows: BadRows(rapid.IntRange(0, 1).Draw(t, "bad rows"))}
		got, stats, err := rows(spec, Request{Range: span, Keys: []feature.Field{field("key", feature.String)}, Columns: []feature.Field{field("value", feature.Float64)},
			BatchRows: rapid.SampledFrom([]int{0, 1, 7, 30}).Draw(t, "batch")})
		want, bad := loop(files, span)
		if bad > 0 && spec.BadRows == BadRowsFail {
			if feature.KindOf(err) != feature.ErrInvalid {
				t.Fatalf("%d bad rows, and the error is %v", bad, err)
			}
			return
		}
		if err != nil || stats.Skipped != int64(bad) || stats.Rows != int64(len(want)) {
			t.Fatalf("error %v, stats %+v, want %d rows and %d bad ones", err, stats, len(want), bad)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// ReadParts gives what Read gives, batches in the order of their parts, and fails with the same error.
func TestReadPartsEqualsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp("", "asof-source")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(root)
		bad := rapid.IntRange(0, 3).Draw(t, "bad of 300")
		for i := range rapid.IntRange(1, 5).Draw(t, "files") {
			var rows []twinRow
			for n := range rapid.IntRange(0, 40).Draw(t, "rows") {
				at, key, value := int64(10*i+n), fmt.Sprint(n), float32(i)
				r := twinRow{Time: &at, Key: &key, Value: &value}
				if rapid.IntRange(0, 299).Draw(t, "bad") < bad {
					r.Key = nil
				}
				rows = append(rows, r)
			}
			if err := parquet.WriteFile(filepath.Join(root, fmt.Sprint(i, ".parquet")), rows, parquet.MaxRowsPerRowGroup(int64(rapid.IntRange(1, 20).Draw(t, "group")))); err != nil {
				t.Fatal(err)
			}
		}
		spec := Spec{Name: "s", Root: root, Glob: "*.parquet", EventTime: "t", BadRows: BadRows(rapid.IntRange(0, 1).Draw(t, "bad rows"))}
		files, err := Survey(t.Context(), spec, nil)
		if err != nil {
			t.Fatal(err)
		}
		from := feature.Time(rapid.Int64Range(-5, 90).Draw(t, "from"))
		request := Request{Range: feature.Range{From: from, To: from + 40}, Keys: []feature.Field{field("key", feature.String)}, Columns: []feature.Field{field("value", feature.Float64)},
			BatchRows: rapid.IntRange(1, 30).Draw(t, "batch"), PartRows: rapid.IntRange(1, 60).Draw(t, "part"), Files: files}
		want, wantStats, wantErr := rows(spec, request)
		workers := rapid.IntRange(1, 4).Draw(t, "workers")
		var mu sync.Mutex
		parts := map[int][]string{}
		stats, err := ReadParts(t.Context(), spec, request, workers, func(worker, part int, b Batch) error {
			mu.Lock()
			defer mu.Unlock()
			if worker < 0 || worker >= workers {
				t.Errorf("worker %d of %d", worker, workers)
			}
			parts[part] = append(parts[part], texts(b)...)
			return nil
		})
		// A file that is known to lie outside of the range is passed over, so that its bad rows are not found.
		if wantErr != nil && (err == nil || err.Error() != wantErr.Error()) && overlapping(files, request.Range) == len(files) || wantErr == nil && err != nil {
			t.Fatalf("the error is %v, that of Read %v", err, wantErr)
		}
		if wantErr != nil || err != nil {
			return
		}
		var got []string
		for _, part := range slices.Sorted(maps.Keys(parts)) {
			got = append(got, parts[part]...)
		}
		if diff := cmp.Diff(want, got); diff != "" || stats.Rows != wantStats.Rows {
			t.Fatalf("%d rows, not %d: %s", stats.Rows, wantStats.Rows, diff)
		}
		for i, f := range stats.Files {
			if f.RowsRead != wantStats.Files[i].RowsRead || f.Rows != wantStats.Files[i].Rows {
				t.Fatalf("file %+v, not %+v", f, wantStats.Files[i])
			}
		}
	})
}

// A file whose rows all lack an event time has none in any range, and is looked at all the same: its rows are bad.
func TestReadPartsFindsFilesWithoutTimes(t *testing.T) {
	root, key := t.TempDir(), "k"
	write(t, root, "1.parquet", []twinRow{{Key: &key}, {Key: &key}})
	spec := Spec{Name: "s", Root: root, Glob: "*.parquet", EventTime: "t"}
	files, err := Survey(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	request := Request{Range: feature.Range{From: 1, To: 2}, Files: files}
	none := func(int, int, Batch) error { return nil }
	_, err = ReadParts(t.Context(), spec, request, 2, none)
	wantError(t, err, feature.ErrInvalid, "1.parquet: row 0: the event time t is NULL")
	spec.BadRows = BadRowsSkip
	if stats, err := ReadParts(t.Context(), spec, request, 2, none); err != nil || stats.Skipped != 2 {
		t.Errorf("%+v, %v", stats, err)
	}
}

// overlapping returns how many files have rows in a range, or may.
func overlapping(files []FileStat, events feature.Range) (n int) {
	for _, f := range files {
		if f.Events().Empty() || f.Events().Overlaps(events) {
			n++
		}
	}
	return n
}

func loop(files [][]twinRow, span feature.Range) (out []string, bad int) {
	for i, file := range files {
		for _, r := range file {
			switch {
			case r.Time == nil:
				bad++
			case !span.Contains(feature.Time(*r.Time)):
			case r.Key == nil:
				bad++
			default:
				made, value := "(null)", "(null)"
				if r.Made != nil {
					made = feature.Time((*r.Made + 999) / 1000).String()
				}
				if r.Value != nil {
					value = fmt.Sprint(*r.Value)
				}
				out = append(out, fmt.Sprintf("%d.parquet %s %s %s %s", i, feature.Time(*r.Time), made, *r.Key, value))
			}
		}
	}
	return out, bad
}

// FuzzSource reads arbitrary bytes as a source: rows, or an error of a kind that says whose fault it is.
func FuzzSource(f *testing.F) {
	ms, name, v := int64(7), "x", float32(1)
	for _, opts := range [][]parquet.WriterOption{{parquet.DataPageVersion(1)}, {parquet.DataPageVersion(2), parquet.MaxRowsPerRowGroup(1)}} {
		var out bytes.Buffer
		if err := parquet.Write(&out, []twinRow{{&ms, &ms, &name, &v}, {&ms, nil, &name, nil}}, opts...); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "f.parquet"), b, 0o644); err != nil {
			t.Fatal(err)
		}
		spec := Spec{Name: "s", Root: root, Glob: "*.parquet", EventTime: "t", BadRows: BadRowsSkip}
		ctx, cancel := context.WithCancel(context.Background())
		schema, err := Inspect(ctx, spec)
		if err == nil {
			read := 0
			var stats Stats
			stats, err = Read(ctx, spec, Request{Range: always, Columns: schema.Fields()[1:]}, func(b Batch) error {
				if read += int(b.Record.NumRows()); read > 1e6 { // a file may promise more NULLs than there is time for
					cancel()
				}
				return nil
			})
			if err == nil && stats.Rows+stats.Skipped != stats.Files[0].Rows {
				t.Fatalf("%d rows of %d", stats.Rows+stats.Skipped, stats.Files[0].Rows)
			}
		}
		if kind := feature.KindOf(err); err != nil && ctx.Err() == nil && kind != feature.ErrCorrupt && kind != feature.ErrInvalid {
			t.Fatalf("%v: %v", kind, err)
		}
		cancel()
	})
}

package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

type visit struct {
	Time  int64  `parquet:"t,timestamp(microsecond)"`
	User  *int64 `parquet:"user"`
	Value int32  `parquet:"value"`
}

func visits(user int64, minutes ...int) (out []visit) {
	for i, m := range minutes {
		out = append(out, visit{at(m), &user, int32(i)})
	}
	return out
}

func TestFiles(t *testing.T) {
	root := t.TempDir()
	for _, file := range []string{"b/2.parquet", "b/1.parquet", "a/x/3.parquet", "a/_temporary/4.parquet", "a/.hidden.parquet", "a/notes.txt", "_raw/5.parquet"} {
		write(t, root, file, visits(1, 1))
	}
	if err := os.Mkdir(filepath.Join(root, "folder.parquet"), 0o755); err != nil {
		t.Fatal(err)
	}
	for glob, want := range map[string]string{
		"**/*.parquet":                               "a/x/3.parquet b/1.parquet b/2.parquet",
		"b/*.parquet":                                "b/1.parquet b/2.parquet",
		"b/2.parquet":                                "b/2.parquet",
		"_raw/*.parquet":                             "_raw/5.parquet",
		"{b,_raw}/*.parquet":                         "b/1.parquet b/2.parquet",
		"{b/*.parquet,*/1.parquet}":                  "b/1.parquet b/2.parquet",
		filepath.Join(root, "b/[1]*"):                filepath.ToSlash(filepath.Join(root, "b/1.parquet")),
		"../" + filepath.Base(root) + "/b/1.parquet": "../" + filepath.Base(root) + "/b/1.parquet",
	} {
		files, err := Files(context.Background(), Spec{Root: root, Glob: glob})
		var got []string
		for _, f := range files {
			got = append(got, f.Path)
			if f.Size == 0 || f.ModTime.IsZero() {
				t.Errorf("%s: no size or time: %+v", f.Path, f)
			}
		}
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v %v, want %s", glob, got, err, want)
		}
	}
	_, err := Files(context.Background(), Spec{Name: "visits", Root: root, Glob: "c/*.parquet"})
	wantError(t, err, feature.ErrNotFound, "source visits: no file matches c/*.parquet in "+root)
	_, err = Files(context.Background(), Spec{Name: "visits", Root: root, Glob: "[a"})
	wantError(t, err, feature.ErrInvalid, "is no glob")
}

func wantError(t *testing.T, err, kind error, fragments ...string) {
	t.Helper()
	if err == nil || feature.KindOf(err) != kind {
		t.Fatalf("error %v of kind %v, want kind %v", err, feature.KindOf(err), kind)
	}
	for _, f := range fragments {
		if !strings.Contains(err.Error(), f) {
			t.Fatalf("error %q does not tell %q", err, f)
		}
	}
}

func TestReadRange(t *testing.T) {
	root := t.TempDir()
	write(t, root, "2.parquet", visits(2, 30, 10, 20))
	write(t, root, "1.parquet", append(append(visits(1, 1, 2, 3), visits(1, 40, 41)...), visits(1, 5)...), parquet.MaxRowsPerRowGroup(3))
	write(t, root, "3.parquet", visits(3))
	write(t, root, "4.parquet", visits(4, 12, 10), parquet.SkipPageBounds("t"))
	write(t, root, "5.parquet", visits(5, 31, 9), parquet.SkipPageBounds("t"))
	spec := Spec{Name: "visits", Root: root, Glob: "*.parquet", EventTime: "t"}
	request := Request{Range: feature.Range{From: feature.Time(at(2)), To: feature.Time(at(30))}, Columns: []feature.Field{field("value", feature.Float64), field("user", feature.Int64)}}
	want := []string{
		"1.parquet 1970-01-01T00:02:00Z 1 1", "1.parquet 1970-01-01T00:03:00Z 2 1", "1.parquet 1970-01-01T00:05:00Z 0 1",
		"2.parquet 1970-01-01T00:30:00Z 0 2", "2.parquet 1970-01-01T00:10:00Z 1 2", "2.parquet 1970-01-01T00:20:00Z 2 2",
		"4.parquet 1970-01-01T00:12:00Z 0 4", "4.parquet 1970-01-01T00:10:00Z 1 4", "5.parquet 1970-01-01T00:09:00Z 1 5",
	}
	for _, batchRows := range []int{0, 1, 2} {
		request.BatchRows = batchRows
		got, stats, err := rows(spec, request)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatal(err, diff)
		}
		var bounds []string
		for _, f := range stats.Files {
			bounds = append(bounds, fmt.Sprintf("%s %d of %d %d..%d", f.Path, f.RowsRead, f.Rows, f.MinEvent/60e6, f.MaxEvent/60e6))
		}
		if diff := cmp.Diff([]string{"1.parquet 3 of 6 1..41", "2.parquet 3 of 3 10..30", "3.parquet 0 of 0 153722867280..-153722867280", "4.parquet 2 of 2 10..12", "5.parquet 1 of 2 9..31"}, bounds); diff != "" {
			t.Error(diff)
		}
	}
}

// A row group outside the range is not read: one with damaged pages goes unnoticed there, and only there.
func TestPrune(t *testing.T) {
	root := t.TempDir()
	write(t, root, "1.parquet", append(visits(1, 1, 2), visits(1, 100, 200)...), parquet.MaxRowsPerRowGroup(2), parquet.Compression(&parquet.Uncompressed))
	path := filepath.Join(root, "1.parquet")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[5] ^= 0xff // in the first row group
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	spec := Spec{Name: "visits", Root: root, Glob: "*.parquet", EventTime: "t"}
	_, _, err = rows(spec, Request{Range: always, Columns: []feature.Field{field("value", feature.Int64), field("user", feature.Int64)}})
	wantError(t, err, feature.ErrCorrupt, "1.parquet: corrupt Parquet file: row group 0")
	got, _, err := rows(spec, Request{Range: feature.Range{From: feature.Time(at(50)), To: feature.Time(at(150))}, Columns: []feature.Field{field("value", feature.Int64)}})
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	files, err := Survey(context.Background(), spec, nil)
	if err != nil || len(files) != 1 || files[0].Rows != 4 || files[0].Events() != (feature.Range{From: feature.Time(at(1)), To: feature.Time(at(200))}) {
		t.Fatalf("the survey gives %+v, %v", files, err)
	}
	for _, c := range []struct{ from, to, want int }{{50, 150, 2}, {0, 150, 4}, {300, 400, 0}} {
		pieces, err := Pieces(context.Background(), spec, files, feature.Range{From: feature.Time(at(c.from)), To: feature.Time(at(c.to))})
		rows := int64(0)
		for _, p := range pieces {
			rows += p.Rows
			if p.Bytes <= 0 || p.Bytes > files[0].Size {
				t.Errorf("a row group of %d bytes in a file of %d", p.Bytes, files[0].Size)
			}
		}
		if err != nil || rows != int64(c.want) {
			t.Errorf("minutes %d to %d: %d rows, %v; want %d", c.from, c.to, rows, err, c.want)
		}
	}
}

// TestSurvey finds the bounds of files with and without statistics, takes known versions as they are, and looks at others again.
func TestSurvey(t *testing.T) {
	ctx, root := context.Background(), t.TempDir()
	type bare struct {
		Time *int64 `parquet:"t,optional,timestamp(microsecond)"`
	}
	minute := func(m int) *int64 { v := at(m); return &v }
	write(t, root, "a.parquet", []bare{{minute(3)}, {minute(1)}, {nil}})
	write(t, root, "b.parquet", []bare{{nil}})
	write(t, root, "c.parquet", []bare{})
	write(t, root, "d.parquet", []bare{{minute(7)}, {minute(9)}}, parquet.SkipPageBounds("t"))
	spec := Spec{Name: "s", Root: root, Glob: "*.parquet", EventTime: "t"}
	files, err := Survey(ctx, spec, nil)
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for i, want := range []feature.Range{{From: feature.Time(at(1)), To: feature.Time(at(3))}, {From: feature.MaxTime, To: feature.MinTime}, {From: feature.MaxTime, To: feature.MinTime}, {From: feature.Time(at(7)), To: feature.Time(at(9))}} {
		if got := files[i].Events(); got != want {
			t.Errorf("%s has event times %v, want %v", files[i].Path, got, want)
		}
	}
	known := map[string]FileStat{}
	for _, f := range files {
		f.MinEvent = 5 // as nobody would find
		known[f.Path] = f
	}
	again := known["a.parquet"]
	again.Size++
	known["a.parquet"] = again
	if err := os.Chtimes(filepath.Join(root, "d.parquet"), time.Time{}, files[3].ModTime.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if files, err = Survey(ctx, spec, known); err != nil {
		t.Fatal(err)
	}
	if files[0].MinEvent == 5 || files[1].MinEvent != 5 || files[2].MinEvent != 5 || files[3].MinEvent == 5 {
		t.Errorf("the survey gives %+v: a and d have changed, b and c have not", files)
	}
}

// TestReadSurveyed: files that came after a survey are not read, and those that changed or went since are errors that may pass.
func TestReadSurveyed(t *testing.T) {
	root := t.TempDir()
	write(t, root, "1.parquet", visits(1, 1))
	spec := Spec{Name: "visits", Root: root, Glob: "*.parquet", EventTime: "t"}
	files, err := Survey(context.Background(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, "2.parquet", visits(1, 2))
	request := Request{Range: always, Columns: []feature.Field{field("value", feature.Int64)}, Files: files}
	if got, _, err := rows(spec, request); err != nil || len(got) != 1 {
		t.Fatalf("read %v, %v; want the one row that was surveyed", got, err)
	}
	write(t, root, "1.parquet", visits(1, 1, 2, 3))
	_, _, err = rows(spec, request)
	wantError(t, err, feature.ErrUnavailable, "1.parquet changed while it was being read")
	if err := os.Remove(filepath.Join(root, "1.parquet")); err != nil {
		t.Fatal(err)
	}
	_, _, err = rows(spec, request)
	wantError(t, err, feature.ErrUnavailable, "1.parquet changed while it was being read")
	_, err = Pieces(context.Background(), spec, files, always)
	wantError(t, err, feature.ErrUnavailable, "1.parquet changed while it was being read")
}

func TestDrift(t *testing.T) {
	type first struct {
		Time  int64   `parquet:"t,timestamp(millisecond)"`
		N     int32   `parquet:"n"`
		X     float32 `parquet:"x"`
		Mixed string  `parquet:"mixed"`
	}
	type second struct {
		Time  int32    `parquet:"t,date"`
		N     int64    `parquet:"n"`
		X     float64  `parquet:"x"`
		Mixed int64    `parquet:"mixed"`
		Tags  []string `parquet:"tags,list"`
		S     struct {
			Deep string `parquet:"deep"`
		} `parquet:"s"`
	}
	root := t.TempDir()
	write(t, root, "k=01/1.parquet", []first{{at(1) / 1000, 1, 1.5, "a"}})
	b := second{Time: 1, N: 1 << 40, X: 2.5, Tags: []string{"x", "y"}}
	b.S.Deep = "d"
	write(t, root, "k=2/j=__HIVE_DEFAULT_PARTITION__/2.parquet", []second{b})
	spec := Spec{Name: "s", Root: root, Glob: "**/*.parquet", EventTime: "t"}
	schema, err := Inspect(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, f := range schema.Fields() {
		fields = append(fields, f.Name+" "+f.Type.String())
	}
	if diff := cmp.Diff("t timestamp, n int64, x float64, tags list<string>, s.deep string, j int64, k int64", strings.Join(fields, ", ")); diff != "" {
		t.Error(diff)
	}
	for column, want := range map[string]string{
		"mixed": "column mixed is string (BYTE_ARRAY STRING) in k=01/1.parquet and int64 (INT64 INT(64)) in k=2/j=__HIVE_DEFAULT_PARTITION__/2.parquet",
		"tgas":  "there is no column tgas: did you mean tags?",
		"deep":  "did you mean s.deep?",
		"s":     "column s is a struct: name one of its fields, such as s.deep",
		"zzzzz": "the columns are t, n, x",
	} {
		kind := feature.ErrNotFound
		if column == "mixed" || column == "s" {
			kind = feature.ErrInvalid
		}
		wantError(t, schema.Problem(column), kind, want)
	}
	request := Request{Range: always, Keys: []feature.Field{field("k", feature.Int64)}, Columns: slices.DeleteFunc(schema.Fields(), func(f feature.Field) bool { return f.Name == "t" || f.Name == "k" })}
	got, _, err := rows(spec, request)
	want := []string{
		"k=01/1.parquet 1970-01-01T00:01:00Z 1 1 1.5 (null) (null) (null)",
		`k=2/j=__HIVE_DEFAULT_PARTITION__/2.parquet 1970-01-02T00:00:00Z 2 1099511627776 2.5 ["x","y"] d (null)`,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatal(err, diff)
	}
	_, _, err = rows(spec, Request{Range: always, Columns: []feature.Field{field("mixed", feature.Int64)}})
	wantError(t, err, feature.ErrInvalid, "1.parquet: column mixed is string (BYTE_ARRAY STRING), which cannot be read as int64: declare it as string")
	_, _, err = rows(spec, Request{Range: always, Columns: []feature.Field{field("tagz", feature.Int64)}})
	wantError(t, err, feature.ErrInvalid, "no file has a column tagz: did you mean tags?")
	_, _, err = rows(spec, Request{Range: always, Columns: []feature.Field{field("k", feature.Bool)}})
	wantError(t, err, feature.ErrInvalid, "the folder k=01 cannot be read as bool: declare it as int64")
}

func TestBadRows(t *testing.T) {
	type row struct {
		Time *int64  `parquet:"t,timestamp(microsecond)"`
		A    *string `parquet:"a"`
		B    *int64  `parquet:"b"`
	}
	ms, a, b := at(7), "x", int64(9)
	root := t.TempDir()
	write(t, root, "1.parquet", []row{{&ms, &a, &b}, {&ms, &a, &b}, {&ms, nil, &b}, {nil, &a, &b}, {&ms, &a, nil}, {&ms, &a, &b}}, parquet.MaxRowsPerRowGroup(1))
	spec := Spec{Name: "s", Root: root, Glob: "*.parquet", EventTime: "t"}
	request := Request{Range: always, Keys: []feature.Field{field("a", feature.String), field("b", feature.Int64)}}
	_, _, err := rows(spec, request)
	wantError(t, err, feature.ErrInvalid, "1.parquet: row 2: the key a is NULL: mend the file, or set bad_rows: skip")
	_, _, err = rows(spec, Request{Range: always, Keys: request.Keys[1:]})
	wantError(t, err, feature.ErrInvalid, "1.parquet: row 3: the event time t is NULL")
	_, _, err = rows(spec, Request{Range: always, Columns: request.Keys})
	wantError(t, err, feature.ErrInvalid, "row 3")
	spec.BadRows = BadRowsSkip
	got, stats, err := rows(spec, request)
	if err != nil || len(got) != 3 || stats.Skipped != 3 || stats.Rows != 3 || stats.Files[0].RowsRead != 3 || stats.Files[0].Rows != 6 {
		t.Fatal(got, stats, err)
	}
}

// TestRowNumbers reads rows that hold their own number, some of them out of range or bad, in row groups and batches of any size.
func TestRowNumbers(t *testing.T) {
	type row struct {
		Time   *int64  `parquet:"t,timestamp(microsecond)"`
		Key    *string `parquet:"k"`
		Number int64   `parquet:"number"`
	}
	key, all := "x", make([]row, 40)
	for i := range all {
		all[i] = row{new(at(i * 7 % 10)), &key, int64(i)}
		if i%11 == 3 {
			all[i].Key = nil
		}
		if i%13 == 5 {
			all[i].Time = nil
		}
	}
	for groupRows := range 12 {
		root := t.TempDir()
		write(t, root, "1.parquet", all, parquet.MaxRowsPerRowGroup(int64(groupRows+1)))
		spec := Spec{Name: "s", Root: root, Glob: "*.parquet", EventTime: "t", BadRows: BadRowsSkip}
		request := Request{Range: feature.Range{From: feature.Time(at(2)), To: feature.Time(at(6))}, Keys: []feature.Field{field("k", feature.String)}, Columns: []feature.Field{field("number", feature.Int64)}}
		for request.BatchRows = range 7 {
			seen := 0
			if _, err := Read(t.Context(), spec, request, func(b Batch) error {
				for i := range int(b.Record.NumRows()) {
					if want := b.Record.Column(2).(*array.Int64).Value(i); b.Row(i) != want {
						t.Fatalf("row groups of %d, batches of %d: row %d is called %d", groupRows+1, request.BatchRows, want, b.Row(i))
					}
					seen++
				}
				return nil
			}); err != nil || seen != 16 {
				t.Fatalf("%d rows, %v", seen, err)
			}
		}
	}
}

// TestBatchesAreLent: a batch that is retained stays as it is while others are read, and the memory of one that is not serves again.
func TestBatchesAreLent(t *testing.T) {
	const batchRows, batches = 1 << 13, 6
	root := t.TempDir()
	write(t, root, "1.parquet", visits(1, make([]int, batchRows*batches)...))
	spec := Spec{Name: "visits", Root: root, Glob: "*.parquet", EventTime: "t"}
	request := Request{Range: always, Columns: []feature.Field{field("value", feature.Float64)}, BatchRows: batchRows}
	var kept []arrow.RecordBatch
	read, places := 0, map[*float64]bool{}
	_, err := Read(context.Background(), spec, request, func(b Batch) error {
		places[&b.Record.Column(1).(*array.Float64).Float64Values()[0]] = true
		if read++; read%2 == 0 {
			b.Record.Retain()
			kept = append(kept, b.Record)
		}
		return nil
	})
	if err != nil || read != batches || len(places) == batches {
		t.Fatalf("%d batches in %d places, %v", read, len(places), err)
	}
	seen := map[float64]bool{} // visits number their rows
	for _, record := range kept {
		for _, v := range record.Column(1).(*array.Float64).Float64Values() {
			if seen[v] {
				t.Fatalf("row %v is in two batches", v)
			}
			seen[v] = true
		}
	}
	if len(seen) != len(kept)*batchRows {
		t.Errorf("%d batches have %d rows", len(kept), len(seen))
	}
}

func TestReadStops(t *testing.T) {
	root := t.TempDir()
	write(t, root, "1.parquet", visits(1, 1, 2, 3))
	spec := Spec{Name: "s", Root: root, Glob: "*.parquet", EventTime: "t"}
	mine := errors.New("mine")
	if _, err := Read(context.Background(), spec, Request{Range: always}, func(Batch) error { return mine }); err != mine {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err := Read(ctx, spec, Request{Range: always, BatchRows: 1}, func(Batch) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	_, err = Read(context.Background(), spec, Request{Range: always}, func(Batch) error {
		write(t, root, "1.parquet", visits(1, 1, 2, 3, 4))
		return nil
	})
	wantError(t, err, feature.ErrUnavailable, "1.parquet changed while it was being read")
	write(t, root, "2.parquet", visits(1, 5))
	_, err = Read(context.Background(), spec, Request{Range: always}, func(Batch) error { return os.Remove(filepath.Join(root, "2.parquet")) })
	wantError(t, err, feature.ErrUnavailable, "2.parquet changed while it was being read: run again when it is complete")
	if err := os.Truncate(filepath.Join(root, "1.parquet"), 100); err != nil {
		t.Fatal(err)
	}
	_, _, err = rows(spec, Request{Range: always})
	wantError(t, err, feature.ErrCorrupt, "source s: "+filepath.Join(root, "1.parquet")+": corrupt Parquet file: it does not end with PAR1: it was truncated")
	spec.Disk = unreadable{}
	_, err = Survey(context.Background(), spec, nil)
	wantError(t, err, feature.ErrUnavailable, "1.parquet", syscall.EIO.Error())
}

// unreadable is a disk whose files cannot be read.
type unreadable struct{ disk.OS }

func (unreadable) OpenFile(path string, _ int, _ fs.FileMode) (disk.File, error) {
	return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EIO}
}

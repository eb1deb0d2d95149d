package tabular

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// fullDisk takes so many bytes and no more.
type fullDisk struct {
	out  io.Writer
	left int
}

func (d *fullDisk) Write(b []byte) (int, error) {
	n, err := d.out.Write(b[:min(len(b), d.left)])
	if d.left -= n; err == nil && n < len(b) {
		err = syscall.ENOSPC
	}
	return n, err
}

func numbers(rows int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}}, nil))
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(i) * 7919)
		b.Field(1).(*array.StringBuilder).Append(strings.Repeat("x", i%13))
	}
	return b.NewRecordBatch()
}

// files returns the names in dir.
func files(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestFullDiskLeavesWhatWasThere(t *testing.T) {
	batch := numbers(200_000) // beyond a row group and beyond the buffer
	for _, ending := range []string{".parquet", ".csv", ".arrow"} {
		whole := filepath.Join(t.TempDir(), "whole"+ending)
		if err := WriteFile(whole, batch.Schema(), batch); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(whole)
		if err != nil {
			t.Fatal(err)
		}
		for _, room := range []int{0, 1000, int(info.Size()) / 2, int(info.Size()) - 1} {
			dir := t.TempDir()
			path := filepath.Join(dir, "out"+ending)
			if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := writeAll(path, batch, WriterOptions{wrap: func(w io.Writer) io.Writer { return &fullDisk{w, room} }})
			if !errors.Is(err, syscall.ENOSPC) || feature.KindOf(err) != feature.ErrUnavailable || !strings.Contains(err.Error(), path) {
				t.Errorf("%s with room for %d bytes: %v (%v)", ending, room, err, feature.KindOf(err))
			}
			if got, _ := os.ReadFile(path); string(got) != "before" || files(t, dir) != "out"+ending {
				t.Errorf("%s with room for %d bytes left %d bytes and %s", ending, room, len(got), files(t, dir))
			}
		}
	}
}

func writeAll(path string, batch arrow.RecordBatch, opts WriterOptions) error {
	w, err := Create(path, batch.Schema(), opts)
	if err != nil {
		return err
	}
	defer w.Abort()
	if err := w.Write(batch); err != nil {
		return err
	}
	return w.Commit()
}

// TestEveryStepMayFail lets each durable step fail before and after its effect.
func TestEveryStepMayFail(t *testing.T) {
	refused := errors.New("refused")
	for _, c := range []struct {
		step  string
		done  bool
		there string // the file's content afterwards: before or after
	}{
		{"create", false, "before"}, {"create", true, "before"},
		{"sync", false, "before"}, {"sync", true, "before"},
		{"rename", false, "before"}, {"rename", true, "after"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "out.csv")
		if err := os.WriteFile(path, []byte("before"), 0o600); err != nil {
			t.Fatal(err)
		}
		err := writeAll(path, numbers(1), WriterOptions{Step: func(name string, done bool) error {
			if name == c.step && done == c.done {
				return refused
			}
			return nil
		}})
		got, _ := os.ReadFile(path)
		after := map[string]string{"before": "before", "after": "id,name\n0,\"\"\n"}[c.there]
		if !errors.Is(err, refused) || string(got) != after || files(t, dir) != "out.csv" {
			t.Errorf("%+v: %v, file %q, directory %s", c, err, got, files(t, dir))
		}
	}
}

func TestAbortRemovesTheFile(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(filepath.Join(dir, "out.parquet"), numbers(1).Schema(), WriterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(numbers(10)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if files(t, dir) != "" {
		t.Errorf("left %s", files(t, dir))
	}
	if err := w.Commit(); err == nil {
		t.Error("Commit after Abort succeeded")
	}
}

func TestPlacesThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	schema := numbers(1).Schema()
	for _, c := range []struct {
		path string
		kind error
		want string
	}{
		{filepath.Join(dir, "out.txt"), feature.ErrInvalid, Endings},
		{filepath.Join(dir, "missing", "out.csv"), feature.ErrNotFound, "there is no directory " + filepath.Join(dir, "missing")},
		{"/dev/null/out.csv", feature.ErrUnavailable, "/dev/null/out.csv"},
	} {
		_, err := Create(c.path, schema, WriterOptions{})
		if feature.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (%v)", c.path, err, feature.KindOf(err))
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "d.csv"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(filepath.Join(dir, "d.csv"), schema, WriterOptions{}); feature.KindOf(err) != feature.ErrInvalid {
		t.Errorf("a directory: %v", err)
	}
}

// TestDictionariesGrow writes batches whose dictionaries differ, as Parquet row groups bring them, as Arrow IPC.
func TestDictionariesGrow(t *testing.T) {
	typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	schema := arrow.NewSchema([]arrow.Field{{Name: "c", Type: typ, Nullable: true}}, nil)
	batch := func(json string) arrow.RecordBatch {
		column, _, err := array.FromJSON(memory.DefaultAllocator, typ, strings.NewReader(json))
		if err != nil {
			t.Fatal(err)
		}
		return array.NewRecordBatch(schema, []arrow.Array{column}, int64(column.Len()))
	}
	path := filepath.Join(t.TempDir(), "out.arrow")
	if err := WriteFile(path, schema, batch(`["b","a"]`), batch(`["c",null,"a"]`), batch(`["b"]`)); err != nil {
		t.Fatal(err)
	}
	r, err := OpenReader(path, ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for {
		b, err := r.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range int(b.NumRows()) {
			got = append(got, b.Column(0).ValueStr(i))
		}
	}
	if strings.Join(got, " ") != "b a c (null) a b" {
		t.Errorf("got %q", got)
	}
}

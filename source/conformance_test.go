package source

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/material"
	"github.com/asof-store/asof/internal/parquetio"
	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/parquet-testing.txt again from what the files give now")

// Every file of apache/parquet-testing gives what testdata/parquet-testing.txt says: rows, or an error that names the
// file. That the values are right is held against another reader in package parquetio.
func TestConformance(t *testing.T) {
	root := material.Path(t, "conformance/parquet-testing")
	var got strings.Builder
	for _, dir := range []string{"data", "data/aes256", "bad_data"} {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !e.IsDir() && strings.Contains(e.Name(), ".parquet") {
				file := dir + "/" + e.Name()
				fmt.Fprintf(&got, "%s\t%s\n", file, outcome(t, root, file))
			}
		}
	}
	golden := filepath.Join("testdata", "parquet-testing.txt")
	if *rewrite {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Error(diff)
	}
}

// outcome opens a file as a source and reads every column of it, each on its own. It returns the number of rows and
// of columns read, and why the others were not.
func outcome(t *testing.T, root, file string) string {
	f, err := parquetio.Open(filepath.Join(root, file))
	if err != nil {
		_, asSource := Inspect(context.Background(), Spec{Name: "s", Root: root, Glob: file, EventTime: "t"})
		if asSource == nil || !strings.Contains(asSource.Error(), err.Error()) {
			t.Errorf("%s: Inspect gives %v, Open %v", file, asSource, err)
		}
		return reason(t, file, err)
	}
	defer f.Close()
	event, columns := "", f.Columns()
	for _, c := range columns {
		if c.Type == feature.Scalar(feature.Timestamp) {
			event = c.Path
			break
		}
	}
	read, failed := 0, ""
	for _, c := range columns {
		if !c.Convertible {
			continue
		}
		n, err := readColumn(f, file, root, event, c)
		if err == nil {
			if read++; n != f.Rows() {
				t.Errorf("%s: %d rows of column %s, the metadata promises %d", file, n, c.Path, f.Rows())
			}
		} else if why := reason(t, file, err); failed == "" || strings.HasPrefix(why, "corrupt") {
			failed = "; " + why
		}
	}
	return fmt.Sprintf("%d rows, %d of %d columns%s", f.Rows(), read, len(columns), failed)
}

// readColumn reads a column through Read where the file has an event time, else from the file.
func readColumn(f *parquetio.File, file, root, event string, c parquetio.ColumnInfo) (rows int64, err error) {
	t := c.Type
	for k := feature.Bool; t.Kind == 0; k++ {
		if t = feature.Scalar(k); !c.ReadsAs(t) {
			t = feature.ListOf(k)
		}
	}
	if event != "" {
		spec := Spec{Name: "s", Root: root, Glob: file, EventTime: event, BadRows: BadRowsSkip}
		stats, err := Read(context.Background(), spec, Request{Range: always, Columns: []feature.Field{{Name: c.Path, Type: t}}}, func(b Batch) error {
			return nil
		})
		return stats.Rows + stats.Skipped, err
	}
	for g := range f.RowGroups() {
		a, err := f.Read(g, c.Path, t, nil)
		if err != nil {
			return 0, err
		}
		rows += int64(a.Len())
	}
	return rows, nil
}

// reason returns an error without the file's name, which it must have, and its kind.
func reason(t *testing.T, file string, err error) string {
	message := err.Error()
	i := strings.Index(message, file+": ")
	if i < 0 {
		t.Errorf("%s: the error does not name the file: %s", file, message)
		return message
	}
	if strings.Contains(message, "runtime error") {
		t.Errorf("%s: a panic within: %s", file, message)
	}
	return fmt.Sprintf("%v: %s", feature.KindOf(err), message[i+len(file)+2:])
}

package tabular_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/material"
	"github.com/asof-store/asof/internal/tabular"
)

// drain reads a file to its end and returns its rows.
func drain(path string) (rows int64, err error) {
	r, err := tabular.OpenReader(path, tabular.ReaderOptions{BatchRows: 1000})
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		b, err := r.Next(context.Background())
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows += b.NumRows()
	}
}

// TestDamagedFilesAreErrors cuts files short and flips their bits: rows or an error that names the file, never a panic, and
// a file cut short never passes for a shorter table.
func TestDamagedFilesAreErrors(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, ending := range []string{".parquet", ".arrow"} {
		batch := buildTable(t, damagedColumns())
		path := filepath.Join(dir, "whole"+ending)
		if err := tabular.WriteFile(path, batch.Schema(), batch, batch, batch); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		broken := filepath.Join(dir, "broken"+ending)
		check := func(what string, bytes []byte, mustFail bool) {
			t.Helper()
			if err := os.WriteFile(broken, bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			rows, err := drain(broken)
			if mustFail && err == nil {
				t.Errorf("%s, %s: %d rows and no error", ending, what, rows)
			}
			if err != nil && (feature.KindOf(err) != feature.ErrCorrupt || !strings.Contains(err.Error(), broken)) {
				t.Errorf("%s, %s: %v is of kind %v", ending, what, err, feature.KindOf(err))
			}
		}
		for n := 0; n < len(whole); n += max(1, len(whole)/100) {
			check("cut short", whole[:n], true)
		}
		for range 100 {
			flipped := append([]byte(nil), whole...)
			flipped[rng.IntN(len(flipped))] ^= 1 << rng.IntN(8)
			check("a bit flipped", flipped, false)
		}
	}
}

// damagedColumns is one of each kind: numbers, text, lists, structs.
func damagedColumns() (cases []columnCase) {
	for _, c := range columnCases() {
		switch c.name {
		case "int64", "text", "decimal", "micro", "list", "struct":
			cases = append(cases, c)
		}
	}
	return cases
}

func TestArrowStreamsAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stream.arrow")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	batch := buildTable(t, columnCases())
	w := ipc.NewWriter(f, ipc.WithSchema(batch.Schema()))
	for range 3 {
		if err := w.Write(batch); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if rows, err := drain(path); rows != 9 || err != nil {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestFilesThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, content string
		kind          error
		want          string
	}{
		{"spine.txt", "a\n1\n", feature.ErrInvalid, tabular.Endings},
		{"spine", "a\n1\n", feature.ErrInvalid, "names no table format"},
		{"none.parquet", "", feature.ErrCorrupt, "damaged"},
		{"text.parquet", "a,b\n1,2\n", feature.ErrCorrupt, "text.parquet"},
		{"text.arrow", "a,b\n1,2\n", feature.ErrCorrupt, "neither an Arrow IPC file nor a stream"},
		{"old.feather", "FEA1......", feature.ErrCorrupt, "Feather version 2"},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := drain(path)
		if feature.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v (%v)", c.name, err, feature.KindOf(err))
		}
	}
	if _, err := drain(filepath.Join(dir, "missing.csv")); feature.KindOf(err) != feature.ErrNotFound {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "d.csv"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := drain(filepath.Join(dir, "d.csv")); feature.KindOf(err) != feature.ErrInvalid {
		t.Errorf("a directory: %v", err)
	}
}

func TestReadingStopsWhenCancelled(t *testing.T) {
	batch := buildTable(t, columnCases())
	for _, ending := range []string{".parquet", ".csv", ".arrow"} {
		path := filepath.Join(t.TempDir(), "table"+ending)
		if err := tabular.WriteFile(path, batch.Schema(), batch); err != nil {
			t.Fatal(err)
		}
		r, err := tabular.OpenReader(path, tabular.ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.Next(ctx); err != context.Canceled {
			t.Errorf("%s: %v", ending, err)
		}
		r.Close()
	}
}

func TestFileHash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	content := strings.Repeat("asof", 1_000_000)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	want := sha256.Sum256([]byte(content))
	if got, err := tabular.FileHash(t.Context(), path); err != nil || got != hex.EncodeToString(want[:]) {
		t.Errorf("got %s, %v", got, err)
	}
}

// TestParquetTestingFiles reads every file of apache/parquet-testing: rows or an error that names the file.
func TestParquetTestingFiles(t *testing.T) {
	root := material.Path(t, "conformance/parquet-testing")
	read, refused := 0, 0
	for _, dir := range []string{"data", "bad_data"} {
		paths, err := filepath.Glob(filepath.Join(root, dir, "*.parquet"))
		if err != nil || len(paths) == 0 {
			t.Fatal(dir, err)
		}
		for _, path := range paths {
			rows, err := drain(path)
			switch {
			case err == nil:
				read++
			case !strings.Contains(err.Error(), path):
				t.Errorf("%s: the error does not name it: %v", path, err)
			default:
				refused++
				t.Logf("%s/%s: %d rows, then: %v", dir, filepath.Base(path), rows, err)
			}
		}
	}
	t.Logf("%d files read, %d refused", read, refused)
}

// FuzzParquet reads arbitrary bytes as a Parquet spine.
func FuzzParquet(f *testing.F) { fuzzFile(f, ".parquet") }

// FuzzArrow reads arbitrary bytes as an Arrow IPC spine.
func FuzzArrow(f *testing.F) { fuzzFile(f, ".arrow") }

func fuzzFile(f *testing.F, ending string) {
	batch := buildTable(f, columnCases()[:12])
	path := filepath.Join(f.TempDir(), "seed"+ending)
	if err := tabular.WriteFile(path, batch.Schema(), batch); err != nil {
		f.Fatal(err)
	}
	seed, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)/2])
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, bytes []byte) {
		path := filepath.Join(t.TempDir(), "spine"+ending)
		if err := os.WriteFile(path, bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := drain(path); err != nil && !strings.Contains(err.Error(), path) {
			t.Fatalf("the error does not name the file: %v", err)
		}
	})
}

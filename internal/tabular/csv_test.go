package tabular_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
)

// readCSV returns the rows of a CSV with <NULL> for NULL, and the places of its rows.
func readCSV(t testing.TB, text string, batchRows int) (rows [][]string, places []string, err error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spine.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := tabular.OpenReader(path, tabular.ReaderOptions{BatchRows: batchRows})
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	var names []string
	for _, f := range r.Schema().Fields() {
		names = append(names, f.Name)
	}
	rows = append(rows, names)
	for {
		batch, err := r.Next(context.Background())
		if err == io.EOF {
			return rows, places, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if batch.NumRows() == 0 || batchRows > 0 && batch.NumRows() > int64(batchRows) {
			t.Fatalf("a batch of %d rows, want 1 to %d", batch.NumRows(), batchRows)
		}
		for i := range int(batch.NumRows()) {
			row := make([]string, batch.NumCols())
			for j, c := range batch.Columns() {
				if row[j] = c.(*array.String).Value(i); c.IsNull(i) {
					row[j] = "<NULL>"
				}
			}
			rows, places = append(rows, row), append(places, strings.TrimPrefix(r.Where(i), filepath.Dir(path)+"/"))
		}
	}
}

func TestCSVIsRead(t *testing.T) {
	for _, c := range []struct{ name, text, want, places string }{
		{"plain", "a,b\n1,2\n3,4\n", "a|b;1|2;3|4", "spine.csv:2;spine.csv:3"},
		{"no line end at the end", "a,b\n1,2", "a|b;1|2", "spine.csv:2"},
		{"CRLF", "a,b\r\n1,2\r\n", "a|b;1|2", "spine.csv:2"},
		{"byte order mark", "\xef\xbb\xbfa,b\n1,2\n", "a|b;1|2", "spine.csv:2"},
		{"mark before a quote", "\xef\xbb\xbf\"a\",b\n1,2\n", "a|b;1|2", "spine.csv:2"},
		{"NULL and empty", "a,b\n,\"\"\n", "a|b;<NULL>|", "spine.csv:2"},
		{"last field empty", "a,b\n1,\n", "a|b;1|<NULL>", "spine.csv:2"},
		{"quotes", "a,b\n\"x, \"\"y\"\"\",z\n", "a|b;x, \"y\"|z", "spine.csv:2"},
		{"lines inside quotes stay as they are", "a,b\n\"1\r\n2\n\",3\n4,5\n", "a|b;1\r\n2\n|3;4|5", "spine.csv:2;spine.csv:5"},
		{"spaces and zeros stay", "a,b\n 1 ,007\n", "a|b; 1 |007", "spine.csv:2"},
		{"blank lines are no rows", "a,b\n\n1,2\n\n", "a|b;1|2", "spine.csv:3"},
		{"a blank line of one column is a NULL", "a\n1\n\n2\n", "a;1;<NULL>;2", "spine.csv:2;spine.csv:3;spine.csv:4"},
		{"header alone", "a,b\n", "a|b", ""},
		{"a column without a name", ",a\n0,1\n", "|a;0|1", "spine.csv:2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, places, err := readCSV(t, c.text, 1)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range rows {
				got = append(got, strings.Join(r, "|"))
			}
			if strings.Join(got, ";") != c.want || strings.Join(places, ";") != c.places {
				t.Errorf("got %q at %q, want %q at %q", got, places, c.want, c.places)
			}
		})
	}
}

func TestCSVFaultsNameTheLine(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "spine.csv: the file is empty: a CSV begins with a line of column names"},
		{"ragged, short", "a,b\n1,2\n3\n", "spine.csv:3: 1 fields, where the header has 2"},
		{"ragged, long", "a,b\n\"x\ny\",2\n1,2,3\n", "spine.csv:4: 3 fields, where the header has 2"},
		{"one name twice", "a,b,a\n", `spine.csv:1: columns 1 and 3 have one name, "a"`},
		{"open quote", "a,b\n1,2\n\"3,4\n5,6\n", "spine.csv:3: a quote that opens in this record is never closed"},
		{"quote inside", "a,b\nx\"y\"z,1\n", "spine.csv:2: field 1 has a quote inside"},
		{"text after a quote", "a,b\n1,\"x\"y\"\"\n", "spine.csv:2: field 2 goes on after its closing quote"},
		{"not UTF-8", "a,b\n1,\xff\n", "spine.csv:2: column b is not UTF-8"},
		{"UTF-16", "\xff\xfea\x00\n\x00", "spine.csv:1: column name 1 is not UTF-8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := readCSV(t, c.text, 0)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if feature.KindOf(err) != feature.ErrInvalid {
				t.Errorf("kind %v", feature.KindOf(err))
			}
		})
	}
}

// TestCSVAgreesWithStandardLibrary writes random tables with encoding/csv and reads them back.
func TestCSVAgreesWithStandardLibrary(t *testing.T) {
	field := rapid.StringOf(rapid.RuneFrom([]rune{'a', 'é', ',', '"', '\n', ' ', ';', '\t', '7'}))
	rapid.Check(t, func(rt *rapid.T) {
		columns := rapid.IntRange(2, 5).Draw(rt, "columns")
		rows := rapid.SliceOfN(rapid.SliceOfN(field, columns, columns), 0, 20).Draw(rt, "rows")
		header := []string{"a", "b", "c", "d", "e"}[:columns]
		var text bytes.Buffer
		w := csv.NewWriter(&text)
		w.UseCRLF = rapid.Bool().Draw(rt, "crlf") && !strings.Contains(strings.Join(flatten(rows), ""), "\n")
		if err := w.WriteAll(append([][]string{header}, rows...)); err != nil {
			rt.Fatal(err)
		}
		got, _, err := readCSV(t, text.String(), rapid.IntRange(1, 7).Draw(rt, "batch"))
		if err != nil {
			rt.Fatal(err)
		}
		for i, row := range append([][]string{header}, rows...) {
			for j, want := range row {
				if want == "" { // encoding/csv writes no quotes around it
					want = "<NULL>"
				}
				if got[i][j] != want {
					rt.Fatalf("row %d column %d: got %q, want %q in\n%s", i, j, got[i][j], want, text.String())
				}
			}
		}
	})
}

func flatten(rows [][]string) (all []string) {
	for _, r := range rows {
		all = append(all, r...)
	}
	return all
}

// FuzzCSV reads arbitrary bytes; what is read as a table is written and read again, and must be the same.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "\xef\xbb\xbfa\n\"\"\n\n", "a,b\r\n\"x\r\n\"\"\",\r\n", "a\n\"", "a,a\n", ",\n\"\",\"\"\n", "\"\xef\xbb\xbf\"\n1\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		first, _, err := readCSV(t, string(text), 3)
		if err != nil {
			if feature.KindOf(err) != feature.ErrInvalid || errors.Is(err, io.EOF) {
				t.Fatalf("%v is of kind %v", err, feature.KindOf(err))
			}
			return
		}
		a, b := filepath.Join(t.TempDir(), "a.csv"), filepath.Join(t.TempDir(), "b.csv")
		if err := os.WriteFile(a, text, 0o600); err != nil {
			t.Fatal(err)
		}
		copyTable(t, a, b)
		written, err := os.ReadFile(b)
		if err != nil {
			t.Fatal(err)
		}
		second, _, err := readCSV(t, string(written), 5)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, written, err)
		}
		if len(first) != len(second) {
			t.Fatalf("%q became %q: %d rows, then %d", text, written, len(first), len(second))
		}
		for i := range first {
			if strings.Join(first[i], "\x00") != strings.Join(second[i], "\x00") {
				t.Fatalf("%q became %q: row %d: %q, then %q", text, written, i, first[i], second[i])
			}
		}
	})
}

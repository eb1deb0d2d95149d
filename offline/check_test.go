package offline

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

// checkTable returns what Check finds in a view's table: faults, then remarks.
func checkTable(t tester, s *Store, v *feature.View) (faults, remarks []Finding) {
	t.Helper()
	done, err := s.Check(context.Background(), v, CheckOptions{}, func(f Finding) {
		if f.Remark {
			remarks = append(remarks, f)
		} else {
			faults = append(faults, f)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if done.Faults != len(faults) || done.Remarks != len(remarks) {
		t.Fatalf("%d faults and %d remarks were reported, it counts %+v", len(faults), len(remarks), done)
	}
	return faults, remarks
}

// sound fails the test when a view's table has faults, or files that belong to nobody.
func sound(t tester, s *Store, v *feature.View) {
	t.Helper()
	faults, remarks := checkTable(t, s, v)
	for _, f := range append(faults, remarks...) {
		t.Fatalf("%s: %s", f.Where, f.What)
	}
}

func TestCheckSound(t *testing.T) {
	for name, o := range map[string]Options{"large files": {}, "small files": smallFiles} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			s := openStore(t, dir, o)
			for i, run := range []func(*Store) (*Snapshot, error){first, second} {
				snapshot, err := run(s)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(snapshot.Tag(context.Background(), fmt.Sprint("tag", i)), snapshot.Close()); err != nil {
					t.Fatal(err)
				}
				sound(t, s, purchases())
			}
			snapshot, err := replace(s, wide(), commitFor(feature.Range{From: 1000, To: 1999}), wideRows(), 2)
			if err != nil {
				t.Fatal(err)
			}
			if err := snapshot.Close(); err != nil {
				t.Fatal(err)
			}
			sound(t, s, wide())
		})
	}
}

// resealed changes the text of the newest metadata version of the purchases, and gives it a checksum that is right.
func resealed(t *testing.T, s *Store, old, new string) {
	t.Helper()
	v, err := s.load(context.Background(), "purchases")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(v.location)
	if err != nil {
		t.Fatal(err)
	}
	content = content[:bytes.LastIndex(content, []byte(sealBegin))]
	changed := regexp.MustCompile(old).ReplaceAllString(string(content)+"}", new)
	if changed == string(content)+"}" {
		t.Fatalf("%s is not in %s", old, content)
	}
	if err := os.WriteFile(v.location, sealed([]byte(changed)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestCheckFinds breaks, with checksums that are right, what must hold: as a writer with a fault would.
func TestCheckFinds(t *testing.T) {
	for _, c := range []struct {
		name  string
		apply func(t *testing.T, s *Store)
		wants []string // of one fault
	}{
		{"watermark turned back", func(t *testing.T, s *Store) {
			resealed(t, s, `"asof.watermark-micros":"150"`, `"asof.watermark-micros":"98"`)
		},
			[]string{"snapshot ", "its watermark is ", "only a rebuild may turn it back"}},
		{"range beyond the watermark", func(t *testing.T, s *Store) { resealed(t, s, `"asof.to-micros":"150"`, `"asof.to-micros":"151"`) },
			[]string{"it replaced ", "does not lie within"}},
		{"rows beyond the watermark", func(t *testing.T, s *Store) {
			resealed(t, s, `"asof.watermark-micros":"150"`, `"asof.watermark-micros":"110"`)
		},
			[]string{"data/", ", row group ", ", column event_time", "are outside of ", "what is materialized"}},
		{"history cut off", func(t *testing.T, s *Store) {
			resealed(t, s, `"asof.start-micros":"0"(.*)"asof.start-micros":"0"`, `"asof.start-micros":"0"$1"asof.start-micros":"1"`)
		}, []string{"its history starts at ", "only a rebuild may cut it off"}},
		{"another definition", func(t *testing.T, s *Store) {
			resealed(t, s, `"asof.hash":"h1"(.*)"asof.hash":"h1"`, `"asof.hash":"h1"$1"asof.hash":"h2"`)
		},
			[]string{"its definition is h", "only a rebuild may change it"}},
		{"rows that nobody wrote", func(t *testing.T, s *Store) { resealed(t, s, `"asof.rows":"70"`, `"asof.rows":"71"`) },
			[]string{"its files have 70 rows in the range that it replaced, its run says to have written 71"}},
		{"total rows", func(t *testing.T, s *Store) { resealed(t, s, `"total-records":"110"`, `"total-records":"111"`) },
			[]string{"it says total-records: 111, and its manifests have 110"}},
		{"a range that was not replaced", func(t *testing.T, s *Store) {
			c := commitFor(feature.Range{From: 130, To: 150})
			c.Progress.Start = 0
			snapshot, err := replace(s, purchases(), c, nil, 1)
			if err := errors.Join(err, snapshot.Close()); err != nil {
				t.Fatal(err)
			}
			sound(t, s, purchases())
			resealed(t, s, `"asof.from-micros":"130"`, `"asof.from-micros":"100"`)
		}, []string{"data/", "it has event times in ", "has replaced "}},
		{"rows half inside", func(t *testing.T, s *Store) { resealed(t, s, `"asof.to-micros":"150"`, `"asof.to-micros":"80"`) },
			[]string{"data/", "which snapshot ", "all or none should"}},
		{"sequence numbers", func(t *testing.T, s *Store) { resealed(t, s, `"sequence-number":1,`, `"sequence-number":2,`) },
			[]string{"its sequence number is 2", "it should be greater"}},
		{"a data file of another size", func(t *testing.T, s *Store) { appendTo(t, s, "data/*.parquet") }, []string{"data/", ".parquet"}},
		{"a missing data file", func(t *testing.T, s *Store) { removeOne(t, s, "data/*.parquet") }, []string{"data/", "which its table refers to, is missing"}},
		{"a missing manifest", func(t *testing.T, s *Store) { removeOne(t, s, "metadata/*-m*.avro") }, []string{"metadata/", "no such file"}},
		{"a hint beyond", func(t *testing.T, s *Store) { writeOver(t, s, "metadata/version-hint.text", "3") },
			[]string{"metadata/version-hint.text", `it says "3" and the newest version is 2`, "write 2 into the file"}},
		{"a journal with a wrong line", func(t *testing.T, s *Store) {
			writeOver(t, s, lockFile, "pid 1 "+checksum([]byte("pid 1"))+"\nrun x 00000000\n")
		},
			[]string{lockFile, "a line does not match its checksum"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tempDir(t)
			prepareRuns(t, dir, 2)
			s := openStore(t, dir, smallFiles)
			sound(t, s, purchases())
			c.apply(t, s)
			faults, _ := checkTable(t, s, purchases())
			if !slices.ContainsFunc(faults, func(f Finding) bool {
				return !slices.ContainsFunc(c.wants, func(want string) bool { return !strings.Contains(f.Where+": "+f.What, want) })
			}) {
				t.Errorf("no fault with %q in %+v", c.wants, faults)
			}
		})
	}
}

func oneOf(t *testing.T, s *Store, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.tableDir("purchases"), pattern))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	return paths[0]
}

func appendTo(t *testing.T, s *Store, pattern string) {
	t.Helper()
	path := oneOf(t, s, pattern)
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(content, 0), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func removeOne(t *testing.T, s *Store, pattern string) {
	t.Helper()
	if err := os.Remove(oneOf(t, s, pattern)); err != nil {
		t.Fatal(err)
	}
}

func writeOver(t *testing.T, s *Store, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.tableDir("purchases"), name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// falseFile appends, with another engine's means, a file whose rows or statistics are not what they are said to be.
// keyValues go into its footer, and spoil, which may be nil, changes its bytes.
func falseFile(t *testing.T, s *Store, rows []row, change func(*parquetio.Stats), keyValues map[string]string, spoil func([]byte)) {
	t.Helper()
	columns, err := columnsOf("purchases", foreignTable(t, s).Schema())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.tableDir("purchases"), "data", "false.parquet")
	var out bytes.Buffer
	keyValues = maps.Clone(keyValues)
	keyValues[sortedBy] = sortedByASOF
	w := parquetio.NewWriter(&out, parquetColumns(columns, viewOrder(purchases())), parquetio.WriterOptions{RowGroupRows: 8, KeyValues: keyValues})
	if err := w.Write(batchOf(purchases(), rows)); err != nil {
		t.Fatal(err)
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	change(&stats)
	if spoil != nil {
		spoil(out.Bytes())
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	id := foreignTable(t, s).SortOrder().OrderID()
	df, err := dataFileOf(path, stats, columns, foreignTable(t, s).Spec(), &id)
	if err != nil {
		t.Fatal(err)
	}
	commitForeign(t, s, func(tx *table.Transaction) error {
		return tx.AddDataFiles(context.Background(), []iceberg.DataFile{df}, nil)
	})
}

// TestCheckFindsInFiles adds files that are not what is said of them.
func TestCheckFindsInFiles(t *testing.T) {
	good := sorted(purchases(), numbered(200, 220, 3))
	swapped := slices.Clone(good)
	swapped[9], swapped[10] = swapped[10], swapped[9]
	across := append(slices.Clone(good[8:16]), append(slices.Clone(good[:8]), good[16:]...)...)
	none := func(*parquetio.Stats) {}
	for _, c := range []struct {
		name   string
		rows   []row
		change func(*parquetio.Stats)
		want   string
	}{
		{"nothing wrong", good, none, ""},
		{"rows out of order", swapped, none, "data/false.parquet, row group 1: row 2 belongs before the one before it: rows should ascend by [customer_id event_time created_time]"},
		{"row groups out of order", across, none, "data/false.parquet, row group 1: row 0 belongs before the one before it"},
		{"more values", good, func(s *parquetio.Stats) { s.Columns[3].Values++ }, "data/false.parquet, column amount: values: the manifest says 21, and it is 20"},
		{"more NULLs", good, func(s *parquetio.Stats) { s.Columns[3].Nulls++ }, "data/false.parquet, column amount: NULLs: the manifest says 1, and it is 0"},
		{"lower bound", good, func(s *parquetio.Stats) { s.Columns[0].Min = []byte{1, 0, 0, 0, 0, 0, 0, 0} }, "column customer_id: least value: the manifest says 0100000000000000, and it is 0000000000000000"},
		{"upper bound", good, func(s *parquetio.Stats) { s.Columns[4].Max = []byte("shoq") }, "column shop: greatest value: the manifest says 73686f71, and it is 73686f70"},
		{"event times", good, func(s *parquetio.Stats) { s.Columns[1].Max = s.Columns[1].Min }, "column event_time: 7 event times are outside of "},
		{"rows", good, func(s *parquetio.Stats) { s.Rows-- }, "false.parquet has 20 rows in "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := tempDir(t)
			prepareRuns(t, dir, 1)
			s := openStore(t, dir, smallFiles)
			falseFile(t, s, c.rows, c.change, map[string]string{}, nil)
			faults, _ := checkTable(t, s, purchases())
			if c.want == "" && len(faults) > 0 || c.want != "" && !slices.ContainsFunc(faults, func(f Finding) bool { return strings.Contains(f.Where+": "+f.What, c.want) }) {
				t.Errorf("no fault with %q in %+v", c.want, faults)
			}
		})
	}
}

// lie changes the last two of old, which are bounds, to new in what lies before the checksums of a file or, for a footer, behind them, and makes the checksums right.
func lie(t *testing.T, b []byte, inFooter bool, old, new string) {
	t.Helper()
	footer := len(b) - 8 - int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	covered := int(binary.LittleEndian.Uint64(b[footer-20:]))
	part := b[:covered]
	if inFooter {
		part = b[footer:]
	}
	for range 2 {
		at := bytes.LastIndex(part, []byte(old))
		if at < 0 || covered > 4096 {
			t.Fatalf("%q is at %d, checksums at %d", old, at, covered)
		}
		copy(part[at:], new)
	}
	sum := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	binary.LittleEndian.PutUint32(b[covered:], sum(b[:covered]))
	binary.LittleEndian.PutUint32(b[footer-24:], sum(b[footer:]))
	binary.LittleEndian.PutUint32(b[footer-12:], sum(b[covered:footer-12]))
}

// TestCheckFindsLies has footers and indexes say what is not so.
func TestCheckFindsLies(t *testing.T) {
	rows := sorted(purchases(), numbered(200, 208, 3))
	for _, r := range rows {
		r[4] = "zebra"
	}
	for name, c := range map[string]struct {
		same  string // what the footer says of columns
		spoil func([]byte)
		want  string
	}{
		"nothing":         {"", nil, ""},
		"bound in footer": {"", func(b []byte) { lie(t, b, true, "zebra", "zebqa") }, "row group 0, column shop: its values are [zebra, zebra] and the footer says "},
		"bound in index":  {"", func(b []byte) { lie(t, b, false, "zebra", "zebqa") }, "row group 0, column shop, page 0: its values are [zebra, zebra] and the index says "},
		// The list of one number, field 5 of a column index, in Thrift's compact protocol.
		"NULLs in index":   {"", func(b []byte) { lie(t, b, false, "\x19\x16\x00", "\x19\x16\x02") }, "row group 0, column shop, page 0: 0 of 8 values are NULL and the index says 1 "},
		"the same columns": {`[{"created_time":"event_time"}]`, nil, "row group 0, column created_time: the footer says that it is the same as the column event_time, and it is not"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			prepareRuns(t, dir, 1)
			s := openStore(t, dir, smallFiles)
			keyValues := map[string]string{}
			if c.same != "" {
				keyValues["asof.same_columns"] = c.same
			}
			falseFile(t, s, rows, func(*parquetio.Stats) {}, keyValues, c.spoil)
			faults, _ := checkTable(t, s, purchases())
			if c.want == "" && len(faults) > 0 || c.want != "" && !slices.ContainsFunc(faults, func(f Finding) bool { return strings.Contains(f.Where+": "+f.What, c.want) }) {
				t.Errorf("no fault with %q in %+v", c.want, faults)
			}
		})
	}
}

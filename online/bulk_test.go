package online

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/asof-store/asof/feature"
)

func bulkDirectories(t testing.TB, path string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(path, bulkName+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func openBulkStore(t *testing.T, path string) *badgerKV {
	t.Helper()
	b, err := openBadger(path, false, quiet())
	if err != nil {
		t.Fatal(err)
	}
	b.bulkBytes = 1
	return b
}

// TestBulkOfManyTables loads more than a table holds, in pieces of all sizes, and reads it back, before and after a restart.
func TestBulkOfManyTables(t *testing.T) {
	const rows = 3000
	path := t.TempDir()
	b := openBulkStore(t, path)
	random := rand.New(rand.NewPCG(1, 2))
	ops := make([]Op, rows)
	for i := range ops {
		value := make([]byte, random.IntN(16<<10))
		for j := range value {
			value[j] = byte(random.Uint32())
		}
		ops[i] = Op{Key: fmt.Appendf(nil, "m%06d", 2*i), Value: value}
	}
	ops[7].Value = make([]byte, 2<<20) // more than Badger keeps beside a key
	l := b.Load([]byte("m"))
	for from := 0; from < rows; {
		to := min(rows, from+random.IntN(200))
		if err := l.Add(ops[from:to]); err != nil {
			t.Fatal(err)
		}
		from = to
	}
	if err := l.Commit(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if tables := len(b.snapshots.current.bulks[0].tables); tables < 3 {
			t.Errorf("%d tables", tables)
		}
		if err := b.View(func(r Reader) error {
			for i, op := range ops {
				if got, found, err := r.Get(nil, op.Key); !found || !bytes.Equal(got, op.Value) || err != nil {
					t.Errorf("key %s: %d bytes, %v, %v", op.Key, len(got), found, err)
				}
				if _, found, err := r.Get(nil, fmt.Appendf(nil, "m%06d", 2*i+1)); found || err != nil {
					t.Errorf("a key that is not there: %v, %v", found, err)
				}
			}
			next := rows / 3
			err := r.Iterate([]byte("m"), ops[next].Key, func(key, value []byte) (bool, error) {
				if !bytes.Equal(key, ops[next].Key) || !bytes.Equal(value, ops[next].Value) {
					t.Errorf("row %d has key %s and %d bytes", next, key, len(value))
				}
				next++
				return true, nil
			})
			if next != rows {
				t.Errorf("%d rows", next)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
		if err := b.Check(context.Background(), func(f Finding) { t.Error(f) }); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = openBulkStore(t, path)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestBulkGoes: the directory of a bulk goes with its last reader, and what a load leaves that does not end goes at once, or at the next start.
func TestBulkGoes(t *testing.T) {
	path := t.TempDir()
	b := openBulkStore(t, path)
	load := func(value string) Loader {
		l := b.Load([]byte("m"))
		if err := l.Add([]Op{{Key: []byte("m1"), Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
		return l
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(load("first").Commit())
	must(b.View(func(r Reader) error {
		must(b.DropPrefix([]byte("m"), func() {}))
		must(load("second").Commit())
		if got, found, err := r.Get(nil, []byte("m1")); string(got) != "first" || !found || err != nil {
			t.Errorf("while it is read: %q, %v, %v", got, found, err)
		}
		return nil
	}))
	must(b.snapshots.closing.Wait())
	if left := bulkDirectories(t, path); len(left) != 1 {
		t.Errorf("%v are left", left)
	}
	if got := contents(t, b, "", ""); fmt.Sprint(got) != "[m1=second]" {
		t.Error(got)
	}
	aborted := load("third")
	if left := bulkDirectories(t, path); len(left) != 2 {
		t.Errorf("%v while a load is under way", left)
	}
	must(aborted.Abort())
	if left := bulkDirectories(t, path); len(left) != 1 {
		t.Errorf("%v after an aborted load", left)
	}
	load("fourth")
	must(b.Close())
	reader, err := openBadger(path, true, quiet())
	must(err)
	if got := contents(t, reader, "", ""); fmt.Sprint(got) != "[m1=second]" || len(bulkDirectories(t, path)) != 2 {
		t.Errorf("one that only reads has %v in %v", got, bulkDirectories(t, path))
	}
	must(reader.Close())
	b = openBulkStore(t, path)
	if left := bulkDirectories(t, path); len(left) != 1 || b.lastBulk.Load() < 4 {
		t.Errorf("%v after a restart, the last number is %d", left, b.lastBulk.Load())
	}
	must(b.Close())
}

// TestLoadErrors: rows in any but ascending order, and under another prefix, are refused; what cannot be written fails the load, and leaves nothing.
func TestLoadErrors(t *testing.T) {
	path := t.TempDir()
	b := openBulkStore(t, path)
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, op := range map[string]Op{
		"the same key":   {Key: []byte("m5")},
		"a lesser key":   {Key: []byte("m4")},
		"another prefix": {Key: []byte("n")},
		"a deletion":     {Key: []byte("m6"), Delete: true},
	} {
		l := b.Load([]byte("m"))
		err := l.Add([]Op{{Key: []byte("m5"), Value: []byte("x")}, op})
		wantKind(t, err, feature.ErrInternal, "cannot be loaded after 6d35, under 6d")
		if err := l.Abort(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A file where the directory of the next bulk would be, and then one where its first table would be.
	next := bulkState{number: b.lastBulk.Load() + 1}.directory(path)
	if err := os.WriteFile(next, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	wantKind(t, b.Load([]byte("m")).Add([]Op{{Key: []byte("m1")}}), feature.ErrUnavailable, filepath.Base(next))
	l := b.Load([]byte("m"))
	err := l.Add([]Op{{Key: []byte("m1"), Value: []byte("x")}})
	next = bulkState{number: b.lastBulk.Load()}.directory(path)
	if err = errors.Join(err, os.WriteFile(filepath.Join(next, tableName(1)), nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	wantKind(t, l.Commit(), feature.ErrUnavailable, tableName(1))
	if err := l.Abort(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(next); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", next, err)
	}
	if got := contents(t, b, "", ""); len(got) > 0 {
		t.Error(got)
	}
}

// TestDamagedBulk: a bulk whose directory or a table of it is gone, and one with other rows than its record says, are damage.
func TestDamagedBulk(t *testing.T) {
	for name, damage := range map[string]func(directory string) error{
		"bulk-000001":    os.RemoveAll,
		"000002.sst":     func(directory string) error { return os.Remove(filepath.Join(directory, "000002.sst")) },
		"of its own, 23": nil,
	} {
		path := t.TempDir()
		b := openBulkStore(t, path)
		l := b.Load([]byte("m"))
		for i := range 20 {
			if err := l.Add([]Op{{Key: fmt.Appendf(nil, "m%02d", i), Value: make([]byte, 1<<20)}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Commit(); err != nil {
			t.Fatal(err)
		}
		if damage == nil {
			key := bulkKey([]byte("m"))
			s := b.snapshots.current.bulks[0].bulkState
			s.rows = 23
			name = "its tables have 20 rows, its record says 23"
			if err := b.Write([]Op{{Key: key, Value: encodeBulk(key, s)}}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if damage != nil {
			if err := damage(filepath.Join(path, "bulk-000001")); err != nil {
				t.Fatal(err)
			}
		}
		_, err := openBadger(path, false, quiet())
		wantNamed(t, err, name, name)
	}
}

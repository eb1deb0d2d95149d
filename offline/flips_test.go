package offline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asof-store/asof/feature"
)

// damagedStore is a small warehouse whose files are damaged one at a time: a latest-value view with every kind of column, dictionaries, NULLs
// and a tag, and a windowed one, each in several commits, files, row groups and pages.
type damagedStore struct {
	dir   string
	views []*feature.View
	tags  map[string]int64
	rows  string            // what readEverything gives
	files map[string][]byte // by path
}

// flipFiles makes files of a few row groups and pages.
var flipFiles = Options{FileBytes: 8 << 10, RowGroupRows: 30, PageRows: 10}

// tiles is a windowed view.
func tiles() *feature.View {
	v := &feature.View{Name: "tiles", Hash: "h1", Keys: purchases().Keys, Granularity: time.Hour,
		States: []feature.Field{{Name: "rows__count", Type: feature.Scalar(feature.Int64)}, {Name: "amount__sum", Type: feature.Scalar(feature.Float64)},
			{Name: "amount__max", Type: feature.Scalar(feature.Float64)}, {Name: "shop__hll_14", Type: feature.Scalar(feature.Bytes)}}}
	return v
}

func newDamagedStore(t *testing.T) *damagedStore {
	t.Helper()
	d := &damagedStore{dir: tempDir(t), views: []*feature.View{wide(), tiles()}, tags: map[string]int64{}, files: map[string][]byte{}}
	s := openStore(t, d.dir, flipFiles)
	for i, rng := range []feature.Range{{From: 0, To: 99}, {From: 60, To: 140}} {
		for _, v := range d.views {
			c := commitFor(rng)
			c.Progress.Start, c.Progress.Hash = 0, v.Hash
			snapshot, err := replace(s, v, c, flipRows(v, rng, i), 7)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				d.tags[v.Name] = snapshot.ID()
				err = snapshot.Tag(context.Background(), "set")
			}
			if err := errors.Join(err, snapshot.Close()); err != nil {
				t.Fatal(err)
			}
			sound(t, s, v)
		}
	}
	err := filepath.WalkDir(d.dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != lockFile {
			d.files[path], err = os.ReadFile(path)
		}
		return err
	})
	if err == nil {
		d.rows, err = d.readEverything()
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// flipRows returns a row for each instant of a range.
func flipRows(v *feature.View, rng feature.Range, run int) []row {
	var rows []row
	for t := rng.From; t <= rng.To; t++ {
		n := int(t)
		if v.Windowed() {
			sketch := any(bytes.Repeat([]byte{byte(n), 3}, n%20))
			if n%3 == 0 {
				sketch = nil
			}
			rows = append(rows, row{int64(n % 7), t, int64(1), float64(n) / 7, float64(n) / 7, sketch})
			continue
		}
		r := slices.Clone(wideRows()[n%3])
		r[3], r[4], r[6], r[7] = int64(n%4), int32(n), t, t+feature.Time(run)
		rows = append(rows, r)
	}
	return rows
}

// readEverything returns a digest of all rows of the current and the tagged snapshots.
func (d *damagedStore) readEverything() (string, error) {
	ctx := context.Background()
	s, err := Open(ctx, d.dir, flipFiles)
	if err != nil {
		return "", err
	}
	digest := fnv.New128a()
	for _, v := range d.views {
		current, err1 := s.Snapshot(ctx, v.Name)
		tagged, err2 := s.SnapshotAt(ctx, v.Name, d.tags[v.Name])
		if err := errors.Join(err1, err2); err != nil {
			return "", err
		}
		for _, snapshot := range []*Snapshot{current, tagged} {
			fmt.Fprintf(digest, "%+v %v\n", snapshot.Progress(), snapshot.Keys())
			if err := errors.Join(digestRows(digest, snapshot, v), snapshot.Close()); err != nil {
				return "", err
			}
		}
	}
	return string(digest.Sum(nil)), nil
}

// digestRows reads all columns, whole and a few rows from the middle, which jumps over pages.
func digestRows(digest interface{ Write([]byte) (int, error) }, s *Snapshot, v *feature.View) error {
	ctx := context.Background()
	runs, err := s.Runs(ctx)
	if err != nil {
		return err
	}
	for _, r := range runs {
		fmt.Fprintln(digest, r.Events(), r.Pages())
		for _, spans := range [][]Span{nil, {{From: r.Rows() / 2, To: r.Rows()/2 + 1}}} {
			columns, err := r.Read(ctx, fieldNames(v.Columns()), spans)
			if err != nil {
				return err
			}
			for _, c := range columns {
				for i := range c.Len() {
					fmt.Fprintln(digest, valueOf(c, i))
				}
			}
		}
	}
	return nil
}

// try damages a file, and fails the test unless reading everything tells of it, by a kind and a name, or gives what it gave before; and
// unless a check finds it.
func (d *damagedStore) try(t *testing.T, path, what string, damaged []byte) {
	original := d.files[path]
	if bytes.Equal(original, damaged) {
		return
	}
	if err := os.WriteFile(path, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.WriteFile(path, original, 0o644); err != nil {
			t.Fatal(err)
		}
	}()
	what = filepath.Base(path) + ": " + what
	rows, err := d.readEverything()
	switch kind := feature.KindOf(err); {
	case err == nil && rows != d.rows:
		t.Errorf("%s: other rows are read", what)
	case err != nil && kind != feature.ErrCorrupt:
		t.Errorf("%s: %v: %v", what, kind, err)
	case err != nil && (!strings.Contains(err.Error(), filepath.Base(path)) || strings.Contains(err.Error(), "runtime error")):
		t.Errorf("%s: the error names no file: %v", what, err)
	}
	if n, err := strconv.Atoi(string(damaged)); filepath.Base(path) == "version-hint.text" && err == nil && n >= 1 && n <= 4 {
		return // an older version, from which other engines look further
	}
	found := err != nil
	for _, v := range d.views {
		if !strings.Contains(path, "/"+v.Name+"/") {
			continue
		}
		faults, _ := checkTable(t, openStore(t, d.dir, flipFiles), v)
		for _, f := range faults {
			found = found || strings.Contains(f.Where+f.What, filepath.Base(path))
		}
		if len(faults) == 0 || !found {
			t.Errorf("%s: a check finds %+v", what, faults)
		}
	}
}

// damages yields damages of a file's content: a flipped bit in up to `flips` of its bytes, drawn at random, cuts, and zeros.
func damages(random *rand.Rand, content []byte, flips int, try func(what string, damaged []byte)) {
	for _, at := range random.Perm(len(content))[:min(flips, len(content))] {
		bit := random.IntN(8)
		damaged := bytes.Clone(content)
		damaged[at] ^= 1 << bit
		try(fmt.Sprintf("bit %d of byte %d of %d flipped", bit, at, len(content)), damaged)
	}
	for _, cut := range []int{0, 1, len(content) / 3, len(content) - 9, len(content) - 1} {
		try(fmt.Sprintf("cut to %d bytes of %d", cut, len(content)), content[:max(0, cut)])
	}
	for _, size := range []int{8, 512, 4096} {
		from := random.IntN(len(content))
		damaged := bytes.Clone(content)
		clear(damaged[from:min(from+size, len(damaged))])
		try(fmt.Sprintf("zeros from byte %d, %d of them", from, size), damaged)
	}
}

// TestDamage flips bits in, cuts and blanks each file of a warehouse: nobody ever reads other rows, whoever reads or checks is told of the file.
// TestEveryBit of this package and of parquetio flip every one.
func TestDamage(t *testing.T) {
	const flips = 150 // of each file: some 10 s; more do not find more
	seed := rand.Uint64()
	var wait sync.WaitGroup
	for worker := range 2 {
		d := newDamagedStore(t)
		random := rand.New(rand.NewPCG(seed, uint64(worker)))
		wait.Go(func() {
			for path, content := range d.files {
				damages(random, content, flips/2, func(what string, damaged []byte) { d.try(t, path, what, damaged) })
			}
		})
	}
	wait.Wait()
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

package offline

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
	rows  map[string]string // what read gives, by view
	files map[string][]byte // by path
}

// flipFiles makes files of a few row groups and pages.
var flipFiles = Options{FileBytes: 8 << 10, RowGroupRows: 20, PageRows: 7}

// mixed is a view with columns of all encodings.
func mixed() *feature.View {
	return &feature.View{Name: "mixed", Hash: "h1", HasCreatedTime: true, Keys: []feature.Field{{Name: "country", Type: feature.Scalar(feature.String)}, {Name: "id", Type: feature.Scalar(feature.Int64)}},
		Features: features("amount", feature.Scalar(feature.Float64), "shop", feature.Scalar(feature.String), "scores", feature.ListOf(feature.Float32),
			"code", feature.Scalar(feature.Bytes), "abroad", feature.Scalar(feature.Bool))}
}

// tiles is a windowed view.
func tiles() *feature.View {
	v := &feature.View{Name: "tiles", Hash: "h1", Keys: purchases().Keys, Granularity: time.Hour,
		States: []feature.Field{{Name: "rows__count", Type: feature.Scalar(feature.Int64)}, {Name: "amount__sum", Type: feature.Scalar(feature.Float64)},
			{Name: "amount__max", Type: feature.Scalar(feature.Float64)}, {Name: "shop__hll_14", Type: feature.Scalar(feature.Bytes)}}}
	return v
}

func newDamagedStore(t *testing.T) *damagedStore {
	t.Helper()
	d := &damagedStore{dir: tempDir(t), views: []*feature.View{mixed(), tiles()}, tags: map[string]int64{}, rows: map[string]string{}, files: map[string][]byte{}}
	s := openStore(t, d.dir, flipFiles)
	for i, rng := range []feature.Range{{From: 0, To: 49}, {From: 30, To: 69}} {
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
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range d.views {
		if d.rows[v.Name], err = d.read(v); err != nil {
			t.Fatal(err)
		}
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
		r := row{[]string{"DE", "PL"}[n%2], int64(n % 5), t, t + feature.Time(run), float64(n) / 3, "shop " + strconv.Itoa(n%4), []any{float32(n), float32(1)}, []byte{byte(n), 0}, n%3 == 0}
		if n%4 == 0 {
			r[4], r[5], r[6], r[8] = nil, nil, []any{}, nil
		}
		rows = append(rows, r)
	}
	return rows
}

// read returns a digest of all rows of a view's current and tagged snapshots.
func (d *damagedStore) read(v *feature.View) (string, error) {
	ctx := context.Background()
	s, err := Open(ctx, d.dir, flipFiles)
	if err != nil {
		return "", err
	}
	digest := fnv.New128a()
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
		fmt.Fprintln(digest, r.Events()) // pages are not known where their index is damaged, and then all are read
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
		t.Error(err)
	}
	name := filepath.Base(path)
	v := d.views[slices.IndexFunc(d.views, func(v *feature.View) bool { return strings.Contains(path, "/"+v.Name+"/") })]
	rows, err := d.read(v)
	switch kind := feature.KindOf(err); {
	case err == nil && rows != d.rows[v.Name]:
		t.Errorf("%s: %s: other rows are read", name, what)
	case err != nil && kind != feature.ErrCorrupt:
		t.Errorf("%s: %s: %v: %v", name, what, kind, err)
	case err != nil && (!strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "runtime error")):
		t.Errorf("%s: %s: the error names no file: %v", name, what, err)
	}
	faults, _ := checkTable(t, openStore(t, d.dir, flipFiles), v)
	found := slices.ContainsFunc(faults, func(f Finding) bool { return strings.Contains(f.Where+f.What, name) })
	n, err := strconv.Atoi(string(damaged)) // a version before the current one is where other engines look further from
	if behind := name == "version-hint.text" && err == nil && n >= 1; !found && !behind {
		t.Errorf("%s: %s: a check finds %+v", name, what, faults)
	}
	if err := os.WriteFile(path, original, 0o644); err != nil {
		t.Error(err)
	}
}

// damages yields damages of a file's content: a flipped bit in so many of its bytes, drawn at random, or in all; cuts; and zeros.
func damages(random *rand.Rand, content []byte, flips int, try func(what string, damaged []byte)) {
	for _, at := range random.Perm(len(content))[:min(flips, len(content))] {
		bit := random.IntN(8)
		damaged := bytes.Clone(content)
		damaged[at] ^= 1 << bit
		try(fmt.Sprintf("bit %d of byte %d of %d flipped", bit, at, len(content)), damaged)
	}
	for _, cut := range []int{0, len(content) / 3, len(content) - 9, len(content) - 1} {
		try(fmt.Sprintf("cut to %d bytes of %d", cut, len(content)), content[:max(0, cut)])
	}
	for _, size := range []int{8, 4096} {
		from := random.IntN(len(content))
		damaged := bytes.Clone(content)
		clear(damaged[from:min(from+size, len(damaged))])
		try(fmt.Sprintf("zeros from byte %d, %d of them", from, size), damaged)
	}
}

// The tests of damage draw this many bytes of each file; more: go test ./offline -run Damage -damage.flips=1000
var damageFlips = flag.Int("damage.flips", 16, "bits to flip in each file")

// TestDamage flips bits in, cuts and blanks each file of a warehouse: nobody ever reads other rows, and whoever reads or checks is told of the
// file. TestEveryByteIsChecked flips bits in all bytes, file by file.
func TestDamage(t *testing.T) {
	seed := rand.Uint64()
	d := newDamagedStore(t)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, path := range slices.Sorted(maps.Keys(d.files)) {
		damages(random, d.files[path], *damageFlips, func(what string, damaged []byte) { d.try(t, path, what, damaged) })
	}
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
}

// TestEveryBitIsChecked flips every bit of a metadata version and of a manifest: each flip is found before anything is taken from the file.
func TestEveryBitIsChecked(t *testing.T) {
	metadata := sealed([]byte(`{"format-version":2,"table-uuid":"x"}`))
	if ours, err := checkSeal(metadata); err != nil || !ours {
		t.Fatal(ours, err)
	}
	manifest := []byte("not so long a manifest")
	sum := checksum(manifest)
	for name, c := range map[string]struct {
		content []byte
		check   func() error
	}{
		"metadata": {metadata, func() error { _, err := checkSeal(metadata); return err }},
		"manifest": {manifest, func() error {
			_, err := openChecked(memoryFile{Reader: bytes.NewReader(manifest)}, "m.avro", sum)
			return err
		}},
	} {
		for at := range 8 * len(c.content) {
			c.content[at/8] ^= 1 << (at % 8)
			if err := c.check(); !errors.Is(err, feature.ErrCorrupt) {
				t.Errorf("%s, bit %d: %v", name, at, err)
			}
			c.content[at/8] ^= 1 << (at % 8)
		}
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, foreign := range []string{"", "{}", `{"format-version":2,"location":"of another engine, which writes no checksum"}`, "{\n  \"format-version\" : 2\n}"} {
		if ours, err := checkSeal([]byte(foreign)); err != nil || ours {
			t.Errorf("%q: %v, %v", foreign, ours, err)
		}
	}
}

// TestDamagedJournal flips a bit in every byte of the journals of a run that has died after its commit and of one that died before. Whoever gets
// the lock next removes no committed file, and of the other files only what is listed in lines that are right.
func TestDamagedJournal(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for _, step := range []string{stepHint, stepCommit} {
		dir := tempDir(t)
		s := openStore(t, dir, Options{})
		if _, err := first(s); err != nil {
			t.Fatal(err)
		}
		journal, listed := deadJournal(t, dir, step)
		there := namesIn(t, s)
		for at := range journal {
			damaged := bytes.Clone(journal)
			damaged[at] ^= 1 << random.IntN(8)
			gone := namesAfter(t, s, there, damaged)
			if _, right := journalLines(damaged); !right {
				if faults, _ := checkTable(t, s, purchases()); len(gone) > 0 || len(faults) > 0 {
					t.Fatalf("%s, byte %d, seed %d: %q are gone, a check finds %+v", step, at, seed, gone, faults)
				}
			}
			for _, path := range gone {
				if listed[path] == nil || step == stepHint && !strings.HasSuffix(path, tmpSuffix) {
					t.Fatalf("%s, byte %d, seed %d: %s is gone", step, at, seed, path)
				}
				if err := os.WriteFile(path, listed[path], 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		lines, _ := journalLines(journal)
		old := []byte(strings.Join(lines, "\n") + "\n") // of an asof that wrote no checksums
		for _, journal := range [][]byte{journal, old} {
			gone := namesAfter(t, s, there, journal)
			if step == stepCommit && len(gone) != len(listed) {
				t.Errorf("by the journal %q %q are gone, not the %d that it lists", journal, gone, len(listed))
			}
			for _, path := range gone {
				if err := os.WriteFile(path, listed[path], 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// deadJournal returns the journal of a process that dies in the second run, before the given step, and the files that it lists, which are there.
func deadJournal(t *testing.T, dir, step string) (journal []byte, listed map[string][]byte) {
	t.Helper()
	broken := errors.New("broken on purpose")
	listed = map[string][]byte{}
	s := openStore(t, dir, Options{})
	table := s.tableDir("purchases")
	s.opts.Step = func(name string, done bool) (err error) {
		if name != step || done {
			return nil
		}
		if journal, err = os.ReadFile(filepath.Join(table, lockFile)); err != nil {
			t.Fatal(err)
		}
		lines, _ := journalLines(journal)
		for _, line := range lines {
			if name, ok := strings.CutPrefix(line, "file "); ok {
				path := filepath.Join(table, name)
				if listed[path], err = os.ReadFile(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		return broken
	}
	if _, err := second(s); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	for path, content := range listed {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return journal, listed
}

// namesAfter lets a run begin and end where a journal lies, and returns which files are gone then.
func namesAfter(t *testing.T, s *Store, there []string, journal []byte) (gone []string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.tableDir("purchases"), lockFile), journal, 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := s.startRun(context.Background(), "purchases", "next")
	if err == nil {
		err = r.end(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	now := namesIn(t, s)
	for _, path := range there {
		if !slices.Contains(now, path) {
			gone = append(gone, path)
		}
	}
	return gone
}

// namesIn returns the names of the files of the purchases.
func namesIn(t *testing.T, s *Store) (names []string) {
	t.Helper()
	for _, pattern := range []string{"data/*", "metadata/*"} {
		found, err := filepath.Glob(filepath.Join(s.tableDir("purchases"), pattern))
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	return names
}

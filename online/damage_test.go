package online

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
)

// image is what the files of a store hold. Zeros at a file's end, which Badger has plenty of, are not kept.
type image map[string]imageFile

type imageFile struct {
	content []byte
	size    int64
}

func readImage(t *testing.T, path string) image {
	t.Helper()
	files := image{}
	err := fs.WalkDir(os.DirFS(path), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(path, name))
		files[name] = imageFile{bytes.Clone(bytes.TrimRight(content, "\x00")), int64(len(content))}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// write makes path a directory of these files, the named one with other content.
func (i image) write(t *testing.T, path, name string, other imageFile) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	for n, f := range i {
		if n == name {
			f = other
		}
		file := filepath.Join(path, n)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, f.content, 0o666), os.Truncate(file, f.size)); err != nil {
			t.Fatal(err)
		}
	}
}

const damagedKeys = 90

// damagedViews are a view of latest values of all kinds, and one of windows.
func damagedViews() []*feature.View {
	keys := []feature.Field{{Name: "customer_id", Type: feature.Scalar(feature.Int64)}}
	latest := &feature.View{Name: "latest", Online: true, Hash: "l1", Keys: keys, HasCreatedTime: true}
	for _, f := range []feature.Field{
		{Name: "age", Type: feature.Scalar(feature.Int64)}, {Name: "city", Type: feature.Scalar(feature.String)},
		{Name: "words", Type: feature.ListOf(feature.String)}, {Name: "vector", Type: feature.ListOf(feature.Float32)},
	} {
		latest.Features = append(latest.Features, feature.Feature{Field: f})
	}
	windows := &feature.View{Name: "windows", Online: true, Hash: "w1", Keys: keys}
	for _, name := range []string{"amount_sum_1d", "amount_sum_7d"} {
		windows.Features = append(windows.Features, feature.Feature{Field: feature.Field{Name: name, Type: feature.Scalar(feature.Float64)}})
	}
	return []*feature.View{latest, windows}
}

// publishDamaged publishes version 1, 2, ... of the views, the first anew and the others in place.
func publishDamaged(t *testing.T, s *Store, version int64) {
	t.Helper()
	views, event := damagedViews(), feature.Time(version)*hour
	state := State{Snapshot: version, Watermark: event + hour, Horizon: event}
	publish(t, s, views[0], version == 1, state, func(p *Publish) error {
		for id := int64(0); id < damagedKeys; id += version {
			city := any(strings.Repeat("Rome ", int(id%7)))
			if id == 42 { // larger than what Badger keeps beside the key
				city = strings.Repeat("Rome ", 230_000)
			}
			values := []any{id * version, city, []string{"a", fmt.Sprint(id)}, []float32{float32(id), 0.5}}
			if id%5 == 0 {
				values[id%4] = nil
			}
			r := row(t, views[0], event, values...)
			r.Created = event + 1
			if err := p.Replace(key(id), r); err != nil {
				return err
			}
		}
		return nil
	})
	publish(t, s, views[1], version == 1, state, func(p *Publish) error {
		for id := range int64(damagedKeys) {
			if err := p.Replace(key(id), row(t, views[1], event, float64(id)/3, float64(id*version))); err != nil {
				return err
			}
		}
		return nil
	})
}

// answers returns what is read of each key, or an error; it fails the test over errors that are not as they should be.
func answers(t *testing.T, s *Store, what string) (all []string, damaged bool) {
	t.Helper()
	for _, v := range damagedViews() {
		features := make([]int, len(v.Features))
		for i := range features {
			features[i] = i
		}
		for id := range int64(damagedKeys + 1) {
			columns, err := s.Get(context.Background(), v, features, []feature.Key{key(id)}, 0)
			if err != nil {
				wantNamed(t, err, what, "")
				all, damaged = append(all, ""), true
				continue
			}
			all = append(all, fmt.Sprint(show(columns)))
		}
	}
	return all, damaged
}

// wantNamed fails the test unless err is one over damage, names what is damaged, and says what to do.
func wantNamed(t *testing.T, err error, what, name string) {
	t.Helper()
	if feature.KindOf(err) != feature.ErrCorrupt || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), adviceFull) {
		t.Fatalf("%s: %v", what, err)
	}
}

// damageStore is one store, and what it answers.
type damageStore struct {
	files image
	want  []string
	path  string
	last  int64 // the version that was published last
}

// closedStore was closed; killedStore has tables, a log that was never read, and a value log; loadedStore has bulks, and a log of what came after them.
func closedStore(t *testing.T) damageStore { return newDamageStore(t, false, 0) }
func killedStore(t *testing.T) damageStore { return newDamageStore(t, true, 0) }
func loadedStore(t *testing.T) damageStore { return newDamageStore(t, true, 1) }

func damageStores(t *testing.T) map[string]damageStore {
	return map[string]damageStore{"closed": closedStore(t), "killed": killedStore(t), "loaded": loadedStore(t)}
}

func newDamageStore(t *testing.T, killed bool, bulkBytes int64) damageStore {
	path := filepath.Join(t.TempDir(), "online")
	d := damageStore{path: path, last: 1}
	s, err := Open(path, Options{Logger: quiet(), BulkBytes: bulkBytes})
	if err != nil {
		t.Fatal(err)
	}
	publishDamaged(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(path, Options{Logger: quiet()}); err != nil { // which begins another value log
		t.Fatal(err)
	}
	if killed {
		publishDamaged(t, s, 2)
		d.last = 2
		d.files = readImage(t, path) // as kill -9 would leave it
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !killed {
		d.files = readImage(t, path)
	}
	d.files.write(t, path, "", imageFile{})
	s = openTemp(t, path, Options{})
	var damaged bool
	if d.want, damaged = answers(t, s, "undamaged"); damaged {
		t.Fatal("the store is damaged")
	}
	if found := findings(t, s, damagedViews()); len(found) > 0 {
		t.Fatal(found)
	}
	d.path = filepath.Join(t.TempDir(), "online")
	return d
}

func findings(t *testing.T, s *Store, views []*feature.View) (found []string) {
	t.Helper()
	if err := s.Check(context.Background(), views, func(f Finding) {
		kind := ""
		if f.Remark {
			kind = "remark: "
		}
		found = append(found, kind+f.Where+": "+f.What)
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// try opens the store with one file damaged, looks up all keys and checks it. It reports whether the damage was found; what is not
// found has to be harmless. cut tells that writes may be gone which a crash could have kept from the disk too: then the
// state has to say so.
func (d damageStore) try(t *testing.T, name string, bad imageFile, what string, cut bool) (found bool) {
	t.Helper()
	d.files.write(t, d.path, name, bad)
	what = name + ", " + what
	s, err := Open(d.path, Options{Logger: quiet()})
	if err != nil {
		wantNamed(t, err, what, name)
		return true
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}()
	got, damaged := answers(t, s, what)
	notes := findings(t, s, damagedViews())
	if damaged && len(notes) == 0 {
		t.Fatalf("%s: a lookup failed, and Check finds nothing", what)
	}
	for i := range got {
		if got[i] == "" || got[i] == d.want[i] {
			continue
		}
		view := damagedViews()[i/(damagedKeys+1)].Name
		state, known, err := s.State(view)
		if err != nil {
			t.Fatal(err)
		}
		if !cut || (known && state.Snapshot == d.last && !state.Unfinished) {
			t.Fatalf("%s: answer %d of view %s is %s, want %s; its state is %+v", what, i, view, got[i], d.want[i], state)
		}
	}
	return damaged || len(notes) > 0
}

// TestBitFlips flips bits of each file of a store. Each is found and named, or harmless: never a wrong answer, never NOT_FOUND for a
// key that is there, never a panic.
func TestBitFlips(t *testing.T) {
	for name, d := range damageStores(t) {
		t.Run(name, func(t *testing.T) {
			for file, f := range d.files {
				random := rand.New(rand.NewPCG(1, uint64(len(f.content))))
				places := flipped(random, file, f)
				found := 0
				for _, at := range places {
					bit := random.IntN(8)
					bad := imageFile{bytes.Clone(f.content), f.size}
					if at >= len(bad.content) {
						bad.content = append(bad.content, make([]byte, at+1-len(bad.content))...)
					}
					bad.content[at] ^= 1 << bit
					if d.try(t, file, bad, fmt.Sprintf("bit %d of byte %d", bit, at), false) {
						found++
					}
				}
				t.Logf("%s: %d of %d found", file, found, len(places))
				if ext := filepath.Ext(file); (ext == ".sst" || ext == ".mem" || file == "MANIFEST") && found < len(places)-1 {
					t.Errorf("%s: only %d of %d were found", file, found, len(places))
				}
			}
		})
	}
}

// flipped returns bytes of a file to flip bits in.
func flipped(random *rand.Rand, name string, f imageFile) (places []int) {
	every, more := 0, 5 // the first bytes, and random ones
	switch filepath.Ext(name) {
	case ".sst", ".mem": // for all their bytes see TestTableFlips and TestLogFlips
		more = 20
	case ".vlog":
		every = min(len(f.content), 36)
	case "":
		if name == "MANIFEST" {
			every, more = len(f.content), 0
		}
	}
	for at := range every {
		places = append(places, at)
	}
	for range more {
		places = append(places, random.IntN(max(len(f.content), 1)))
	}
	return places
}

// TestCutAndZeroed cuts each file, and fills blocks of it with zeros as a file system does that has lost them.
func TestCutAndZeroed(t *testing.T) {
	const block = 4096
	for name, d := range damageStores(t) {
		t.Run(name, func(t *testing.T) {
			for file, f := range d.files {
				logged := strings.HasSuffix(file, ".mem")
				random := rand.New(rand.NewPCG(2, uint64(len(f.content))))
				cuts := []int{0, 1, 16, 20, 21, len(f.content) - 1}
				for range 2 {
					cuts = append(cuts, random.IntN(len(f.content)+1))
				}
				for _, cut := range cuts {
					if int64(cut) < f.size && cut >= 0 && cut <= len(f.content) {
						d.try(t, file, imageFile{f.content[:cut], int64(cut)}, fmt.Sprintf("cut at %d", cut), logged)
					}
				}
				for at := 0; at < len(f.content); at += block * max(1, len(f.content)/block/6) {
					bad := imageFile{bytes.Clone(f.content), f.size}
					clear(bad.content[at:min(at+block, len(bad.content))])
					found := d.try(t, file, bad, fmt.Sprintf("zeros at %d", at), logged)
					if filepath.Ext(file) == ".sst" && !found {
						t.Errorf("%s, zeros at %d: not found", file, at)
					}
				}
			}
		})
	}
}

// TestTableFlips flips a bit in every byte of a table, and cuts it everywhere.
func TestTableFlips(t *testing.T) {
	for name, f := range closedStore(t).files {
		if filepath.Ext(name) != ".sst" {
			continue
		}
		check := func(table []byte) error {
			_, err := checkTable(bytes.NewReader(table), int64(len(table)))
			return err
		}
		if err := check(f.content); err != nil {
			t.Error(err)
		}
		size := int64(len(f.content))
		end, _, _ := lastPart(bytes.NewReader(f.content), size)
		index, _, _ := lastPart(bytes.NewReader(f.content), end)
		if check(slices.Insert(bytes.Clone(f.content), int(index), 7)) == nil {
			t.Error("a byte between blocks and index is not found")
		}
		for at := range f.content {
			bit := byte(1) << (at % 8)
			f.content[at] ^= bit
			if check(f.content) == nil {
				t.Errorf("a flip in byte %d of %d is not found", at, len(f.content))
			}
			f.content[at] ^= bit
			if check(f.content[:at]) == nil {
				t.Errorf("a table cut to %d bytes is read", at)
			}
		}
	}
}

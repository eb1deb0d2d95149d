package online

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/asof-store/asof/feature"
)

// checked is a store of two views with values as they should be.
func checked(t *testing.T) (*Store, *memoryKV, []*feature.View) {
	t.Helper()
	kv := newMemoryKV()
	s, err := New(kv, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	views := []*feature.View{profile(), profile()}
	views[1].Name, views[1].Hash = "account", "h2"
	for _, v := range views {
		publish(t, s, v, true, State{Watermark: 10 * hour, Horizon: 9 * hour}, func(p *Publish) error {
			return errors.Join(p.Put(key(7), row(t, v, 9*hour, int64(1), "Rome")), p.Put(key(8), row(t, v, 8*hour, nil, nil)))
		})
	}
	return s, kv, views
}

// TestCheckFinds breaks what holds in a store, one thing at a time.
func TestCheckFinds(t *testing.T) {
	stored := func(id uint32, entity feature.Key) string { return string(append(valuePrefix(id), entity...)) }
	state := func(kv *memoryKV, change func(*State)) {
		s, err := decodeState("profile", kv.rows[string(stateKey("profile"))])
		if err != nil {
			t.Fatal(err)
		}
		change(&s)
		kv.rows[string(stateKey("profile"))], err = encodeState("profile", s)
		if err != nil {
			t.Fatal(err)
		}
	}
	value := func(kv *memoryKV, change func(value []byte)) {
		k := stored(1, key(7))
		change(kv.rows[k])
		mend([]byte(k), kv.rows[k])
	}
	const profileKey = "online store: view profile, key customer_id=7: "
	for name, c := range map[string]struct {
		damage func(kv *memoryKV, views []*feature.View)
		want   []string // one for each finding
	}{
		"nothing":             {func(*memoryKV, []*feature.View) {}, nil},
		"no format record":    {func(kv *memoryKV, _ []*feature.View) { delete(kv.rows, string(storeKey())) }, []string{"format record: it is missing: " + adviceFull}},
		"a bit of the format": {func(kv *memoryKV, _ []*feature.View) { kv.rows[string(storeKey())][1] ^= 1 }, []string{"checksum of the store's format record does not match: " + adviceFull}},
		"a bit of a schema":   {func(kv *memoryKV, _ []*feature.View) { kv.rows[string(schemaKey(1))][3] ^= 1 }, []string{"schema 1: online store: the checksum", "view profile: its schema 1 is missing"}},
		"no schema":           {func(kv *memoryKV, _ []*feature.View) { delete(kv.rows, string(schemaKey(1))) }, []string{"view profile: its schema 1 is missing: " + adviceFull}},
		"a bit of a state":    {func(kv *memoryKV, _ []*feature.View) { kv.rows[string(stateKey("profile"))][12] ^= 1 }, []string{"view profile: online store: the checksum of the state", "schema 1: no view has it", "view id 1: there are values, and no view has it"}},
		"no state":            {func(kv *memoryKV, _ []*feature.View) { delete(kv.rows, string(stateKey("profile"))) }, []string{"schema 1: no view has it", "view id 1: there are values"}},
		"a bit of a value":    {func(kv *memoryKV, _ []*feature.View) { kv.rows[stored(1, key(7))][40] ^= 1 }, []string{profileKey + "its checksum does not match: " + adviceFull}},
		"a value cut short":   {func(kv *memoryKV, _ []*feature.View) { kv.rows[stored(1, key(7))] = nil }, []string{profileKey + "it has only 0 bytes"}},
		"bytes after a value": {func(kv *memoryKV, _ []*feature.View) {
			k := stored(1, key(7))
			kv.rows[k] = append(kv.rows[k], 0)
			mend([]byte(k), kv.rows[k])
		}, []string{profileKey + "1 bytes follow its last field"}},
		"another schema": {func(kv *memoryKV, _ []*feature.View) { value(kv, func(v []byte) { v[schemaAt] = 2 }) }, []string{profileKey + "its schema is 2, that of the view is 1"}},
		"an event too late": {func(kv *memoryKV, _ []*feature.View) {
			value(kv, func(v []byte) { binary.LittleEndian.PutUint64(v[eventAt:], uint64(9*hour+1)) })
		}, []string{profileKey + "its event time is 1970-01-01T09:00:00.000001Z, expected at most the horizon 1970-01-01T09:00:00Z: " + adviceFull}},
		"an as-of time beyond": {func(kv *memoryKV, _ []*feature.View) {
			value(kv, func(v []byte) { binary.LittleEndian.PutUint64(v[asOfAt:], uint64(11*hour)) })
		}, []string{profileKey + "its as-of time is 1970-01-01T11:00:00Z, expected at most the watermark 1970-01-01T10:00:00Z"}},
		"a horizon beyond": {func(kv *memoryKV, _ []*feature.View) { state(kv, func(s *State) { s.Horizon = 11 * hour }) }, []string{"view profile: its horizon is 1970-01-01T11:00:00Z, expected at most its watermark 1970-01-01T10:00:00Z"}},
		"unfinished": {func(kv *memoryKV, _ []*feature.View) {
			state(kv, func(s *State) { s.Unfinished, s.Horizon, s.Watermark = true, 0, 0 })
		}, []string{"remark: online store: view profile: a publication has begun and was not committed, so values may be newer than its watermark 1970-01-01T00:00:00Z: run asof sync"}},
		"another definition": {func(_ *memoryKV, views []*feature.View) { views[0].Hash = "h9" }, []string{"remark: online store: view profile: its values are of definition h1, expected h9, that which was applied: run asof materialize profile"}},
		"other features":     {func(_ *memoryKV, views []*feature.View) { views[0].Features = views[0].Features[:1] }, []string{"view profile: its stored fields are"}},
		"no definition": {func(kv *memoryKV, views []*feature.View) {
			views[0].Name = "other"
			kv.rows[stored(1, key(7))][40] ^= 1
		}, []string{"view profile, key 8000000000000007: its checksum does not match"}},
		"an id twice":          {func(kv *memoryKV, _ []*feature.View) { state(kv, func(s *State) { s.ViewID = 2 }) }, []string{"its values have id 2, which is that of view account", "view id 1: there are values", "its schema is 2, that of the view is 1", "its schema is 2, that of the view is 1"}},
		"a schema twice":       {func(kv *memoryKV, _ []*feature.View) { state(kv, func(s *State) { s.SchemaID = 2 }) }, []string{"its schema has id 2, which is that of view account", "schema 1: no view has it", "its schema is 1, that of the view is 2", "its schema is 1, that of the view is 2"}},
		"a key of other parts": {func(kv *memoryKV, views []*feature.View) { views[0].Keys[0].Type = feature.Scalar(feature.Int32) }, []string{"key 8000000000000007: key 8000000000000007 has 4 bytes after its last part: " + adviceFull, "key 8000000000000008"}},
		"a stray record":       {func(kv *memoryKV, _ []*feature.View) { kv.rows["\x00\x00\x00\x00\x09"] = nil }, []string{"key 0000000009: asof writes no such key: " + adviceFull}},
		"stray values":         {func(kv *memoryKV, _ []*feature.View) { kv.rows["\xff"], kv.rows["\x02\x00\x00\x00"] = nil, nil }, []string{"key 02000000: asof writes", "key ff: asof writes"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, kv, views := checked(t)
			c.damage(kv, views)
			found := findings(t, s, views)
			for _, want := range c.want {
				if !strings.Contains(strings.Join(found, "\n"), want) {
					t.Errorf("nothing says %q", want)
				}
			}
			if remarks := strings.Count("\n"+strings.Join(found, "\n"), "\nremark: "); remarks != strings.Count(strings.Join(c.want, "\n"), "remark: ") {
				t.Errorf("%d remarks", remarks)
			}
			if len(found) != len(c.want) || t.Failed() {
				t.Errorf("found %d:\n%s", len(found), strings.Join(found, "\n"))
			}
		})
	}
	s, _, views := checked(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Check(ctx, views, func(Finding) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

// TestCheckWhilePublishing checks a store in the middle of publications: what a rebuild has staged is no finding, what one in place has marked is.
func TestCheckWhilePublishing(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	for version := range int64(3) {
		p, err := s.Begin(v, version != 2)
		if err != nil {
			t.Fatal(err)
		}
		r := row(t, v, feature.Time(version), version, "Rome")
		if err := errors.Join(p.Replace(key(1), r), p.guard(p.flush)); err != nil {
			t.Fatal(err)
		}
		found := findings(t, s, []*feature.View{v})
		if version < 2 && len(found) > 0 || version == 2 && (len(found) != 1 || !strings.Contains(found[0], "asof sync")) {
			t.Errorf("in publication %d: %q", version, found)
		}
		if err := p.Commit(State{Watermark: r.AsOf, Horizon: r.Event}); err != nil {
			t.Fatal(err)
		}
		if found := findings(t, s, []*feature.View{v}); len(found) > 0 {
			t.Errorf("after publication %d: %q", version, found)
		}
	}
}

// TestCheckOpenFiles damages files of a store while it is open: what Badger has read is not what lies on the disk any more.
func TestCheckOpenFiles(t *testing.T) {
	for name, d := range damageStores(t) {
		t.Run(name, func(t *testing.T) {
			d.files.write(t, d.path, "", imageFile{})
			s := openTemp(t, d.path, Options{})
			publishDamaged(t, s, 3)
			names, err := filepath.Glob(filepath.Join(d.path, "*.[sm][se][tm]"))
			loaded, err2 := filepath.Glob(filepath.Join(d.path, "bulk-*", "*.sst"))
			if names = append(names, loaded...); errors.Join(err, err2) != nil || len(names) < 2 || (name == "loaded") != (len(loaded) > 0) {
				t.Fatal(names, err, err2)
			}
			checked := 0
			for _, name := range append(names, filepath.Join(d.path, "MANIFEST")) {
				if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
					continue // a log whose table Badger has written meanwhile
				}
				checked++
				flip := func() {
					f, err := os.OpenFile(name, os.O_RDWR, 0)
					if err != nil {
						t.Fatal(err)
					}
					b := make([]byte, 1)
					at := int64(22)
					_, err = f.ReadAt(b, at)
					b[0] ^= 4
					if _, e := f.WriteAt(b, at); err != nil || e != nil {
						t.Fatal(err, e)
					}
					if err := f.Close(); err != nil {
						t.Fatal(err)
					}
				}
				flip()
				found := strings.Join(findings(t, s, damagedViews()), "\n")
				if !strings.Contains(found, name) || !strings.Contains(found, adviceFull) {
					t.Errorf("%s is damaged, and found is %q", filepath.Base(name), found)
				}
				flip()
			}
			if checked < len(names) {
				t.Errorf("%d of %d files were damaged", checked, len(names)+1)
			}
			if found := findings(t, s, damagedViews()); len(found) > 0 {
				t.Errorf("undamaged: %q", found)
			}
			if err := os.Truncate(filepath.Join(d.path, "MANIFEST"), int64(len(manifestHead))); err != nil {
				t.Fatal(err)
			}
			if found := strings.Join(findings(t, s, damagedViews()), "\n"); !strings.Contains(found, "it does not name the table 000001.sst") {
				t.Errorf("the manifest is cut short, and found is %q", found)
			}
		})
	}
}

// TestKillLoad kills processes that write enough for Badger to write tables and to merge them: no store that a crash has left counts as damaged.
func TestKillLoad(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "online")
	for round := range 8 {
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), crashPath+"="+path, crashLoad+"=1")
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for left := random.IntN(60); left >= 0 && lines.Scan(); left-- {
			if text := lines.Text(); text != "step" {
				t.Errorf("seed %d, round %d: the process says %s", seed, round, text)
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		s, err := Open(path, Options{Logger: quiet()})
		if err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		for _, f := range findings(t, s, []*feature.View{profile()}) {
			if !strings.HasSuffix(f, "run asof sync") { // a publication in place was under way
				t.Errorf("seed %d, round %d: %s", seed, round, f)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// load publishes without end, and tells of each step.
func load(path string) error {
	s, err := Open(path, Options{Logger: quiet(), Step: func(string, bool) error {
		_, err := fmt.Println("step")
		return err
	}})
	if err != nil {
		return err
	}
	v := profile()
	for version := int64(1); ; version++ {
		p, err := s.Begin(v, version%2 == 1)
		if err != nil {
			return err
		}
		t := &testing.T{}
		for id := range int64(4000) {
			r := row(t, v, feature.Time(version), version, fmt.Sprint(id, strings.Repeat("x", 1500)))
			if err := p.Replace(key(id), r); err != nil {
				return err
			}
		}
		if err := p.Commit(State{Watermark: feature.Time(version), Horizon: feature.Time(version)}); err != nil {
			return err
		}
	}
}

package definitions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"
)

// fixed is a clock that stands still.
func fixed() time.Time { return time.Date(2024, 3, 1, 12, 0, 0, 123456789, time.UTC) }

func TestRegistry(t *testing.T) {
	r := OpenRegistry(filepath.Join(t.TempDir(), "warehouse"), RegistryOptions{Now: fixed, AsofVersion: "v1.2.3"})
	if _, err := r.Current(); feature.KindOf(err) != feature.ErrNotFound || !strings.Contains(err.Error(), "asof apply") {
		t.Fatalf("Current of nothing: %v", err)
	}
	base := read(t, "testdata/base.yaml")
	first := mustLoad(t, "base.yaml", base)
	if v, err := r.Apply(first, 0); v != 1 || err != nil {
		t.Fatalf("Apply: %d, %v", v, err)
	}
	a, err := r.Current()
	if err != nil {
		t.Fatal(err)
	}
	if a.Version != 1 || a.Root != "/root" || a.Hash != first.Hash || a.AsofVersion != "v1.2.3" || !a.AppliedAt.Equal(fixed().Truncate(time.Microsecond)) ||
		a.Files()["base.yaml"] != base {
		t.Errorf("Current: %+v", a)
	}
	m, err := a.Model()
	if err != nil {
		t.Fatal(err)
	}
	if p := NewPlan(first, m); !p.Empty() || m.Hash != first.Hash || m.Views[0].Hash != first.Views[0].Hash {
		t.Errorf("the applied model differs from what was applied:\n%s", p)
	}
	if v, err := r.Apply(first, 1); v != 1 || err != nil {
		t.Errorf("applying the same again: version %d, %v", v, err)
	}
	second := mustLoad(t, "base.yaml", base+"# a comment\n")
	if _, err := r.Apply(second, 0); feature.KindOf(err) != feature.ErrConflict {
		t.Errorf("applying on an old plan: %v", err)
	}
	if v, err := r.Apply(second, 1); v != 2 || err != nil {
		t.Errorf("applying a comment: version %d, %v", v, err)
	}
	if a, err := r.At(1); err != nil || a.Files()["base.yaml"] != base {
		t.Errorf("At(1): %+v, %v", a, err)
	}
	if _, err := r.At(7); feature.KindOf(err) != feature.ErrNotFound {
		t.Errorf("At(7): %v", err)
	}
}

// TestRegistryGolden pins the stored bytes.
func TestRegistryGolden(t *testing.T) {
	dir := t.TempDir()
	r := OpenRegistry(dir, RegistryOptions{Now: fixed, AsofVersion: "v0.0.0"})
	if _, err := r.Apply(mustLoad(t, "base.yaml", read(t, "testdata/base.yaml")), 0); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/v000001.json", read(t, filepath.Join(dir, "registry", "v000001.json")))
	a, err := decodeRecord([]byte(read(t, "testdata/v000001.json")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Model(); err != nil {
		t.Error(err)
	}
}

// TestRegistryDamage: whatever byte of a record changes, wherever it ends, and whatever block of it is zeros, Current and Check say so
// and name it, or the record says what it said.
func TestRegistryDamage(t *testing.T) {
	dir := t.TempDir()
	r := OpenRegistry(dir, RegistryOptions{Now: fixed})
	if _, err := r.Apply(mustLoad(t, "base.yaml", read(t, "testdata/base.yaml")), 0); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "registry", "v000001.json")
	whole := read(t, path)
	want, err := r.Current()
	if err != nil {
		t.Fatal(err)
	}
	try := func(text []byte, what string) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := r.Current()
		faults := r.Check()
		switch {
		case err == nil: // white space, or the case of a field's name
			if diff := cmp.Diff(want.record(), got.record()); diff != "" || len(faults) > 0 {
				t.Errorf("%s went unnoticed, Check says %v:\n%s", what, faults, diff)
			}
		case feature.KindOf(err) != feature.ErrCorrupt || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "from a backup") ||
			len(faults) != 1 || faults[0].Error() != err.Error():
			t.Errorf("%s: %v, Check says %v", what, err, faults)
		}
	}
	for i := range whole {
		for _, bit := range []int{i % 8, 5} { // 5 is the case of a letter
			text := []byte(whole)
			text[i] ^= 1 << bit
			try(text, fmt.Sprintf("bit %d of byte %d", bit, i))
		}
	}
	for i := 0; i < len(whole); i += 7 {
		try([]byte(whole[:i]), fmt.Sprintf("a cut at %d", i))
	}
	for i := 0; i < len(whole); i += 512 {
		text := []byte(whole)
		clear(text[i:min(i+4096, len(text))])
		try(text, fmt.Sprintf("zeros from %d", i))
	}
}

// TestRegistryCheck breaks what holds among the versions.
func TestRegistryCheck(t *testing.T) {
	dir := t.TempDir()
	r := OpenRegistry(dir, RegistryOptions{Now: fixed})
	check := func(wants ...string) {
		t.Helper()
		faults := r.Check()
		if len(faults) != len(wants) {
			t.Fatalf("Check says %v", faults)
		}
		for i, want := range wants {
			if !strings.Contains(faults[i].Error(), want) {
				t.Errorf("Check says %q, want %q", faults[i], want)
			}
		}
	}
	check()
	base := read(t, "testdata/base.yaml")
	for version := range 5 {
		if _, err := r.Apply(mustLoad(t, "base.yaml", base+strings.Repeat("#\n", version)), version); err != nil {
			t.Fatal(err)
		}
	}
	check()
	old, err := r.At(4)
	if err != nil {
		t.Fatal(err)
	}
	old.files[0].Text = "views: [{name: v, entity: nobody}]\n"
	text, err := encodeRecord(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(r.path(4), text, 0o666), os.Rename(r.path(2), r.path(5)+".bak"), os.Rename(r.path(1), r.path(3))); err != nil {
		t.Fatal(err)
	}
	check("has version 3, and none before it back to 1", r.path(3)+" is damaged: it says that it is version 1", "version 4 of the definitions does not load")
}

// TestRegistryRace: of any number of Apply calls on one plan exactly one wins, the others are told to plan again, and the
// winner's definitions are what is there.
func TestRegistryRace(t *testing.T) {
	base := read(t, "testdata/base.yaml")
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		rounds, writers := rapid.IntRange(1, 3).Draw(rt, "rounds"), rapid.IntRange(2, 5).Draw(rt, "writers")
		for round := range rounds {
			var won, winner atomic.Int64
			g, _ := errgroup.WithContext(context.Background())
			for w := range writers {
				m := mustLoad(t, "base.yaml", fmt.Sprintf("%s# %d of round %d\n", base, w, round))
				g.Go(func() error {
					v, err := OpenRegistry(dir, RegistryOptions{}).Apply(m, round)
					switch {
					case err == nil && v == round+1:
						won.Add(1)
						winner.Store(int64(w))
					case feature.KindOf(err) != feature.ErrConflict || !strings.Contains(err.Error(), "plan again"):
						return fmt.Errorf("Apply: version %d, %w", v, err)
					}
					return nil
				})
			}
			if err := g.Wait(); err != nil {
				rt.Fatal(err)
			}
			a, err := OpenRegistry(dir, RegistryOptions{}).Current()
			if err != nil || a.Version != round+1 || won.Load() != 1 ||
				!strings.Contains(a.Files()["base.yaml"], fmt.Sprintf("# %d of round %d\n", winner.Load(), round)) {
				rt.Fatalf("round %d: %d writers won, current %+v, %v", round, won.Load(), a, err)
			}
		}
		entries, err := os.ReadDir(filepath.Join(dir, "registry"))
		if err != nil || len(entries) != rounds {
			rt.Fatalf("the registry holds %v, %v", entries, err)
		}
	})
}

// TestRegistryCrash ends Apply at every durable step, before and after its effect: the registry is as before or as after,
// and the next Apply works.
func TestRegistryCrash(t *testing.T) {
	base := read(t, "testdata/base.yaml")
	crash := errors.New("crash")
	for fail := 0; ; fail++ {
		dir := t.TempDir()
		if _, err := OpenRegistry(dir, RegistryOptions{}).Apply(mustLoad(t, "base.yaml", base), 0); err != nil {
			t.Fatal(err)
		}
		calls, name := 0, ""
		step := func(s string, done bool) error {
			calls++
			if calls-1 == fail {
				name = fmt.Sprintf("%s, done %t", s, done)
				return crash
			}
			return nil
		}
		second := mustLoad(t, "base.yaml", base+"# second\n")
		_, err := OpenRegistry(dir, RegistryOptions{Step: step}).Apply(second, 1)
		if err == nil {
			if fail < 4 {
				t.Errorf("Apply has %d steps", fail)
			}
			return
		}
		if !errors.Is(err, crash) {
			t.Fatal(err)
		}
		r := OpenRegistry(dir, RegistryOptions{Now: func() time.Time { return time.Now().Add(2 * temporaryAge) }})
		a, err := r.Current()
		if err != nil {
			t.Fatalf("after a crash at %s: %v", name, err)
		}
		third := mustLoad(t, "base.yaml", base+"# third\n")
		if v, err := r.Apply(third, a.Version); err != nil || v != a.Version+1 {
			t.Errorf("after a crash at %s: Apply: %d, %v", name, v, err)
		}
		entries, err := os.ReadDir(filepath.Join(dir, "registry"))
		if err != nil || len(entries) != a.Version+1 {
			t.Errorf("after a crash at %s the registry holds %v, %v", name, entries, err)
		}
	}
}

// FuzzRecord: no bytes of a record make it panic.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(read(f, "testdata/v000001.json")))
	f.Add([]byte(`{"record":null,"sha256":""}`))
	f.Add([]byte(`{"record":{"format":1},"sha256":"x"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := decodeRecord(text)
		if err != nil {
			return
		}
		if _, err := a.Model(); err != nil {
			return
		}
		if _, err := encodeRecord(a); err != nil {
			t.Fatal(err)
		}
	})
}

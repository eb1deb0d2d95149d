package definitions

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/source"
)

// Registry is the append-only list of the definitions that were applied to a warehouse: one record per version, never
// changed afterwards (docs/format/registry.md). Any number of processes may use it at once.
type Registry struct {
	dir  string
	opts RegistryOptions
}

// RegistryOptions are the options of OpenRegistry; the zero value works.
type RegistryOptions struct {
	// AsofVersion is noted in the records that Apply writes.
	AsofVersion string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Step is called just before (done false) and just after (done true) each durable effect of Apply; an error ends
	// the call as a crash at that point would. nil does nothing.
	Step func(name string, done bool) error
}

// OpenRegistry returns the registry of a warehouse. It does no I/O: a warehouse that does not exist yet is one to
// which nothing was applied.
func OpenRegistry(warehouse string, opts RegistryOptions) *Registry {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Step == nil {
		opts.Step = func(string, bool) error { return nil }
	}
	return &Registry{dir: filepath.Join(warehouse, "registry"), opts: opts}
}

// Applied is one version of the definitions as it was applied.
type Applied struct {
	Version     int // from 1
	AppliedAt   time.Time
	AsofVersion string // of the program that applied it
	Root        string // absolute path of the directory that relative globs start from
	Hash        string // Model.Hash

	path    string
	files   []textFile
	schemas map[string]*source.Schema // by source
}

// Model loads the definitions as they were applied, against the columns that the sources had then: no data is read.
func (a *Applied) Model() (*Model, error) {
	schemaOf := func(s source.Spec) (*source.Schema, error) {
		schema, ok := a.schemas[s.Name]
		if !ok {
			return nil, feature.Errorf(feature.ErrCorrupt, "%s has no columns of source %s", a.path, s.Name)
		}
		return schema, nil
	}
	m, err := load(a.files, a.Root, func(name string) string { return name }, LoadOptions{SchemaOf: schemaOf})
	if err != nil {
		return nil, fmt.Errorf("version %d of the definitions does not load with this version of asof, apply them again:\n%w", a.Version, err)
	}
	return m, nil
}

// Files returns the text of the definitions by file name, relative to Root.
func (a *Applied) Files() map[string]string {
	files := map[string]string{}
	for _, f := range a.files {
		files[f.Name] = f.Text
	}
	return files
}

// Edited reports whether definitions lie at path, a file or a directory, whose text is not what was applied.
func (a *Applied) Edited(path string) bool {
	files, _, err := readFiles(path)
	return err == nil && !slices.Equal(files, a.files)
}

// Current returns the version that was applied last; feature.ErrNotFound when there is none.
func (r *Registry) Current() (*Applied, error) {
	versions, err := r.Versions()
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, feature.Errorf(feature.ErrNotFound, "nothing has been applied to warehouse %s: run asof apply", filepath.Dir(r.dir))
	}
	return r.At(versions[len(versions)-1])
}

// At returns a version; feature.ErrNotFound when there is none of that number, feature.ErrCorrupt, naming the file, when
// its record is damaged, feature.ErrInvalid when a newer asof has written it.
func (r *Registry) At(version int) (*Applied, error) {
	path := r.path(version)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, feature.Errorf(feature.ErrNotFound, "registry %s has no version %d", r.dir, version)
	case err != nil:
		return nil, feature.Errorf(feature.ErrUnavailable, "registry: %w", err)
	}
	a, err := decodeRecord(text)
	if err == nil && a.Version != version {
		err = fmt.Errorf("it says that it is version %d", a.Version)
	}
	if errors.Is(err, feature.ErrInvalid) {
		return nil, feature.Errorf(feature.ErrInvalid, "registry record %s: %w", path, err)
	}
	if err != nil {
		return nil, feature.Errorf(feature.ErrCorrupt,
			"registry record %s is damaged: %w: bring it back from a backup, or remove it to return to the version before", path, err)
	}
	a.path = path
	return a, nil
}

// Versions returns the numbers of all versions in ascending order, none when nothing has been applied.
func (r *Registry) Versions() ([]int, error) {
	entries, err := os.ReadDir(r.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, feature.Errorf(feature.ErrUnavailable, "registry: %w", err)
	}
	var versions []int
	for _, e := range entries {
		digits := strings.TrimSuffix(strings.TrimPrefix(e.Name(), "v"), ".json")
		if n, err := strconv.Atoi(digits); err == nil && n > 0 && e.Name() == filepath.Base(r.path(n)) {
			versions = append(versions, n)
		}
	}
	slices.Sort(versions)
	return versions, nil
}

// Check reads every version again and returns what is wrong, naming the file: records that are damaged, as At says, versions that
// are missing before the last, and definitions that do not load.
func (r *Registry) Check() []error {
	versions, err := r.Versions()
	if err != nil {
		return []error{err}
	}
	var faults []error
	last := 0
	for _, version := range versions {
		if version > last+1 {
			faults = append(faults, feature.Errorf(feature.ErrCorrupt, "registry %s has version %d, and none before it back to %d: bring the records back from a backup", r.dir, version, last+1))
		}
		last = version
		a, err := r.At(version)
		if err == nil {
			_, err = a.Model()
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

func (r *Registry) path(version int) string {
	return filepath.Join(r.dir, fmt.Sprintf("v%06d.json", version))
}

// Apply records the model as the version after expect, the version that the plan was made against (0 for none), and
// returns its number. When nothing differs from expect, not even a comment or a column of a source, nothing is written and expect is
// returned. When another version has been applied meanwhile it fails with feature.ErrConflict and changes nothing.
//
// The record appears under its name whole or not at all, by link(2), which also decides who of two is first. After an
// error that is none of ErrConflict it may be there all the same: Current tells.
func (r *Registry) Apply(m *Model, expect int) (version int, err error) {
	if err := r.unchanged(expect); err != nil {
		return 0, err
	}
	next := &Applied{Version: expect + 1, AppliedAt: r.opts.Now().UTC().Truncate(time.Microsecond), AsofVersion: r.opts.AsofVersion,
		Root: m.Root, Hash: m.Hash, files: m.files, schemas: map[string]*source.Schema{}}
	for _, s := range m.Sources {
		next.schemas[s.Name] = s.Schema
	}
	if expect > 0 {
		current, err := r.At(expect)
		if err != nil {
			return 0, err
		}
		if current.says(next) {
			return expect, nil
		}
	}
	text, err := encodeRecord(next)
	if err != nil {
		return 0, err
	}
	if err := r.write(r.path(next.Version), text); err != nil {
		return 0, err
	}
	return next.Version, nil
}

// unchanged fails with feature.ErrConflict unless expect is the latest version.
func (r *Registry) unchanged(expect int) error {
	versions, err := r.Versions()
	if err != nil {
		return err
	}
	latest := 0
	if len(versions) > 0 {
		latest = versions[len(versions)-1]
	}
	if latest != expect {
		return conflict(latest)
	}
	return nil
}

func conflict(version int) error {
	return feature.Errorf(feature.ErrConflict, "version %d of the definitions is there since the plan was made: plan again", version)
}

// write puts text durably under path, where nothing may be yet.
func (r *Registry) write(path string, text []byte) error {
	unavailable := func(err error) error {
		return feature.Errorf(feature.ErrUnavailable, "registry: writing %s: %w", path, err)
	}
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return unavailable(err)
	}
	r.sweep()
	// A crash from here to the link leaves a temporary file that nobody reads; a later Apply sweeps it away.
	if err := r.opts.Step("registry-write", false); err != nil {
		return err
	}
	temporary, err := writeTemporary(r.dir, text)
	if err != nil {
		return unavailable(err)
	}
	if err := r.opts.Step("registry-write", true); err != nil {
		return err
	}
	defer os.Remove(temporary)
	if err := r.opts.Step("registry-link", false); err != nil {
		return err
	}
	err = os.Link(temporary, path)
	switch {
	case errors.Is(err, fs.ErrExist):
		n, _ := strconv.Atoi(strings.TrimLeft(strings.TrimSuffix(filepath.Base(path), ".json"), "v0"))
		return conflict(n)
	case err != nil:
		return unavailable(err)
	}
	// A crash here leaves the record in place, or, without power, perhaps not: whole or not at all.
	if err := syncDir(r.dir); err != nil {
		return unavailable(err)
	}
	return r.opts.Step("registry-link", true)
}

const temporaryPrefix = "tmp-"

// writeTemporary writes text to a new file in dir, synced, and returns its path.
func writeTemporary(dir string, text []byte) (path string, err error) {
	f, err := os.CreateTemp(dir, temporaryPrefix)
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// syncDir makes the names in dir durable, and dir's own name in its parent.
func syncDir(dir string) error {
	for _, d := range []string{dir, filepath.Dir(dir)} {
		f, err := os.Open(d)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// temporaryAge is how old a temporary file must be for sweep to take it for a crash's: no Apply takes that long.
const temporaryAge = time.Hour

// sweep removes what crashed runs left. What it cannot remove stays for the next one and harms nobody.
func (r *Registry) sweep() {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), temporaryPrefix) && r.opts.Now().Sub(info.ModTime()) > temporaryAge {
			_ = os.Remove(filepath.Join(r.dir, e.Name()))
		}
	}
}

package offline

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	icebergio "github.com/apache/iceberg-go/io"

	"github.com/asof-store/asof/feature"
)

// tmpSuffix marks files that are never part of a table.
const tmpSuffix = ".tmp"

// filesystem is the local one for iceberg-go, except that a file that it writes is listed in the run's journal before it
// exists and is synced when it is closed.
type filesystem struct {
	icebergio.LocalFS
	store *Store
	sums  map[string]string // see checksumsOf
	run   *run              // nil where nothing may be written
}

// Open opens a file for reading. It fails with ErrCorrupt when its checksum is known and another one.
func (f filesystem) Open(name string) (icebergio.File, error) {
	path := f.store.localPath(name)
	file, err := f.LocalFS.Open(path)
	sum, known := f.sums[filepath.Base(path)]
	if err != nil || !known {
		return file, err
	}
	return openChecked(file, path, sum)
}

// Remove removes a file.
func (f filesystem) Remove(name string) error { return f.LocalFS.Remove(f.store.localPath(name)) }

// ReadFile returns the content of a metadata version.
func (f filesystem) ReadFile(name string) ([]byte, error) {
	content, err := f.LocalFS.ReadFile(f.store.localPath(name))
	if err == nil {
		_, err = checkSeal(content)
	}
	return content, err
}

// Create creates a manifest or a manifest list. After a crash it lies about, unknown to the table, until the next run removes it.
func (f filesystem) Create(name string) (icebergio.FileWriter, error) {
	if f.run == nil {
		return nil, feature.Errorf(feature.ErrInternal, "writing %s without a run", name)
	}
	kind := stepManifest
	if strings.HasPrefix(filepath.Base(name), "snap-") {
		kind = stepManifestList
	}
	file, err := f.run.create(kind, f.store.localPath(name))
	if err != nil {
		return nil, err
	}
	return &summedFile{durableFile: file, sums: &f.run.sums}, nil
}

// WriteFile writes a whole file.
func (f filesystem) WriteFile(name string, content []byte) error {
	w, err := f.Create(name)
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return errors.Join(err, w.Close())
}

// durableFile is synced when it is closed; closing it again does nothing, as iceberg-go does on some paths.
type durableFile struct {
	*os.File
	kind string
	step func(name string, done bool) error
	shut bool
}

// Close syncs and closes the file.
func (f *durableFile) Close() error {
	if f.shut {
		return nil
	}
	f.shut = true
	if err := errors.Join(f.Sync(), f.File.Close()); err != nil {
		return err
	}
	return f.step(f.kind, true)
}

// abandon closes the file as it is; the caller has met an error already.
func (f *durableFile) abandon() {
	if !f.shut {
		f.shut = true
		_ = f.File.Close() // its content does not matter any more
	}
}

// localPath returns the path of a file in a table. Other engines write file: URIs of several shapes; iceberg-go escapes
// the table's own location as if it were one.
func (s *Store) localPath(uri string) string {
	if rest, ok := strings.CutPrefix(uri, "file:"); ok {
		uri = "/" + strings.TrimLeft(rest, "/")
	}
	if rest, ok := strings.CutPrefix(uri, s.escaped+"/"); ok {
		return s.root + "/" + rest
	}
	return uri
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// makeDir makes the directory path and what is missing above it, and makes their names durable.
func makeDir(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

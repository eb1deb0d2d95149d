package offline

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	icebergio "github.com/apache/iceberg-go/io"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
)

// tmpSuffix marks files that are never part of a table.
const tmpSuffix = ".tmp"

// filesystem is the store's disk for iceberg-go: a file that it writes is listed in the run's journal before it exists and is
// synced when it is closed.
type filesystem struct {
	store *Store
	sums  map[string]string // see checksumsOf
	run   *run              // nil where nothing may be written
}

// Open opens a file for reading. It fails with ErrCorrupt when its checksum is known and another one.
func (f filesystem) Open(name string) (icebergio.File, error) {
	path := f.store.localPath(name)
	file, err := f.store.opts.Disk.OpenFile(path, os.O_RDONLY, 0)
	sum, known := f.sums[filepath.Base(path)]
	if err != nil || !known {
		return file, err
	}
	return openChecked(file, path, sum)
}

// Remove removes a file.
func (f filesystem) Remove(name string) error {
	return f.store.opts.Disk.Remove(f.store.localPath(name))
}

// ReadFile returns the content of a metadata version.
func (f filesystem) ReadFile(name string) ([]byte, error) {
	file, err := f.store.opts.Disk.OpenFile(f.store.localPath(name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(file)
	if err = errors.Join(err, file.Close()); err == nil {
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
	disk.File
	kind   string
	step   func(name string, done bool) error
	shut   bool
	syncer disk.Syncer
}

// Write writes to the file.
func (f *durableFile) Write(b []byte) (int, error) {
	n, err := disk.InPieces{To: f.File}.Write(b)
	f.syncer.Wrote(f.File, n)
	return n, unavailable(err)
}

// ReadFrom writes all that r has to the file.
func (f *durableFile) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{f}, r) }

// Close syncs and closes the file.
func (f *durableFile) Close() error {
	if f.shut {
		return nil
	}
	f.shut = true
	if err := errors.Join(f.flush(), f.File.Close()); err != nil {
		return unavailable(err)
	}
	return f.step(f.kind, true)
}

// flush returns when all that was written is durable.
func (f *durableFile) flush() error { return unavailable(errors.Join(f.syncer.Wait(), f.Sync())) }

// abandon closes the file as it is; the caller has met an error already.
func (f *durableFile) abandon() {
	if !f.shut {
		f.shut = true
		_ = errors.Join(f.syncer.Wait(), f.File.Close()) // its content does not matter any more
	}
}

// unavailable gives an error of the disk its kind: one that is full, or does not answer, may do better later.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return feature.Errorf(feature.ErrUnavailable, "%w", err)
}

// faultOf returns the kind of an error that has come through iceberg-go: ErrUnavailable for one of the disk's that may pass, as a
// file that is missing will not, and otherwise the given one.
func faultOf(err, otherwise error) error {
	if path := (*fs.PathError)(nil); errors.As(err, &path) && !errors.Is(err, fs.ErrNotExist) {
		return feature.ErrUnavailable
	}
	return otherwise
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

// makeDir makes the directory path and what is missing above it, and makes their names durable.
func makeDir(d disk.FS, path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	if err := makeDir(d, filepath.Dir(path)); err != nil {
		return err
	}
	if err := d.Mkdir(path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

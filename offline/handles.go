package offline

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

// handles keeps a snapshot's data files open between reads, no more than max that nobody is reading.
type handles struct {
	store *Store
	view  string
	max   int
	read  atomic.Int64 // bytes, without footers

	mu     sync.Mutex
	open   map[string]*handle
	clock  int64
	closed bool
}

// handle is an open data file.
type handle struct {
	file    *parquetio.File
	paths   map[int]string // of the columns, by Iceberg field id
	byName  bool           // the file has no field ids
	readers int
	used    int64
}

func newHandles(store *Store, view string) *handles {
	return &handles{store: store, view: view, max: store.opts.OpenFilesMax, open: map[string]*handle{}}
}

// acquire opens a file unless it is open; release must follow.
func (h *handles) acquire(f *dataFile) (*handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, feature.Errorf(feature.ErrInternal, "view %s: a run is read after its snapshot was closed", h.view)
	}
	h.clock++
	if o := h.open[f.Path]; o != nil {
		o.readers, o.used = o.readers+1, h.clock
		return o, nil
	}
	o, err := h.openFile(f)
	if err != nil {
		return nil, err
	}
	o.readers, o.used = 1, h.clock
	h.open[f.Path] = o
	return o, nil
}

func (h *handles) openFile(f *dataFile) (*handle, error) {
	file, err := parquetio.OpenOn(h.store.opts.Disk, f.Path)
	if errors.Is(err, feature.ErrNotFound) {
		err = feature.Errorf(feature.ErrCorrupt, "the data file %s, which its table refers to, is missing", f.Path)
	}
	if err == nil && (file.Rows() != f.Rows || file.Bytes() != f.Bytes) {
		err = errors.Join(feature.Errorf(feature.ErrCorrupt, "the data file %s has %d rows in %d bytes, its table says %d in %d",
			f.Path, file.Rows(), file.Bytes(), f.Rows, f.Bytes), file.Close())
	}
	if err != nil {
		return nil, h.store.failed(h.view, err)
	}
	file.UseMemory(h.store.memory)
	file.CountReads(&h.read)
	o := &handle{file: file, paths: map[int]string{}, byName: true}
	for _, c := range file.Columns() {
		if c.FieldID > 0 {
			o.paths[c.FieldID], o.byName = c.Path, false
		}
	}
	return o, nil
}

// path returns where a column lies in the file; ok is false when the file does not have it.
func (o *handle) path(c column) (string, bool) {
	if o.byName {
		_, ok := o.file.Column(c.Name)
		return c.Name, ok
	}
	if path, ok := o.paths[c.id]; ok {
		return path, true
	}
	path, ok := o.paths[c.element]
	return path, ok && c.Type.List
}

// release ends a reader's use and closes files that were not read for longest while too many are open. What closing a file that was only
// read says is of no interest.
func (h *handles) release(o *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o.readers--
	for h.closed || len(h.open) > h.max {
		var oldest string
		for path, o := range h.open {
			if o.readers == 0 && (oldest == "" || o.used < h.open[oldest].used) {
				oldest = path
			}
		}
		if oldest == "" {
			return
		}
		_ = h.open[oldest].file.Close()
		delete(h.open, oldest)
	}
}

func (h *handles) close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	var errs []error
	for path, o := range h.open {
		if o.readers == 0 { // release closes the others
			errs = append(errs, o.file.Close())
			delete(h.open, path)
		}
	}
	return errors.Join(errs...)
}

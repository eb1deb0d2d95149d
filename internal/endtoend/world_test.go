package endtoend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

// tester is what *testing.T, *testing.B and *rapid.T have in common.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is a whole store in a directory, with a clock of its own.
type world struct {
	written time.Time // the last file of the source
	t       tester
	dir     string
	now     feature.Time
	model   *definitions.Model
	offline *offline.Store
	online  *online.Store
	engine  *materialize.Engine
	options worldOptions
	last    *pointintime.Manifest // of the last export
}

type worldOptions struct {
	offline offline.Options
	cache   int64   // bytes of rows that the online store keeps in memory
	rest    float64 // of publications, see online.Options
	bulk    int64   // bytes from which on rebuilds are loaded in bulk, see online.Options
	memory  int64
	workers int
	chunk   int // spine rows joined at a time; 0: what memory allows
	step    func(string, bool) error
	compact offline.CompactOptions
	tiles   bool // in TestKill: the view is a windowed one
}

// newWorld makes a store in dir, which is empty or holds an earlier world.
func newWorld(t tester, dir string, o worldOptions) *world {
	t.Helper()
	w := &world{t: t, dir: dir, options: o, now: feature.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))}
	w.open()
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("%v", err)
	}
}

// open opens the stores.
func (w *world) open() {
	w.t.Helper()
	var err error
	w.options.offline.Step = w.options.step
	w.offline, err = offline.Open(context.Background(), w.path("warehouse"), w.options.offline)
	w.must(err)
	w.online, err = online.Open(w.path("online"), online.Options{Step: w.options.step, CacheBytes: w.options.cache, Rest: w.options.rest, BulkBytes: w.options.bulk})
	w.must(err)
	w.engine = &materialize.Engine{Offline: w.offline, Online: w.online, Now: func() time.Time { return w.now.Std() },
		Memory: w.options.memory, Workers: w.options.workers, Version: "test", Compact: w.options.compact}
}

// memoryDir returns a directory for the time of the test, where syncing costs nothing if there is such a place: what a process has
// written outlives it there too.
func memoryDir(t interface {
	tester
	Cleanup(func())
}) string {
	t.Helper()
	parent := "/dev/shm"
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "asof-*")
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// close closes the stores, as a process does that ends.
func (w *world) close() {
	w.t.Helper()
	w.must(w.online.Close())
}

// restart closes the stores and opens them again.
func (w *world) restart() {
	w.t.Helper()
	w.close()
	w.open()
}

func (w *world) path(name string) string { return filepath.Join(w.dir, filepath.FromSlash(name)) }

// write puts a table in a file, whose ending names its format.
func (w *world) write(name string, t table) {
	w.t.Helper()
	w.must(os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	w.must(tabular.WriteFile(w.path(name), t.schema, t.batch))
	// A file system's own times may be no finer than the time between two writes here.
	if w.written = w.written.Add(time.Microsecond); w.written.Before(time.Now()) {
		w.written = time.Now()
	}
	w.must(os.Chtimes(w.path(name), w.written, w.written))
}

// define loads definitions; their faults are the error.
func (w *world) define(yaml string) error {
	w.t.Helper()
	w.must(os.WriteFile(w.path("features.yaml"), []byte(yaml), 0o644))
	model, err := definitions.Load(w.path("features.yaml"), definitions.LoadOptions{})
	if err == nil {
		w.model = model
	}
	return err
}

// materialize runs the named views, all of them without names.
func (w *world) materialize(r materialize.Request, names ...string) ([]materialize.Result, error) {
	w.t.Helper()
	views := w.model.Views
	if len(names) > 0 {
		views = nil
		for _, n := range names {
			v, err := w.model.View(n)
			w.must(err)
			views = append(views, v)
		}
	}
	return w.engine.Run(context.Background(), views, r)
}

func (w *world) service(name string) *feature.Service {
	w.t.Helper()
	s, err := w.model.Service(name)
	w.must(err)
	return s.Service
}

// compact merges whatever files of a view lie next to one of their size. If it is up to date online, publishing finds nothing to do.
func (w *world) compact(view string, published bool) offline.Compacted {
	w.t.Helper()
	done, err := w.offline.Compact(context.Background(), view, pairs)
	w.must(err)
	if !published {
		return done
	}
	v, err := w.model.View(view)
	w.must(err)
	if published, err := w.engine.Publish(context.Background(), v.View); err != nil || published.Keys > 0 || published.Rebuilt {
		w.t.Fatalf("after merging %+v publishing does %+v, %v", done, published, err)
	}
	return done
}

// pairs merges more than would be merged by default.
var pairs = offline.CompactOptions{Files: 2, Share: 1}

// export joins the spine in a file and writes the result to another.
func (w *world) export(service, spine, out string, o pointintime.ExportOptions) (err error) {
	w.t.Helper()
	svc := w.service(service)
	snapshots := map[string]*offline.Snapshot{}
	defer func() {
		for _, s := range snapshots {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, ref := range svc.Refs {
		s, err := w.offline.Snapshot(context.Background(), ref.View.Name)
		if errors.Is(err, feature.ErrNotFound) {
			continue // the export says so
		}
		w.must(err)
		snapshots[ref.View.Name] = s
	}
	o.Workers, o.ChunkRows, o.DefinitionHash, o.Version = w.options.workers, w.options.chunk, w.model.Hash, "test"
	w.last, err = pointintime.Export(context.Background(), svc, snapshots, w.path(spine), w.path(out), o)
	return err
}

// exportText is export of a table, with the result as aligned text.
func (w *world) exportText(service string, spine table, o pointintime.ExportOptions) (string, error) {
	w.t.Helper()
	w.write("spine.parquet", spine)
	if err := w.export(service, "spine.parquet", "out.csv", o); err != nil {
		return "", err
	}
	text, err := os.ReadFile(w.path("out.csv"))
	w.must(err)
	return alignCSV(string(text)), nil
}

// get looks the service's features up for a table of keys and renders them, a key a line.
func (w *world) get(service string, keys table, now feature.Time) (string, error) {
	w.t.Helper()
	answer, err := w.online.Lookup(context.Background(), w.service(service), keys.columns(), now, false)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	for i := range int(keys.batch.NumRows()) {
		var parts []string
		for _, c := range answer.Columns {
			part := fmt.Sprintf("%s=%s %s", c.Name, valueText(c.Values(), i), c.Statuses[i])
			if c.Found[i] {
				part += " @" + timeText(c.EventTimes[i])
			}
			parts = append(parts, part)
		}
		fmt.Fprintf(&out, "%s\n", strings.Join(parts, "  "))
	}
	return out.String(), nil
}

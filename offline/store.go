package offline

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
	"github.com/asof-store/asof/internal/parquetio"
)

// namespace is the Iceberg namespace, and the directory below the warehouse, of the views' tables.
const namespace = "features"

// Options change how a store writes and reads. The zero value works.
type Options struct {
	FileBytes    int64 // size at which a data file ends; default 256 MiB
	RowGroupRows int   // rows in a row group; default 524288
	PageRows     int   // rows in a page; default 16384
	OpenFilesMax int   // data files that a snapshot keeps open between reads; default 128
	// Disk is the file system that the warehouse lies on; default: the operating system's.
	Disk disk.FS
	// Step is called around every durable effect, with done false just before it and true just after; an error aborts the
	// operation, which returns it. Tests fail and kill the process there. The names are the Step constants of this package.
	Step func(name string, done bool) error
}

// The durable effects of a run, in order. Until stepCommit is done nothing of a run is visible, and from then on all of it.
const (
	stepDataFile     = "offline.data-file"     // a data file is written and synced
	stepManifest     = "offline.manifest"      // so is a manifest
	stepManifestList = "offline.manifest-list" // and the list of manifests
	stepMetadata     = "offline.metadata"      // the table's next metadata, under a temporary name
	stepCommit       = "offline.commit"        // the metadata gets its name
	stepHint         = "offline.version-hint"  // version-hint.text, for other engines
)

func (o Options) withDefaults() Options {
	if o.FileBytes <= 0 {
		o.FileBytes = 256 << 20
	}
	if o.RowGroupRows <= 0 {
		o.RowGroupRows = 1 << 19
	}
	if o.PageRows <= 0 {
		o.PageRows = 1 << 14
	}
	if o.OpenFilesMax <= 0 {
		o.OpenFilesMax = 128
	}
	if o.Disk == nil {
		o.Disk = disk.OS{}
	}
	if o.Step == nil {
		o.Step = func(string, bool) error { return nil }
	}
	return o
}

// Store is the offline store in a warehouse directory. Its methods may be used by several goroutines, and several
// processes may have a store on one warehouse; writers of one view exclude each other. It holds nothing that needs closing.
type Store struct {
	root    string // absolute
	escaped string // root as iceberg-go writes it into the table
	opts    Options
	memory  *parquetio.Memory // of the columns that are read
}

// Open returns the store in the warehouse directory, which it makes if there is none. It fails with ErrUnavailable when the
// directory cannot be made or read.
func Open(ctx context.Context, warehouse string, opts Options) (*Store, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if warehouse == "" {
		return nil, feature.Errorf(feature.ErrInvalid, "no warehouse directory given")
	}
	root, err := filepath.Abs(warehouse)
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "warehouse %s: %w", warehouse, err)
	}
	// iceberg-go takes paths for URIs.
	location, err := url.Parse(root)
	if err != nil || strings.ContainsAny(root, "%#?") {
		return nil, feature.Errorf(feature.ErrInvalid, "warehouse %s: an Iceberg table's path cannot hold %%, # or ?: choose another", root)
	}
	opts = opts.withDefaults()
	if err := makeDir(opts.Disk, filepath.Join(root, namespace)); err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "warehouse %s: %w", warehouse, err)
	}
	if _, err := os.ReadDir(filepath.Join(root, namespace)); err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "warehouse %s: %w", warehouse, err)
	}
	return &Store{root: root, escaped: strings.TrimSuffix(location.JoinPath(namespace).String(), "/"+namespace), opts: opts, memory: &parquetio.Memory{}}, nil
}

// tableDir returns the directory of a view's table.
func (s *Store) tableDir(view string) string { return filepath.Join(s.root, namespace, view) }

// viewName is what a view's name must look like to name a directory everywhere; definitions are stricter.
var viewName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func checkName(view string) error {
	if !viewName.MatchString(view) {
		return feature.Errorf(feature.ErrInvalid, "%q cannot name a view's table: letters, digits, _, - and . may", view)
	}
	return nil
}

// version is a version of a table's metadata.
type version struct {
	number   int
	location string
	meta     table.Metadata
}

// metadataName matches the names that Iceberg's catalogs give to metadata files: the Hadoop catalog's, and those of others.
var metadataName = regexp.MustCompile(`^(?:v(\d+)|(\d{5,})-[0-9a-fA-F-]{36})(?:\.gz)?\.metadata\.json$`)

// versions returns the metadata files of a view's table, oldest first, without their content.
func (s *Store) versions(view string) ([]version, error) {
	dir := filepath.Join(s.tableDir(view), "metadata")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, feature.Errorf(feature.ErrUnavailable, "view %s: reading its table: %w", view, err)
	}
	var found []version
	for _, e := range entries {
		if match := metadataName.FindStringSubmatch(e.Name()); match != nil {
			if n, err := strconv.Atoi(match[1] + match[2]); err == nil {
				found = append(found, version{number: n, location: filepath.Join(dir, e.Name())})
			}
		}
	}
	// By name among those of one number: an uncompressed file of the Hadoop catalog is the last.
	slices.SortFunc(found, func(a, b version) int {
		return cmp.Or(cmp.Compare(a.number, b.number), strings.Compare(a.location, b.location))
	})
	return found, nil
}

// load returns the current version of a view's table; ErrNotFound when the view has none.
func (s *Store) load(ctx context.Context, view string) (*version, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := checkName(view); err != nil {
		return nil, err
	}
	versions, err := s.versions(view)
	if err != nil {
		return nil, err
	}
	if len(versions) == 0 {
		return nil, feature.Errorf(feature.ErrNotFound, "view %s has never been materialized in warehouse %s", view, s.root)
	}
	v := versions[len(versions)-1]
	files := func(context.Context) (icebergio.IO, error) { return filesystem{store: s}, nil }
	t, err := table.NewFromLocation(ctx, table.Identifier{namespace, view}, v.location, files, nil)
	var path *fs.PathError
	switch {
	case errors.As(err, &path):
		return nil, feature.Errorf(feature.ErrUnavailable, "view %s: reading its table: %w", view, err)
	case err != nil:
		return nil, s.failed(view, feature.Errorf(feature.ErrCorrupt, "its table's newest metadata file %s cannot be read: %w", v.location, err))
	}
	v.meta = t.Metadata()
	if err := s.inPlace(view, v.meta.Location()); err != nil {
		return nil, err
	}
	return &v, nil
}

// inPlace fails where a table lies in another directory than it was written in. Its paths are absolute: what is read would be the files of the
// other one, and what is written would go there.
func (s *Store) inPlace(view, location string) error {
	home, dir := s.localPath(location), s.tableDir(view)
	if filepath.Clean(home) == dir {
		return nil
	}
	here, err := os.Stat(dir)
	if err != nil {
		return feature.Errorf(feature.ErrUnavailable, "view %s: reading its table: %w", view, err)
	}
	if there, err := os.Stat(home); err == nil && os.SameFile(here, there) { // by another name, such as a symbolic link
		return nil
	}
	return feature.Errorf(feature.ErrInvalid, "view %s: its table was written in %s and now lies in %s, but its files name each other by absolute paths: "+
		"bring the warehouse back to where it was, or remove %s and run asof materialize %s, which computes all of the history again", view, home, dir, dir, view)
}

// failed gives an error that a file of a view's table has caused the view's name, and says what to do if the file is damaged.
func (s *Store) failed(view string, err error) error {
	if errors.Is(err, feature.ErrCorrupt) {
		return feature.Errorf(feature.ErrCorrupt, "view %s: %w: %s", view, err, s.Remedy(view))
	}
	return feature.Errorf(feature.KindOf(err), "view %s: %w", view, err)
}

// Snapshot returns the current snapshot of a view's history; ErrNotFound when it was never materialized. The caller closes it.
func (s *Store) Snapshot(ctx context.Context, view string) (*Snapshot, error) {
	v, err := s.load(ctx, view)
	if err != nil {
		return nil, err
	}
	current := v.meta.CurrentSnapshot()
	if current == nil {
		return nil, feature.Errorf(feature.ErrNotFound, "view %s: its table has no snapshot: materialize it", view)
	}
	return s.open(ctx, view, v, current)
}

// SnapshotAt returns the snapshot with the given id; ErrNotFound when there is none, or none any more. The caller closes it.
func (s *Store) SnapshotAt(ctx context.Context, view string, id int64) (*Snapshot, error) {
	v, err := s.load(ctx, view)
	if err != nil {
		return nil, err
	}
	snapshot := v.meta.SnapshotByID(id)
	if snapshot == nil {
		return nil, feature.Errorf(feature.ErrNotFound, "view %s has no snapshot %d (any more)", view, id)
	}
	return s.open(ctx, view, v, snapshot)
}

// Since returns the commits after snapshot id up to the current one, oldest first. A commit of another engine, of which is
// not known what it changed, replaces all of time; rewriting files without changing rows is no commit. ErrNotFound tells
// that id is no ancestor of the current snapshot, so that nothing is known of what has changed.
func (s *Store) Since(ctx context.Context, view string, id int64) ([]Commit, error) {
	v, err := s.load(ctx, view)
	if err != nil {
		return nil, err
	}
	var commits []Commit
	for at := v.meta.CurrentSnapshot(); at != nil; at = parent(v.meta, at) {
		if at.SnapshotID == id {
			for i, j := 0, len(commits)-1; i < j; i, j = i+1, j-1 {
				commits[i], commits[j] = commits[j], commits[i]
			}
			return commits, nil
		}
		c, changes, err := commitOf(at)
		if err != nil {
			return nil, feature.Errorf(feature.KindOf(err), "view %s: %w", view, err)
		}
		if changes {
			commits = append(commits, c)
		}
	}
	return nil, feature.Errorf(feature.ErrNotFound, "view %s: snapshot %d is no ancestor of the current one", view, id)
}

// commitOf returns what a snapshot changed; changes is false where it changed no rows.
func commitOf(s *table.Snapshot) (c Commit, changes bool, err error) {
	switch {
	case replacesFiles(s):
		return Commit{}, false, nil
	case ours(s):
		c, err = parseCommit(s.SnapshotID, s.Summary.Properties)
		return c, true, err
	}
	return Commit{SnapshotID: s.SnapshotID, Range: feature.Range{From: feature.MinTime, To: feature.MaxTime}}, true, nil
}

// replacesFiles reports whether a snapshot holds the rows of the one before it in other files.
func replacesFiles(s *table.Snapshot) bool {
	return s.Summary != nil && s.Summary.Operation == table.OpReplace
}

// ours reports whether a snapshot was made by this package.
func ours(s *table.Snapshot) bool { return s.Summary != nil && s.Summary.Properties[propFormat] != "" }

func parent(meta table.Metadata, s *table.Snapshot) *table.Snapshot {
	if s.ParentSnapshotID == nil {
		return nil
	}
	return meta.SnapshotByID(*s.ParentSnapshotID)
}

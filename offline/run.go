package offline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/asof-store/asof/feature"
)

// run is one writer's turn at a view's table. It holds the lock, and every file that it makes goes through create.
type run struct {
	store   *Store
	view    string
	dir     string // the table's
	prefix  string // of the names of its data files; unique
	files   int    // data files made so far
	journal *journal
	sums    checksummed // of its manifests and manifest lists
}

var unfitForNames = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// startRun locks the view's table, clears up what a dead run has left, and begins a journal.
func (s *Store) startRun(ctx context.Context, view, runID string) (_ *run, err error) {
	if err := checkName(view); err != nil {
		return nil, err
	}
	dir := s.tableDir(view)
	for _, sub := range []string{"data", "metadata"} {
		if err := makeDir(s.opts.Disk, filepath.Join(dir, sub)); err != nil {
			return nil, feature.Errorf(feature.ErrUnavailable, "view %s: making its directory: %w", view, err)
		}
	}
	j, dead, left, err := acquire(s.opts.Disk, view, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.release())
		}
	}()
	if err := s.syncNames(dir); err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "view %s: making its directory durable: %w", view, err)
	}
	if err := s.clear(ctx, view, j, dead, left); err != nil {
		return nil, err
	}
	prefix := fmt.Sprintf("%.64s-%.8s", unfitForNames.ReplaceAllString(runID, "_"), uuid.NewString())
	if err := j.begin(prefix); err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "view %s: writing its journal: %w", view, err)
	}
	return &run{store: s, view: view, dir: dir, prefix: prefix, journal: j}, nil
}

// ClearUp removes what a dead run has left of the view's table, as the next run does that commits something. While another run goes on there
// is nothing to remove.
func (s *Store) ClearUp(ctx context.Context, view string) error {
	r, err := s.startRun(ctx, view, "")
	if errors.Is(err, errWriting) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.end(false)
}

// syncNames makes durable that there are a table's directory and the lock in it. Whoever has made them may have died before that was
// done; what this run commits there is to stay.
func (s *Store) syncNames(dir string) error {
	for ; len(dir) >= len(s.root); dir = filepath.Dir(dir) {
		if err := s.opts.Disk.SyncDir(dir); err != nil {
			return err
		}
	}
	return s.opts.Disk.SyncDir(dir)
}

// clear removes the files of the run with the given prefix, unless its commit is in the table. A run makes one commit that
// refers to its files, so without it nothing does.
func (s *Store) clear(ctx context.Context, view string, j *journal, prefix string, files []string) error {
	if len(files) == 0 {
		return nil
	}
	committed, err := s.committed(ctx, view, prefix)
	if err != nil {
		return err
	}
	if err := j.forget(files, committed); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "view %s: removing the files of a run that died: %w", view, err)
	}
	return nil
}

// committed reports whether a snapshot of the view's table was made by the run with the given prefix.
func (s *Store) committed(ctx context.Context, view, prefix string) (bool, error) {
	v, err := s.load(ctx, view)
	if errors.Is(err, feature.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, snapshot := range v.meta.Snapshots() {
		if ours(&snapshot) && snapshot.Summary.Properties[propFiles] == prefix {
			return true, nil
		}
	}
	return false, nil
}

// end frees the lock. After a failure it first removes what the run has made, as the next run would: a full disk should
// not stay full. That is an attempt; what it cannot remove stays in the journal.
func (r *run) end(failed bool) error {
	if failed {
		if prefix, files, err := r.journal.read(); err == nil {
			// The run's context may be what has ended it.
			_ = r.store.clear(context.Background(), r.view, r.journal, prefix, files)
		}
		return r.journal.release()
	}
	// What is committed stays; a journal that could not be emptied names committed files, which is no harm.
	if _, files, err := r.journal.read(); err == nil {
		_ = r.journal.forget(files, true)
	}
	return r.journal.release()
}

// create makes a file of the run.
func (r *run) create(kind, path string) (*durableFile, error) {
	if err := r.store.opts.Step(kind, false); err != nil {
		return nil, err
	}
	if err := r.journal.note(path); err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "view %s: writing its journal: %w", r.view, err)
	}
	f, err := r.store.opts.Disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "view %s: %w", r.view, err)
	}
	return &durableFile{File: f, kind: kind, step: r.store.opts.Step}, nil
}

// nextDataFile makes the run's next data file.
func (r *run) nextDataFile() (*durableFile, error) {
	r.files++
	return r.create(stepDataFile, filepath.Join(r.dir, "data", fmt.Sprintf("%s-%05d.parquet", r.prefix, r.files)))
}

// metadataOf returns the metadata that a commit stages on a base; it may be called again on a newer one.
type metadataOf func(base *version) (table.Metadata, error)

// commitTriesMax bounds how often a commit is tried again when others, who change other parts of the metadata, are faster.
const commitTriesMax = 16

// publish makes build's result the next version of the view's metadata. Where somebody else publishes that version first,
// build is asked again: it decides whether its change still stands. base is nil when the view has no table.
//
// iceberg-go's Hadoop catalog publishes in the same way, but without syncing: after a power cut it could leave an
// empty file as the newest version, and the table unreadable.
func (s *Store) publish(ctx context.Context, view string, r *run, build metadataOf) (*version, error) {
	for range commitTriesMax {
		base, err := s.load(ctx, view)
		if errors.Is(err, feature.ErrNotFound) {
			base, err = nil, nil
		}
		if err != nil {
			return nil, err
		}
		meta, err := build(base)
		if err != nil {
			return nil, err
		}
		next := &version{number: 1, meta: meta}
		if base != nil {
			next.number = base.number + 1
		}
		err = s.write(view, r, next)
		if !errors.Is(err, os.ErrExist) {
			return next, err
		}
	}
	return nil, feature.Errorf(feature.ErrConflict, "view %s: others have changed its table %d times meanwhile: try again", view, commitTriesMax)
}

// write writes a metadata version and gives it its name; os.ErrExist tells that the name was taken.
func (s *Store) write(view string, r *run, v *version) error {
	dir := filepath.Join(s.tableDir(view), "metadata")
	v.location = filepath.Join(dir, fmt.Sprintf("v%d.metadata.json", v.number))
	tmp, err := s.writeTemporary(dir, r, v.meta)
	if err != nil {
		return err
	}
	defer s.opts.Disk.Remove(tmp) // if that fails the journal has it, or it is a tag's, and small
	if err := s.opts.Step(stepCommit, false); err != nil {
		return err
	}
	// A crash before the link leaves the old version and a temporary file. Link, unlike rename, fails where the name is taken.
	if err := s.opts.Disk.Link(tmp, v.location); err != nil {
		if errors.Is(err, os.ErrExist) {
			return err
		}
		return feature.Errorf(feature.ErrUnavailable, "view %s: publishing its metadata: %w", view, err)
	}
	// A crash before the sync leaves the old version or the new one; both are whole.
	if err := s.opts.Disk.SyncDir(dir); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "view %s: publishing its metadata: %w", view, err)
	}
	if err := s.opts.Step(stepCommit, true); err != nil {
		return err
	}
	return s.writeHint(dir, v.number)
}

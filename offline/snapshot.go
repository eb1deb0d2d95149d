package offline

import (
	"context"
	"errors"
	"slices"

	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
)

// Snapshot is a view's history as one commit left it. It never changes, whatever is written meanwhile. Its methods may be
// used by several goroutines; Close comes after the last of them.
type Snapshot struct {
	store    *Store
	view     string
	snapshot *table.Snapshot
	progress Progress
	keys     []feature.Field
	columns  []column
	order    []string
	files    []dataFile
	handles  *handles
	nulls    nullColumns
}

func (s *Store) open(ctx context.Context, view string, v *version, snapshot *table.Snapshot) (*Snapshot, error) {
	out, err := s.describe(view, v, snapshot)
	if err != nil {
		return nil, err
	}
	event, _ := find(out.columns, feature.EventTimeColumn)
	files, deletes, err := s.liveFiles(ctx, view, v.meta, snapshot, event.id, sortedIn(v.meta, out.columns, out.order))
	if err != nil {
		return nil, err
	}
	if err := checkReadable(view, snapshot.SnapshotID, files, deletes); err != nil {
		return nil, err
	}
	out.files = files
	return out, nil
}

// describe returns a snapshot without its files.
func (s *Store) describe(view string, v *version, snapshot *table.Snapshot) (*Snapshot, error) {
	schema := v.meta.CurrentSchema()
	if snapshot.SchemaID != nil {
		for _, sc := range v.meta.Schemas() {
			if sc.ID == *snapshot.SchemaID {
				schema = sc
			}
		}
	}
	columns, err := columnsOf(view, schema)
	if err != nil {
		return nil, err
	}
	commit, keys, err := provenance(view, v.meta, snapshot)
	if err != nil {
		return nil, err
	}
	out := &Snapshot{store: s, view: view, snapshot: snapshot, progress: commit.Progress, columns: columns, handles: newHandles(s, view)}
	for _, name := range keys {
		c, ok := find(columns, name)
		if !ok || !c.Type.IsKey() {
			return nil, feature.Errorf(feature.ErrInvalid, "view %s: another engine has changed the key column %s of its table: rebuild the view", view, name)
		}
		out.keys = append(out.keys, c.Field)
	}
	event, ok := find(columns, feature.EventTimeColumn)
	if !ok || event.Type != feature.Scalar(feature.Timestamp) {
		return nil, feature.Errorf(feature.ErrInvalid, "view %s: another engine has changed the column %s of its table: rebuild the view", view, feature.EventTimeColumn)
	}
	out.order = orderColumns(keys, columns)
	return out, nil
}

// provenance returns the commit whose progress holds at a snapshot, and the key columns: the newest of this package's
// own, at it or before it. Other engines' commits carry none.
func provenance(view string, meta table.Metadata, snapshot *table.Snapshot) (Commit, []string, error) {
	for at := snapshot; at != nil; at = parent(meta, at) {
		if !ours(at) {
			continue
		}
		c, err := parseCommit(at.SnapshotID, at.Summary.Properties)
		if err != nil {
			return c, nil, feature.Errorf(feature.KindOf(err), "view %s: %w", view, err)
		}
		keys, err := parseKeys(at.SnapshotID, at.Summary.Properties)
		return c, keys, err
	}
	return Commit{}, nil, feature.Errorf(feature.ErrInvalid, "view %s: no commit of asof is left in the lineage of snapshot %d, another engine has written and expired too much: rebuild the view", view, snapshot.SnapshotID)
}

// sortedIn returns a function that tells whether files with a sort order id are sorted by the named columns.
func sortedIn(meta table.Metadata, columns []column, names []string) func(*int) bool {
	return func(id *int) bool {
		if id == nil {
			return false
		}
		for _, o := range meta.SortOrders() {
			if o.OrderID() == *id {
				return isOrder(o, columns, names)
			}
		}
		return false
	}
}

// isOrder reports whether an order sorts by the named columns, ascending with NULLs first.
func isOrder(o table.SortOrder, columns []column, names []string) bool {
	if o.Len() != len(names) {
		return false
	}
	for i, name := range names {
		c, ok := find(columns, name)
		f := o.Field(i)
		if !ok || f.SourceID() != c.id || f.Direction != table.SortASC || f.NullOrder != table.NullsFirst || f.Transform.String() != "identity" {
			return false
		}
	}
	return true
}

// ID returns the Iceberg snapshot id.
func (s *Snapshot) ID() int64 { return s.snapshot.SnapshotID }

// View returns the view's name.
func (s *Snapshot) View() string { return s.view }

// Progress returns how far the view was, and by which run.
func (s *Snapshot) Progress() Progress { return s.progress }

// Rows returns the number of rows.
func (s *Snapshot) Rows() (n int64) {
	for _, f := range s.files {
		n += f.Rows
	}
	return n
}

// Bytes returns the size of the data files.
func (s *Snapshot) Bytes() (n int64) {
	for _, f := range s.files {
		n += f.Bytes
	}
	return n
}

// Fields returns the stored columns in order: those of feature.View.Columns at the time of the commit.
func (s *Snapshot) Fields() []feature.Field {
	fields := make([]feature.Field, len(s.columns))
	for i, c := range s.columns {
		fields[i] = c.Field
	}
	return fields
}

// Keys returns the key columns in order.
func (s *Snapshot) Keys() []feature.Field { return slices.Clone(s.keys) }

// Files returns the data files in the order of [Snapshot.Runs].
func (s *Snapshot) Files() []FileInfo {
	files := make([]FileInfo, len(s.files))
	for i, f := range s.files {
		files[i] = f.FileInfo
	}
	return files
}

// BytesRead returns how many bytes of data files have been read so far, pages and their indexes, from all runs of the snapshot.
func (s *Snapshot) BytesRead() int64 { return s.handles.read.Load() }

// Close closes the snapshot's files. Its runs are of no use afterwards.
func (s *Snapshot) Close() error { return s.handles.close() }

// Tag gives the snapshot an Iceberg tag, which keeps it when snapshots are expired. It may run while a view is written. To tag
// a snapshot twice with one name does nothing; ErrConflict tells that the name is another snapshot's.
func (s *Snapshot) Tag(ctx context.Context, name string) error {
	if name == "" || name == table.MainBranch {
		return feature.Errorf(feature.ErrInvalid, "%q cannot be the name of a tag", name)
	}
	done := errors.New("tagged already")
	_, err := s.store.publish(ctx, s.view, nil, func(now *version) (table.Metadata, error) {
		if now == nil || now.meta.SnapshotByID(s.ID()) == nil {
			return nil, feature.Errorf(feature.ErrNotFound, "view %s has no snapshot %d any more", s.view, s.ID())
		}
		for tag, ref := range now.meta.Refs() {
			switch {
			case tag == name && ref.SnapshotID == s.ID():
				return nil, done
			case tag == name:
				return nil, feature.Errorf(feature.ErrConflict, "view %s: the tag %q belongs to snapshot %d already", s.view, name, ref.SnapshotID)
			}
		}
		return stage(now.meta, now.location, []table.Update{table.NewSetSnapshotRefUpdate(name, s.ID(), table.TagRef, 0, 0, 0)})
	})
	if errors.Is(err, done) {
		return nil
	}
	return err
}

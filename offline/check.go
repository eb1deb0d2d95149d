package offline

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
)

// Finding is something that [Store.Check] has found.
type Finding struct {
	Where string // the file, with row group and column, or the snapshot
	What  string // what it is and what it should be, and what to do if that is not [Store.Remedy]
	// Remark says that nothing is broken: files that belong to nobody take up room.
	Remark bool
}

// CheckOptions change what [Store.Check] does. The zero value works.
type CheckOptions struct {
	// Rows, if not nil, is called with the rows of data files of the view as it is defined: those of one row group at a time, in the columns
	// of feature.View.Columns. What it returns is a finding.
	Rows func(rows arrow.RecordBatch) error
	// Progress, if not nil, is called with the number of rows that have been checked.
	Progress func(rows int64)
}

// Checked is how much [Store.Check] has looked at.
type Checked struct {
	Snapshots, Manifests, Files int
	Rows, Bytes                 int64 // of the data files
	Faults, Remarks             int
}

// Check derives from the stored bytes of a view's table all that must hold of it, in all snapshots that there are, and reports what does
// not: checksums; the lineage of snapshots and what commits record; that files exist and have their size and rows; the order of rows;
// counts, NULLs and bounds in manifests, footers and page indexes; event times within what is materialized and what commits replaced. It goes on
// after a fault, and holds one row group in memory. Writers may be at work meanwhile. ErrNotFound tells that the view was never
// materialized; other errors that the check could not go on.
func (s *Store) Check(ctx context.Context, view *feature.View, o CheckOptions, report func(Finding)) (Checked, error) {
	if err := checkName(view.Name); err != nil {
		return Checked{}, err
	}
	c := &checker{ctx: ctx, store: s, view: view, o: o, report: report, dir: s.tableDir(view.Name),
		made: map[int64]Commit{}, known: map[string]bool{}, manifests: map[string]liveCounts{}, rows: map[int64]int64{}}
	err := c.check()
	return c.done, err
}

// Remedy says what to do about a table that has faults.
func (s *Store) Remedy(view string) string {
	return fmt.Sprintf("restore the file from a backup, or remove %s and run asof materialize %s, which computes all of the history again", s.tableDir(view), view)
}

// checker is a check under way.
type checker struct {
	ctx    context.Context
	store  *Store
	view   *feature.View
	o      CheckOptions
	report func(Finding)
	done   Checked
	dir    string // the table's

	table     *version
	from      filesystem            // to read manifests
	made      map[int64]Commit      // by snapshot, those of asof
	foreign   bool                  // another engine has changed rows
	expired   bool                  // another engine has removed snapshots meanwhile
	known     map[string]bool       // files that the table refers to
	manifests map[string]liveCounts // those that have been read
	rows      map[int64]int64       // by snapshot: rows that it wrote into its range
}

func (c *checker) fault(where, format string, args ...any) {
	c.done.Faults++
	c.report(Finding{Where: where, What: fmt.Sprintf(format, args...)})
}

// name is a file's path as findings give it: below the table's directory.
func (c *checker) name(path string) string {
	if rel, err := filepath.Rel(c.dir, path); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return path
}

// text is what an error of the table says, without the view and what to do about it.
func (c *checker) text(err error) string {
	return strings.TrimSuffix(strings.TrimPrefix(err.Error(), "view "+c.view.Name+": "), ": "+c.store.Remedy(c.view.Name))
}

// check looks at the directory before it reads the table: what a run creates later is not taken for what belongs to nobody.
func (c *checker) check() error {
	there, err := c.list()
	if err != nil {
		return err
	}
	listed := c.journal()
	hint, hintErr := os.ReadFile(filepath.Join(c.dir, "metadata", "version-hint.text"))
	if c.table, err = c.store.load(c.ctx, c.view.Name); err != nil {
		if errors.Is(err, feature.ErrCorrupt) {
			c.fault("metadata", "%s", c.text(err))
			err = c.versions("")
		}
		return err
	}
	c.from = filesystem{store: c.store, sums: checksumsOf(c.table.meta)}
	if hintErr == nil {
		c.hint(string(hint))
	}
	if err := c.versions(c.table.location); err != nil {
		return err
	}
	if err := c.commits(); err != nil {
		return err
	}
	if err := c.snapshots(); err != nil {
		return err
	}
	c.totals()
	if err := c.ranges(); err != nil {
		return err
	}
	c.leftOver(there, listed)
	return nil
}

// list returns the files in the table's directory.
func (c *checker) list() (paths []string, err error) {
	for _, sub := range []string{"data", "metadata"} {
		entries, err := os.ReadDir(filepath.Join(c.dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, feature.Errorf(feature.ErrUnavailable, "view %s: %w", c.view.Name, err)
		}
		for _, e := range entries {
			paths = append(paths, filepath.Join(c.dir, sub, e.Name()))
		}
	}
	return paths, nil
}

// journal returns the files that the journal lists: of a run that goes on, or of one that has died.
func (c *checker) journal() map[string]bool {
	listed := map[string]bool{}
	content, err := os.ReadFile(filepath.Join(c.dir, lockFile))
	if err != nil {
		return listed // no run has been there, or it cannot be read by the next one either
	}
	lines, right := journalLines(content)
	if !right {
		c.fault(lockFile, "a line does not match its checksum: the next run empties the journal and removes none of the files that it lists")
	}
	for _, line := range lines {
		if name, ok := strings.CutPrefix(line, "file "); ok {
			listed[filepath.Join(c.dir, name)] = true
		}
	}
	return listed
}

func (c *checker) hint(text string) {
	if n, err := strconv.Atoi(text); err != nil || n < 1 || n > c.table.number {
		c.fault("metadata/version-hint.text", "it says %q and the newest version is %d: other engines may not find it; write %d into the file, or leave that to the next run",
			text, c.table.number, c.table.number)
	}
}

// versions looks at the metadata versions but the current one, which nobody reads any more.
func (c *checker) versions(current string) error {
	all, err := c.store.versions(c.view.Name)
	if err != nil {
		return err
	}
	for _, v := range all {
		c.known[v.location] = true
		if v.location == current || current == "" && v.number == all[len(all)-1].number {
			continue
		}
		content, err := filesystem{store: c.store}.ReadFile(v.location)
		if errors.Is(err, fs.ErrNotExist) {
			continue // writers remove the oldest
		}
		if err == nil && strings.HasSuffix(v.location, ".json") && !strings.HasSuffix(v.location, ".gz.metadata.json") && !json.Valid(content) {
			err = errors.New("it is no JSON")
		}
		if err != nil {
			c.fault(c.name(v.location), "%v: it is an old version, which nobody needs: remove it", err)
		}
	}
	return nil
}

// leftOver remarks on files that the table does not refer to. Where something is broken it is not known which those are: a manifest that cannot be
// read may refer to them.
func (c *checker) leftOver(there []string, listed map[string]bool) {
	if c.done.Faults > 0 {
		return
	}
	for _, path := range there {
		if c.known[path] || filepath.Base(path) == "version-hint.text" {
			continue
		}
		if _, err := os.Lstat(path); err != nil {
			continue // it has been removed meanwhile
		}
		what := "no snapshot refers to it: it may be removed while nobody writes to the table"
		if listed[path] {
			what = "it is of a run that goes on, or that has died: then the next run removes it"
		}
		c.done.Remarks++
		c.report(Finding{Where: c.name(path), What: what, Remark: true})
	}
}

// commits holds what snapshots record against their parents. It fails where a newer asof has written them.
func (c *checker) commits() error {
	meta := c.table.meta
	for name, ref := range meta.Refs() {
		if meta.SnapshotByID(ref.SnapshotID) == nil {
			c.fault(c.name(c.table.location), "the reference %s is to snapshot %d, which is not there", name, ref.SnapshotID)
		}
	}
	for _, snapshot := range meta.Snapshots() {
		where := fmt.Sprintf("snapshot %d", snapshot.SnapshotID)
		before := parent(meta, &snapshot)
		if before != nil && before.SequenceNumber >= snapshot.SequenceNumber {
			c.fault(where, "its sequence number is %d and that of snapshot %d before it %d: it should be greater", snapshot.SequenceNumber, before.SnapshotID, before.SequenceNumber)
		}
		if !ours(&snapshot) {
			_, changes, _ := commitOf(&snapshot)
			c.foreign = c.foreign || changes
			continue
		}
		now, _, err := provenance(c.view.Name, meta, &snapshot)
		if errors.Is(err, feature.ErrInvalid) {
			return err
		}
		if err != nil {
			c.fault(where, "%s", c.text(err))
			continue
		}
		now.Progress.Sources, now.Progress.Stale = nil, nil // of all commits they would be much
		c.record(where, &now)
		if replacesFiles(&snapshot) {
			c.compacted(where, &snapshot, before)
		} else {
			c.made[snapshot.SnapshotID] = now
		}
		if before == nil || now.Rebuild {
			continue
		}
		if last, _, err := provenance(c.view.Name, meta, before); err == nil {
			c.follows(where, &last.Progress, &now.Progress)
		}
	}
	return nil
}

// record holds what a commit records against itself.
func (c *checker) record(where string, commit *Commit) {
	p := &commit.Progress
	covered := feature.Range{From: p.Start, To: p.Watermark}
	if commit.Range.Empty() || commit.Range.From < covered.From || commit.Range.To > covered.To {
		c.fault(where, "it replaced %s, which does not lie within %s, what is materialized", commit.Range, covered)
	}
	if p.Rows < 0 {
		c.fault(where, "it says that its run wrote %d rows", p.Rows)
	}
}

// follows holds what a commit records against the one before it.
func (c *checker) follows(where string, before, now *Progress) {
	switch {
	case now.Watermark < before.Watermark:
		c.fault(where, "its watermark is %s and that before it %s: only a rebuild may turn it back", now.Watermark, before.Watermark)
	case now.Start > before.Start:
		c.fault(where, "its history starts at %s and that before it at %s: only a rebuild may cut it off", now.Start, before.Start)
	case now.Hash != before.Hash:
		c.fault(where, "its definition is %s and that before it %s: only a rebuild may change it", now.Hash, before.Hash)
	}
}

// compacted holds a snapshot that merged files against the one before it: it has other files, and nothing else of it is another.
func (c *checker) compacted(where string, snapshot, before *table.Snapshot) {
	if before == nil || before.Summary == nil {
		return
	}
	is, was := snapshot.Summary.Properties, before.Summary.Properties
	if is["total-records"] != was["total-records"] {
		c.fault(where, "it merged files, and has %s rows where snapshot %d before it has %s", is["total-records"], before.SnapshotID, was["total-records"])
	}
	for _, name := range []string{propKeys, propWatermark, propStart, propFrom, propTo, propRun, propHash, propRows, propSources, propStale} {
		if ours(before) && is[name] != was[name] {
			c.fault(where, "it merged files, and its property %s is not that of snapshot %d before it", name, before.SnapshotID)
		}
	}
}

// totals holds how many rows runs say to have written against those in their files.
func (c *checker) totals() {
	if c.done.Faults > 0 || c.expired {
		return // files that cannot be read have not been counted
	}
	for id, commit := range c.made {
		if commit.Progress.Rows != c.rows[id] {
			c.fault(fmt.Sprintf("snapshot %d", id), "its files have %d rows in the range that it replaced, its run says to have written %d", c.rows[id], commit.Progress.Rows)
		}
	}
}

// ranges looks, in the current snapshot and in those with tags, for files with event times in a range that a later commit replaced.
func (c *checker) ranges() error {
	meta := c.table.meta
	looked := map[int64]bool{}
	for _, ref := range meta.Refs() {
		snapshot := meta.SnapshotByID(ref.SnapshotID)
		if snapshot == nil || looked[ref.SnapshotID] {
			continue
		}
		looked[ref.SnapshotID] = true
		open, err := c.store.open(c.ctx, c.view.Name, c.table, snapshot)
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if err != nil {
			continue // reported already
		}
		files := slices.SortedFunc(slices.Values(open.files), func(a, b dataFile) int { return cmp.Compare(b.sequence, a.sequence) })
		for at := snapshot; at != nil; at = parent(meta, at) {
			commit, is := c.made[at.SnapshotID]
			for _, f := range files {
				if is && f.sequence < at.SequenceNumber && (commit.Rebuild || f.Events.Overlaps(commit.Range)) {
					c.fault(c.name(f.Path), "it has event times in %s and is part of snapshot %d, though snapshot %d has replaced %s after it was written",
						f.Events, snapshot.SnapshotID, at.SnapshotID, commit.Range)
				}
			}
		}
		if err := open.Close(); err != nil {
			return err
		}
	}
	return nil
}

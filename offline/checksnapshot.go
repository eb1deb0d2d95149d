package offline

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
)

// liveCounts are the data files in a manifest that it does not tell to be removed, and their rows.
type liveCounts struct {
	files int
	rows  int64
	fails bool // the manifest cannot be read
}

// snapshots checks all snapshots, newest first, and each manifest and data file once.
func (c *checker) snapshots() error {
	all := c.table.meta.Snapshots()
	slices.SortFunc(all, func(a, b table.Snapshot) int { return cmp.Compare(b.SequenceNumber, a.SequenceNumber) })
	for i := range all {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if err := c.snapshot(&all[i]); err != nil {
			return err
		}
		c.done.Snapshots++
	}
	return nil
}

func (c *checker) snapshot(snapshot *table.Snapshot) (err error) {
	where := fmt.Sprintf("snapshot %d", snapshot.SnapshotID)
	list := c.store.localPath(snapshot.ManifestList)
	c.known[list] = true
	open, err := c.store.describe(c.view.Name, c.table, snapshot)
	if err != nil {
		c.fault(where, "%s", c.text(err))
		return nil
	}
	defer func() { err = errors.Join(err, open.Close()) }()
	manifests, err := snapshot.Manifests(c.from)
	if err != nil {
		c.faultUnlessGone(snapshot, c.name(list), "%v", err)
		return nil
	}
	sum := liveCounts{}
	for _, m := range manifests {
		n, read := c.manifests[m.FilePath()]
		if !read {
			if n, err = c.manifest(snapshot, open, m); err != nil {
				return err
			}
			c.manifests[m.FilePath()] = n
			c.done.Manifests++
		}
		sum.files, sum.rows, sum.fails = sum.files+n.files, sum.rows+n.rows, sum.fails || n.fails
	}
	if !sum.fails && ours(snapshot) {
		c.summary(where, snapshot, sum)
	}
	return nil
}

// summary holds what a snapshot says of all its files against their manifests.
func (c *checker) summary(where string, snapshot *table.Snapshot, sum liveCounts) {
	for name, is := range map[string]int64{"total-data-files": int64(sum.files), "total-records": sum.rows} {
		if says := snapshot.Summary.Properties[name]; says != strconv.FormatInt(is, 10) {
			c.fault(where, "it says %s: %s, and its manifests have %d", name, says, is)
		}
	}
}

// manifest checks a manifest and the data files that it names.
func (c *checker) manifest(snapshot *table.Snapshot, open *Snapshot, m iceberg.ManifestFile) (n liveCounts, err error) {
	path := c.store.localPath(m.FilePath())
	c.known[path] = true
	if info, err := os.Stat(path); err == nil && info.Size() != m.Length() {
		c.fault(c.name(path), "it has %d bytes, its manifest list says %d", info.Size(), m.Length())
	}
	event, _ := find(open.columns, feature.EventTimeColumn)
	sorted := sortedIn(c.table.meta, open.columns, open.order)
	is := [3]struct{ files, rows int64 }{}
	for entry, err := range m.Entries(c.from, false) {
		if err != nil {
			c.faultUnlessGone(snapshot, c.name(path), "%v", err)
			return liveCounts{fails: true}, nil
		}
		df := entry.DataFile()
		if status := int(entry.Status()); status < len(is) {
			is[status].files++
			is[status].rows += df.Count()
		}
		if entry.Status() == iceberg.EntryStatusDELETED || df.ContentType() != iceberg.EntryContentData {
			continue
		}
		n.files, n.rows = n.files+1, n.rows+df.Count()
		f := c.store.liveFile(entry, event.id, sorted)
		if c.known[f.Path] {
			continue
		}
		c.known[f.Path] = true
		if err := c.file(snapshot, open, &f, entry.SnapshotID()); err != nil {
			return n, err
		}
	}
	says := [3]struct{ files, rows int64 }{{int64(m.ExistingDataFiles()), m.ExistingRows()}, {int64(m.AddedDataFiles()), m.AddedRows()}, {int64(m.DeletedDataFiles()), m.DeletedRows()}}
	for status, name := range []string{"kept", "added", "deleted"} {
		if is[status] != says[status] {
			c.fault(c.name(path), "it has %d %s files with %d rows, its manifest list says %d with %d", is[status].files, name, is[status].rows, says[status].files, says[status].rows)
		}
	}
	return n, nil
}

// faultUnlessGone reports a fault in a file of a snapshot, unless another engine has expired the snapshot meanwhile.
func (c *checker) faultUnlessGone(snapshot *table.Snapshot, where, format string, args ...any) {
	if now, err := c.store.load(c.ctx, c.view.Name); err == nil && now.meta.SnapshotByID(snapshot.SnapshotID) == nil {
		c.expired = true
		return
	}
	c.fault(where, format, args...)
}

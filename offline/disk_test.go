package offline

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
)

// brokenDisk is a disk on which one operation fails, of those that write or of those that read: done says whether it is done all the
// same.
type brokenDisk struct {
	disk.OS
	at    int
	reads bool
	done  bool
	calls int
	log   []string // of what was done to names, and of truncations
}

var errBroken = &fs.PathError{Op: "use", Path: "the disk", Err: syscall.EIO}

// write does an operation that writes, and read one that reads, or fails.
func (d *brokenDisk) write(operation func() error) error { return d.do(false, operation) }
func (d *brokenDisk) read(operation func() error) error  { return d.do(true, operation) }

func (d *brokenDisk) do(reads bool, operation func() error) error {
	if reads != d.reads {
		return operation()
	}
	d.calls++
	if d.calls-1 != d.at {
		return operation()
	}
	if d.done {
		return errors.Join(operation(), errBroken)
	}
	return errBroken
}

func (d *brokenDisk) OpenFile(path string, flag int, perm fs.FileMode) (f disk.File, err error) {
	err = d.do(flag == os.O_RDONLY, func() (err error) {
		f, err = d.OS.OpenFile(path, flag, perm)
		return err
	})
	if err != nil && f != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &brokenFile{f, d}, err
}

func (d *brokenDisk) Mkdir(path string, perm fs.FileMode) error {
	return d.write(func() error { return d.OS.Mkdir(path, perm) })
}

func (d *brokenDisk) Link(from, to string) error {
	return d.write(func() error { return d.OS.Link(from, to) })
}

func (d *brokenDisk) Rename(from, to string) error {
	return d.write(func() error { return d.OS.Rename(from, to) })
}

func (d *brokenDisk) Remove(path string) error {
	return d.write(func() error {
		d.log = append(d.log, "remove "+path)
		return d.OS.Remove(path)
	})
}

func (d *brokenDisk) SyncDir(path string) error {
	return d.write(func() error {
		d.log = append(d.log, "sync "+path)
		return d.OS.SyncDir(path)
	})
}

// brokenFile is a file of a brokenDisk.
type brokenFile struct {
	disk.File
	disk *brokenDisk
}

func (f *brokenFile) Write(b []byte) (n int, err error) {
	err = f.disk.write(func() (err error) {
		n, err = f.File.Write(b)
		return err
	})
	return n, err
}

func (f *brokenFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.disk.write(func() (err error) {
		n, err = f.File.WriteAt(b, at)
		return err
	})
	return n, err
}

func (f *brokenFile) Sync() error { return f.disk.write(f.File.Sync) }

func (f *brokenFile) Truncate(size int64) error {
	return f.disk.write(func() error {
		f.disk.log = append(f.disk.log, "truncate "+f.Name())
		return f.File.Truncate(size)
	})
}

func (f *brokenFile) Read(b []byte) (n int, err error) {
	err = f.disk.read(func() (err error) {
		n, err = f.File.Read(b)
		return err
	})
	return n, err
}

func (f *brokenFile) ReadAt(b []byte, at int64) (n int, err error) {
	err = f.disk.read(func() (err error) {
		n, err = f.File.ReadAt(b, at)
		return err
	})
	return n, err
}

// TestBrokenDisk lets operation 0, 1, 2, ... of a disk fail during a run, until none is left to fail: writes that are not done, writes
// that are done all the same, and reads. Each is a trouble that may pass, and says so; the history is the old one or the new one, and the
// run can be repeated.
func TestBrokenDisk(t *testing.T) {
	for name, c := range map[string]struct {
		disk         brokenDisk
		runs, stride int
	}{
		"first run":         {brokenDisk{}, 0, 1},
		"first run, done":   {brokenDisk{done: true}, 0, 3},
		"second run":        {brokenDisk{}, 1, 5},
		"second run, done":  {brokenDisk{done: true}, 1, 5},
		"second run, reads": {brokenDisk{reads: true}, 1, 11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for breakDisk(t, c.runs, c.disk) {
				c.disk.at += c.stride
			}
			if c.disk.at < 40 {
				t.Fatalf("a run has %d operations only", c.disk.at)
			}
		})
	}
}

// breakDisk fails one operation of a run, and reports whether the run has got to it.
func breakDisk(t *testing.T, runs int, d brokenDisk) bool {
	t.Helper()
	dir := tempDir(t)
	prepareRuns(t, dir, runs)
	at, o := d.at, smallFiles
	o.Disk = &d
	s, err := Open(context.Background(), dir, o)
	var snapshot *Snapshot
	if err == nil {
		snapshot, err = runNumber(runs)(s)
	}
	if err == nil {
		err = snapshot.Close() // what has failed is of no account, such as a temporary file that was not removed
	} else if feature.KindOf(err) != feature.ErrUnavailable || !errors.Is(err, syscall.EIO) {
		t.Fatalf("operation %d fails with an error of kind %q: %v", at, feature.KindOf(err), err)
	}
	if d.calls <= at {
		return false
	}
	seen := runs
	if after, err := openStore(t, dir, smallFiles).Snapshot(context.Background(), "purchases"); err == nil {
		if commit := after.Progress().Range; commit.To == 150 || runs == 0 {
			seen++
		}
		if err := after.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err == nil && seen == runs {
		t.Fatalf("operation %d: the run has ended well, and its history is not there", at)
	}
	checkHistory(t, dir, seen)
	snapshot, err = runNumber(runs)(openStore(t, dir, smallFiles))
	if err != nil {
		t.Fatalf("repeating the run after operation %d: %v", at, err)
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	checkHistory(t, dir, runs+1)
	checkOrphans(t, dir)
	return true
}

// TestDirectoriesAreDurable runs a view whose directories another process has made, and had no time to make durable: a power cut
// after the commit may not take them away.
func TestDirectoriesAreDurable(t *testing.T) {
	dir := tempDir(t)
	for _, name := range []string{"data", "metadata"} {
		if err := os.MkdirAll(filepath.Join(dir, namespace, "purchases", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d, o := &brokenDisk{at: -1}, smallFiles
	o.Disk = d
	snapshot, err := first(openStore(t, dir, o))
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	table := filepath.Join(dir, namespace, "purchases")
	for _, name := range []string{filepath.Dir(dir), dir, filepath.Dir(table), table, filepath.Join(table, "data"), filepath.Join(table, "metadata")} {
		if !slices.Contains(d.log, "sync "+name) {
			t.Errorf("the names in %s were not made durable", name)
		}
	}
}

// linkLies is a disk on which a link fails that is made all the same.
type linkLies struct{ *brokenDisk }

func (d linkLies) Link(from, to string) error {
	return errors.Join(d.brokenDisk.Link(from, to), errBroken)
}

// TestForgettingIsDurable lets a run fail before its commit, and after it. What it has removed then, or its commit, has to be durable before
// the journal forgets its files, or a power cut could leave files that nobody knows of.
func TestForgettingIsDurable(t *testing.T) {
	broken := errors.New("broken on purpose")
	for name, after := range map[string]bool{"before the commit": false, "after the commit": true} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			d, o := &brokenDisk{at: -1}, smallFiles
			o.Disk = d
			if after {
				o.Disk = linkLies{d}
			} else {
				o.Step = func(name string, _ bool) error {
					if name == stepCommit {
						return broken
					}
					return nil
				}
			}
			if _, err := first(openStore(t, dir, o)); !errors.Is(err, broken) && !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			table := filepath.Join(dir, namespace, "purchases")
			want := []string{"sync " + filepath.Join(table, "data"), "sync " + filepath.Join(table, "metadata"), "truncate " + filepath.Join(table, lockFile)}
			if got := d.log[max(0, len(d.log)-len(want)):]; !slices.Equal(got, want) {
				t.Fatalf("at the end come %v, want %v", got, want)
			}
		})
	}
}

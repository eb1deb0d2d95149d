package online

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/filelock"
)

// asidePrefix begins the names of directories, within that of a store, that hold what a store was before it was set aside.
const asidePrefix = "damaged-"

// SetAside empties the directory of a store that is damaged, so that Open makes a new one there, and returns where its files are now: in a
// directory of their own within it, which is the caller's to keep or to remove. A call that ends half way leaves a store
// that is damaged still, or gone; the next call goes on.
func SetAside(path string, now time.Time) (aside string, err error) {
	held, err := lockDirectory(path, false)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, held.release()) }()
	unavailable := func(err error) (string, error) {
		return "", feature.Errorf(feature.ErrUnavailable, "setting the files of online store %s aside: %w", path, err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return unavailable(err)
	}
	aside, err = os.MkdirTemp(path, asidePrefix+now.UTC().Format("20060102T150405Z")+"-*")
	if err != nil {
		return unavailable(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), asidePrefix) || e.Name() == lockName {
			continue
		}
		if err := os.Rename(filepath.Join(path, e.Name()), filepath.Join(aside, e.Name())); err != nil {
			return unavailable(err)
		}
	}
	return aside, nil
}

// directoryLock is the right to use a store's directory: alone, or beside others that read too.
type directoryLock struct {
	directory *os.File
	pid       string // the path of the file that names the process; "" of a reader
}

// lockName is the file that names the process which holds a directory. It is a note for others, and not what is locked.
const lockName = "LOCK"

// lockDirectory locks the directory path, and makes it for a writer if need be. The lock is the one that Badger would take, flock(2) on the
// directory; the kernel frees that of a dead process.
func lockDirectory(path string, readOnly bool) (*directoryLock, error) {
	unavailable := func(err error) (*directoryLock, error) {
		return nil, feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
	}
	lock := filelock.TryShared
	if readOnly {
		if _, err := os.Stat(filepath.Join(path, badger.ManifestFilename)); errors.Is(err, fs.ErrNotExist) {
			return nil, feature.Errorf(feature.ErrNotFound, "there is no online store at %s: run asof materialize first", path)
		}
	} else {
		lock = filelock.Try
		if err := os.MkdirAll(path, 0o777); err != nil {
			return unavailable(err)
		}
	}
	directory, err := os.Open(path)
	if err != nil {
		return unavailable(err)
	}
	l := &directoryLock{directory: directory}
	name := filepath.Join(path, lockName)
	err = lock(directory)
	if errors.Is(err, filelock.ErrTaken) {
		err = feature.Errorf(feature.ErrUnavailable, "online store %s is held by %s, which may be asof serve: "+
			"talk to that server (--server HOST:PORT), or stop the process and try again", path, holder(name))
		return nil, errors.Join(err, directory.Close())
	}
	if err == nil && !readOnly {
		l.pid = name
		err = os.WriteFile(name, fmt.Appendln(nil, os.Getpid()), 0o666)
	}
	if err != nil {
		return unavailable(errors.Join(err, directory.Close()))
	}
	return l, nil
}

// holder says which process holds a directory, as far as the file at path tells.
func holder(path string) string {
	text, err := os.ReadFile(path)
	if err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil {
			return fmt.Sprintf("process %d", pid)
		}
	}
	return "another process"
}

// release frees the directory.
func (l *directoryLock) release() error {
	var err error
	if l.pid != "" {
		err = os.Remove(l.pid)
	}
	return errors.Join(err, filelock.Release(l.directory))
}

// sweepDirectory removes files that say nothing, which Badger makes anew, but does not open when they are damaged: statistics, which
// nothing here uses; the keys of an encryption that there is none of; and logs that were being made or removed when the process died.
func sweepDirectory(path string) error {
	remove := []string{filepath.Join(path, "DISCARD"), filepath.Join(path, badger.KeyRegistryFileName)}
	logs, err := filesOf(path, ".mem", ".vlog")
	if err != nil {
		return err
	}
	for _, log := range logs {
		if info, err := os.Stat(log); err == nil && info.Size() == 0 {
			remove = append(remove, log)
		}
	}
	for _, name := range remove {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
		}
	}
	return nil
}

// filesOf returns the paths of the files in the directory path whose names end so.
func filesOf(path string, endings ...string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
	}
	var files []string
	for _, e := range entries {
		if slices.Contains(endings, filepath.Ext(e.Name())) {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	return files, nil
}

// checkFiles reads the files of a store that is not open, before Badger does: Badger reads some of them in goroutines where a panic over
// damage would end the process, leaves out tables whose checksum fails, removes those that its manifest does not name, and
// cuts logs off where they are damaged. All that is served from files that were there has then been read and is whole.
func checkFiles(path string) error {
	m := manifest{}
	content, err := os.ReadFile(filepath.Join(path, badger.ManifestFilename))
	if err == nil {
		m, err = readManifest(content)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil // a new store, or one that has lost it
	}
	if err != nil {
		return damagedFile(path, badger.ManifestFilename, err)
	}
	logs, err := readLogs(path)
	if err != nil {
		return err
	}
	numbers := slices.Sorted(maps.Keys(m.live))
	tables, faults := readTables(context.Background(), path, numbers)
	var last uint64
	for i, t := range tables {
		if faults[i] != nil {
			faults[i] = damagedFile(path, tableName(numbers[i]), faults[i])
		}
		last = max(last, t.lastVersion)
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return checkUnnamed(path, m, last, logs)
}

// checkUnnamed looks at tables that the manifest does not name. A crash leaves a table that had not got into it, whose rows are in a log or in the tables that
// it was made of; last is the last version in those. One with rows that are nowhere else was named by a part of the manifest that is gone.
func checkUnnamed(path string, m manifest, last uint64, logs []logVersions) error {
	names, err := filesOf(path, ".sst")
	if err != nil {
		return err
	}
	for _, name := range names {
		number, err := strconv.ParseUint(strings.TrimSuffix(filepath.Base(name), ".sst"), 10, 64)
		if err != nil || m.live[number] || m.removed[number] {
			continue
		}
		t, err := readTable(name)
		inLog := func(v logVersions) bool { return v.first <= t.lastVersion && t.lastVersion <= v.last }
		if err != nil || t.lastVersion <= last || slices.ContainsFunc(logs, inLog) {
			continue
		}
		return damagedFile(path, badger.ManifestFilename, fmt.Errorf("its end is missing: it does not name the table %s", filepath.Base(name)))
	}
	return nil
}

// readLogs checks the logs in the directory path and returns what each holds.
func readLogs(path string) ([]logVersions, error) {
	names, err := filesOf(path, ".mem")
	if err != nil {
		return nil, err
	}
	var logs []logVersions
	for _, name := range names {
		versions, err := readLog(name)
		if err != nil {
			return nil, damagedFile(path, filepath.Base(name), err)
		}
		logs = append(logs, versions)
	}
	return logs, nil
}

// Check reads the files again that Badger reads from. What is found is looked at once more: files change, and go, meanwhile.
func (b *badgerKV) Check(ctx context.Context, report func(Finding)) error {
	damaged := func(name string, err error) {
		report(Finding{Where: "online store: " + filepath.Join(b.path, name), What: fmt.Sprintf("%v: stop the process that serves and %s", err, adviceFull)})
	}
	numbers := slices.Sorted(maps.Keys(b.tables()))
	_, faults := readTables(ctx, b.path, numbers)
	content, err := os.ReadFile(filepath.Join(b.path, badger.ManifestFilename))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m := manifest{}
	if err == nil {
		m, err = readManifest(content)
	}
	if err != nil {
		damaged(badger.ManifestFilename, err)
	}
	live := b.tables() // without those that a compaction has replaced meanwhile
	for i, number := range numbers {
		switch {
		case !live[number]:
		case faults[i] != nil:
			damaged(tableName(number), faults[i])
		case err == nil && !m.live[number]:
			damaged(badger.ManifestFilename, fmt.Errorf("it does not name the table %s", tableName(number)))
		}
	}
	if err := b.checkBulks(ctx, damaged); err != nil {
		return err
	}
	return b.checkLogs(damaged)
}

// checkBulks reads the tables of bulks, which stay where they are meanwhile.
func (b *badgerKV) checkBulks(ctx context.Context, damaged func(name string, err error)) error {
	snapshot := b.snapshots.acquire()
	defer b.snapshots.release(snapshot)
	for _, of := range snapshot.bulks {
		_, faults := readTables(ctx, of.path, of.numbers())
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for i, fault := range faults {
			if fault != nil {
				damaged(filepath.Join(filepath.Base(of.path), tableName(uint64(i)+1)), fault)
			}
		}
	}
	return nil
}

// tables returns the numbers of the tables that are in use.
func (b *badgerKV) tables() map[uint64]bool {
	numbers := map[uint64]bool{}
	for _, t := range b.db.Tables() {
		numbers[t.ID] = true
	}
	return numbers
}

// checkLogs reads the logs, each twice where there is a fault: a record that was being written is whole the next time.
func (b *badgerKV) checkLogs(damaged func(name string, err error)) error {
	names, err := filesOf(b.path, ".mem")
	if err != nil {
		return err
	}
	for _, name := range names {
		_, first := readLog(name)
		if first == nil {
			continue
		}
		if _, err := readLog(name); err != nil && err.Error() == first.Error() && !errors.Is(err, fs.ErrNotExist) {
			damaged(filepath.Base(name), err)
		}
	}
	return nil
}

// readTables reads the tables of the given numbers, a few at a time, and returns what it has learned of each, or what is wrong with it.
func readTables(ctx context.Context, path string, numbers []uint64) ([]table, []error) {
	tables, faults := make([]table, len(numbers)), make([]error, len(numbers))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, number := range numbers {
		group.Go(func() error {
			if faults[i] = ctx.Err(); faults[i] == nil {
				tables[i], faults[i] = readTable(filepath.Join(path, tableName(number)))
			}
			return nil
		})
	}
	_ = group.Wait() // it has no errors
	return tables, faults
}

func tableName(number uint64) string { return fmt.Sprintf("%06d.sst", number) }

// damagedFile gives an error over a file of the store in path its kind.
func damagedFile(path, name string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) && !errors.Is(err, fs.ErrNotExist) {
		return feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
	}
	return corruptStore(filepath.Join(path, name), err)
}

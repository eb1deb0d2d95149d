package online

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/asof-store/asof/feature"
)

// badgerKV is a KV in a directory of Badger's. It belongs to one process. Rows that were loaded lie in bulks beside Badger's own files, and Badger says
// which bulks there are.
type badgerKV struct {
	db        *badger.DB
	snapshots snapshots
	path      string
	held      *directoryLock
	bulkBytes int64         // what is loaded becomes a bulk from so many bytes on
	lastBulk  atomic.Uint32 // the number of the bulk that was begun last
}

// tableBytes is the size of a table.
const tableBytes = 8 << 20

// removedRow marks, in Badger, a row of a bulk that was deleted since.
const removedRow = 1

// openBadger opens or creates the store in the directory path.
func openBadger(path string, readOnly bool, logger *slog.Logger) (_ *badgerKV, err error) {
	held, err := lockDirectory(path, readOnly)
	if err != nil {
		return nil, err
	}
	if !readOnly {
		err = sweepDirectory(path)
	}
	if err == nil {
		err = checkFiles(path)
	}
	var db *badger.DB
	if err == nil {
		db, err = openChecked(path, readOnly, logger)
	}
	if err != nil {
		return nil, errors.Join(err, held.release())
	}
	b := &badgerKV{db: db, path: path, held: held, bulkBytes: bulkBytesDefault}
	b.snapshots.refresh(db, nil)
	if err := b.openBulks(readOnly); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// openBulks checks and opens the bulks that there are, and removes what is left of others.
func (b *badgerKV) openBulks(readOnly bool) error {
	var bulks []*bulk
	err := b.bulkRecords(func(prefix []byte, s bulkState) error {
		if err := checkBulk(b.path, s); err != nil {
			return err
		}
		opened, err := openBulk(b.path, prefix, s)
		if err == nil {
			bulks = append(bulks, opened)
		}
		return err
	})
	b.snapshots.refresh(b.db, func([]*bulk) []*bulk { return bulks })
	if err != nil {
		return err
	}
	last, err := sweepBulks(b.path, bulks, readOnly)
	b.lastBulk.Store(last)
	return err
}

// bulkRecords calls yield with every record of a bulk, in the order of prefixes.
func (b *badgerKV) bulkRecords(yield func(prefix []byte, s bulkState) error) (err error) {
	defer recoverCorrupt(&err, b.path)
	snapshot := b.snapshots.acquire()
	defer b.snapshots.release(snapshot)
	r := &badgerReader{snapshot: snapshot, path: b.path}
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = []byte{bulkRecord}, false
	it := snapshot.txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		record, err := r.value(nil, it.Item())
		if err != nil {
			return err
		}
		s, err := decodeBulk(key, record)
		if err != nil {
			return err
		}
		if err := yield(key[1:], s); err != nil {
			return err
		}
	}
	return nil
}

func openChecked(path string, readOnly bool, logger *slog.Logger) (_ *badger.DB, err error) {
	// Badger panics on some damage that it finds while it opens.
	defer recoverCorrupt(&err, path)
	db, err := badger.Open(badgerOptions(path, readOnly, logger))
	if err != nil {
		return nil, openError(path, err)
	}
	return db, nil
}

// badgerOptions are for a store embedded in a process that has better use for memory.
func badgerOptions(path string, readOnly bool, logger *slog.Logger) badger.Options {
	return badger.DefaultOptions(path).
		WithReadOnly(readOnly).
		WithBypassLockGuard(true). // the lock is taken before the files are checked
		WithLogger(badgerLogger{logger}).
		// Acknowledged means on disk. One sync covers a whole transaction of a WriteBatch, some 0.6 MB here.
		WithSyncWrites(true).
		// What is in memory is written to tables, and those merged, in bursts of this size and some of it: small ones leave lookups their processors. A value
		// must be far smaller, or lies elsewhere.
		WithMemTableSize(4 << 20).
		WithValueThreshold(512 << 10).
		WithNumMemtables(2).
		WithBaseTableSize(tableBytes).
		// A level for each tenfold of this: fewer of them mean that what is published is merged less often, and looked for in fewer places.
		WithBaseLevelSize(256 << 20).
		WithNumCompactors(2).
		WithValueLogFileSize(64 << 20).
		// Without compression blocks are read where they are mapped, so the page cache is the only cache.
		WithCompression(options.None).
		WithBlockCacheSize(0).
		// Badger takes a block whose checksum fails for one without the key, so a lookup would answer NOT_FOUND. So
		// all blocks are checked before it opens, and values carry a checksum of their own (docs/format/online.md).
		WithChecksumVerificationMode(options.NoVerification).
		// Reading a damaged record of a value log would keep the file locked for ever, so that Close waits for ever.
		WithVerifyValueChecksum(true).
		WithDetectConflicts(false).
		WithMetricsEnabled(false)
}

// openError gives Badger's error, which wraps nothing, a kind.
func openError(path string, err error) error {
	text := err.Error()
	for _, errno := range []syscall.Errno{syscall.EACCES, syscall.EPERM, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.EIO, syscall.ENOTDIR} {
		if strings.Contains(text, errno.Error()) {
			return feature.Errorf(feature.ErrUnavailable, "open online store %s: %w", path, err)
		}
	}
	return corruptStore(path, err)
}

// recoverCorrupt turns a panic of the store's code over damaged files into an error.
func recoverCorrupt(err *error, what string) {
	if r := recover(); r != nil {
		*err = corruptStore(what, fmt.Errorf("%v", r))
	}
}

func corruptStore(what string, err error) error {
	return feature.Errorf(feature.ErrCorrupt, "online store: %s is damaged: %w: its content can be made again: %s, which sets the files aside", what, err, adviceFull)
}

func (b *badgerKV) View(read func(Reader) error) error {
	snapshot := b.snapshots.acquire()
	defer b.snapshots.release(snapshot)
	return read(&badgerReader{snapshot: snapshot, path: b.path})
}

func (b *badgerKV) Write(ops []Op) error {
	return b.write(ops, nil)
}

// write makes a write, and then changes which bulks there are.
func (b *badgerKV) write(ops []Op, change func([]*bulk) []*bulk) error {
	err := b.commit(ops)
	if err != nil {
		change = nil
	}
	b.snapshots.refresh(b.db, change) // also where it fails, for some of it may have been made
	return err
}

func (b *badgerKV) commit(ops []Op) error {
	snapshot := b.snapshots.acquire()
	defer b.snapshots.release(snapshot)
	batch := b.db.NewWriteBatch()
	defer batch.Cancel()
	for _, op := range ops {
		err := error(nil)
		switch {
		case !op.Delete:
			err = batch.Set(op.Key, op.Value)
		case bulkOf(snapshot.bulks, op.Key) != nil:
			err = batch.SetEntry(badger.NewEntry(op.Key, nil).WithMeta(removedRow))
		default:
			err = batch.Delete(op.Key)
		}
		if err != nil {
			return b.writeError(err)
		}
	}
	if err := batch.Flush(); err != nil {
		return b.writeError(err)
	}
	return nil
}

func (b *badgerKV) writeError(err error) error {
	return feature.Errorf(feature.ErrUnavailable, "write to online store %s: %w", b.path, err)
}

// addBulk makes the rows of a bulk count. When it fails they may count or not, and the bulk's directory stays.
func (b *badgerKV) addBulk(added *bulk) error {
	key := bulkKey(added.prefix)
	err := b.write([]Op{{Key: key, Value: encodeBulk(key, added.bulkState)}}, func(bulks []*bulk) []*bulk { return withBulk(bulks, added) })
	if err != nil {
		return errors.Join(err, added.close())
	}
	return nil
}

// DropPrefix deletes key by key: Badger's own DropPrefix is quicker, but stops all reads and fails all writes meanwhile. A bulk goes as a whole.
func (b *badgerKV) DropPrefix(prefix []byte, rest func()) error {
	if err := b.dropBulk(prefix); err != nil {
		return err
	}
	start := prefix
	for {
		ops, err := b.deletions(prefix, start)
		if err == nil && len(ops) > 0 {
			err = b.Write(ops)
		}
		if err != nil || len(ops) < restRows {
			return err
		}
		start = append(ops[len(ops)-1].Key, 0) // what has been deleted would have to be passed over each time
		rest()
	}
}

// dropBulk removes the bulk of that prefix, if there is one, or a record of one whose load has failed. Its directory goes once nobody reads from it.
func (b *badgerKV) dropBulk(prefix []byte) error {
	found := false
	err := b.View(func(r Reader) (err error) {
		_, found, err = r.Get(nil, bulkKey(prefix))
		return err
	})
	if err != nil || !found {
		return err
	}
	return b.write([]Op{{Key: bulkKey(prefix), Delete: true}}, func(bulks []*bulk) []*bulk {
		return slices.DeleteFunc(slices.Clone(bulks), func(of *bulk) bool {
			of.dropped = bytes.Equal(of.prefix, prefix)
			return of.dropped
		})
	})
}

// deletions returns the deletions of the first keys under prefix from start on, in Badger's own files.
func (b *badgerKV) deletions(prefix, start []byte) (ops []Op, err error) {
	defer recoverCorrupt(&err, b.path)
	snapshot := b.snapshots.acquire()
	defer b.snapshots.release(snapshot)
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = prefix, false
	it := snapshot.txn.NewIterator(o)
	defer it.Close()
	for it.Seek(start); it.Valid() && len(ops) < restRows; it.Next() {
		ops = append(ops, Op{Key: it.Item().KeyCopy(nil), Delete: true})
	}
	return ops, nil
}

func (b *badgerKV) Close() error {
	err := b.snapshots.close()
	if err := errors.Join(err, b.db.Close(), b.held.release()); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "close online store %s: %w", b.path, err)
	}
	return nil
}

// badgerLogger passes Badger's messages on, one level lower where they tell of ordinary life.
type badgerLogger struct{ to *slog.Logger }

func (l badgerLogger) Errorf(format string, args ...any)   { l.to.Error(message(format, args)) }
func (l badgerLogger) Warningf(format string, args ...any) { l.to.Warn(message(format, args)) }
func (l badgerLogger) Infof(format string, args ...any)    { l.to.Debug(message(format, args)) }
func (l badgerLogger) Debugf(string, ...any)               {}

func message(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}

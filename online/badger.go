package online

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/asof-store/asof/feature"
)

// badgerKV is a KV in a directory of Badger's. It belongs to one process.
type badgerKV struct {
	db        *badger.DB
	snapshots snapshots
	path      string
	held      *directoryLock
}

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
	b := &badgerKV{db: db, path: path, held: held}
	b.snapshots.refresh(db)
	return b, nil
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
		// Acknowledged means on disk. One sync covers a whole transaction of a WriteBatch, some 2.4 MB here.
		WithSyncWrites(true).
		WithMemTableSize(16 << 20).
		WithNumMemtables(2).
		WithBaseTableSize(8 << 20).
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
	return read(&badgerReader{txn: snapshot.txn, path: b.path})
}

func (b *badgerKV) Write(ops []Op) error {
	defer b.snapshots.refresh(b.db) // also where it fails, for some of it may have been made
	batch := b.db.NewWriteBatch()
	defer batch.Cancel()
	for _, op := range ops {
		err := error(nil)
		if op.Delete {
			err = batch.Delete(op.Key)
		} else {
			err = batch.Set(op.Key, op.Value)
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

// DropPrefix deletes key by key: Badger's own DropPrefix is quicker, but stops all reads and fails all writes meanwhile.
func (b *badgerKV) DropPrefix(prefix []byte, rest func()) error {
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

// deletions returns the deletions of the first keys under prefix from start on.
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
	b.snapshots.close()
	if err := errors.Join(b.db.Close(), b.held.release()); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "close online store %s: %w", b.path, err)
	}
	return nil
}

// badgerReader reads in one transaction.
type badgerReader struct {
	txn  *badger.Txn
	path string
}

func (r *badgerReader) Get(dst, key []byte) (_ []byte, found bool, err error) {
	defer recoverCorrupt(&err, r.path)
	item, err := r.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return dst, false, nil
	}
	if err != nil {
		return dst, false, r.readError(err)
	}
	dst, err = r.value(dst, item)
	return dst, err == nil, err
}

func (r *badgerReader) Iterate(prefix, start []byte, yield func(key, value []byte) (bool, error)) error {
	o := badger.DefaultIteratorOptions
	// Values are fetched ahead by a goroutine each, which gains nothing for those that lie beside their keys.
	o.Prefix, o.PrefetchValues = prefix, false
	it := r.txn.NewIterator(o)
	defer it.Close()
	if len(start) == 0 {
		start = prefix
	}
	var value []byte
	for it.Seek(start); it.Valid(); it.Next() {
		var err error
		if value, err = r.value(value[:0], it.Item()); err != nil {
			return err
		}
		if more, err := yield(it.Item().Key(), value); err != nil || !more {
			return err
		}
	}
	return nil
}

// value appends the value of item to dst. One that Badger cannot read it takes for an empty one, which is no value of ours.
func (r *badgerReader) value(dst []byte, item *badger.Item) (_ []byte, err error) {
	defer recoverCorrupt(&err, r.path)
	err = item.Value(func(value []byte) error {
		dst = append(dst, value...)
		return nil
	})
	if err != nil {
		return dst, r.readError(err)
	}
	return dst, nil
}

func (r *badgerReader) readError(err error) error {
	if errors.Is(err, badger.ErrDBClosed) {
		return feature.Errorf(feature.ErrUnavailable, "online store %s is closed", r.path)
	}
	return corruptStore(r.path, err)
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

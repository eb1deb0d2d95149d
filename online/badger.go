package online

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"

	"github.com/asof-store/asof/feature"
)

// dropKeysPerWrite bounds the keys that DropPrefix holds in memory at a time.
const dropKeysPerWrite = 16384

// badgerKV is a KV in a directory of Badger's. It belongs to one process.
type badgerKV struct {
	db   *badger.DB
	path string
}

// openBadger opens or creates the store in the directory path.
func openBadger(path string, readOnly bool, logger *slog.Logger) (_ *badgerKV, err error) {
	if err := prepareDirectory(path, readOnly); err != nil {
		return nil, err
	}
	if err := checkTables(path); err != nil {
		return nil, err
	}
	// Badger panics on some damage that it finds while it opens.
	defer recoverCorrupt(&err, path)
	db, err := badger.Open(badgerOptions(path, readOnly, logger))
	if err != nil {
		return nil, openError(path, err)
	}
	return &badgerKV{db: db, path: path}, nil
}

// badgerOptions are for a store embedded in a process that has better use for memory.
func badgerOptions(path string, readOnly bool, logger *slog.Logger) badger.Options {
	return badger.DefaultOptions(path).
		WithReadOnly(readOnly).
		WithLogger(badgerLogger{logger}).
		// Acknowledged means on disk. One sync covers a whole transaction of a WriteBatch, some 2.4 MB here.
		WithSyncWrites(true).
		WithMemTableSize(16 << 20).
		WithNumMemtables(2).
		WithBaseTableSize(8 << 20).
		WithNumCompactors(2).
		WithValueLogFileSize(64 << 20).
		// Without compression blocks are read where they are mapped, so the page cache is the only cache.
		WithCompression(options.None).
		WithBlockCacheSize(0).
		// Badger takes a block whose checksum fails for one without the key, so a lookup would answer
		// NOT_FOUND; values carry a checksum of their own instead (docs/format/online.md).
		WithChecksumVerificationMode(options.NoVerification).
		WithDetectConflicts(false).
		WithMetricsEnabled(false)
}

func prepareDirectory(path string, readOnly bool) error {
	if !readOnly {
		if err := os.MkdirAll(path, 0o777); err != nil {
			return feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
		}
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, badger.ManifestFilename)); errors.Is(err, fs.ErrNotExist) {
		return feature.Errorf(feature.ErrNotFound, "there is no online store at %s: run asof materialize first", path)
	} else if err != nil {
		return feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
	}
	return nil
}

// checkTables checks the parts of the table files that Badger reads while it opens, each in a goroutine of its own where a
// panic over damage would end the process: the index, and of the last block what its checksum covers.
func checkTables(path string) error {
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	if err != nil {
		return feature.Errorf(feature.ErrInvalid, "online store %s: %w", path, err)
	}
	for _, table := range tables {
		file, err := os.Open(table)
		if err != nil {
			return feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
		}
		err = errors.Join(checkTable(file), file.Close())
		if err != nil {
			return corruptStore(table, err)
		}
	}
	return nil
}

// checkTable reads, from the end of the file: the length of the index's checksum, the checksum, the length of the index, the index.
func checkTable(file *os.File) (err error) {
	defer func() { // flatbuffers trust their bytes
		if r := recover(); r != nil {
			err = fmt.Errorf("its index is malformed: %v", r)
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	end := info.Size()
	tail := func() ([]byte, error) { // a length, and before it that many bytes
		length := make([]byte, 4)
		if _, err := file.ReadAt(length, end-4); err != nil {
			return nil, err
		}
		n := int64(binary.BigEndian.Uint32(length))
		if n > end-4 {
			return nil, errors.New("it is cut short")
		}
		b := make([]byte, n)
		_, err := file.ReadAt(b, end-4-n)
		end -= 4 + n
		return b, err
	}
	sum, err := tail()
	if err != nil {
		return err
	}
	index, err := tail()
	if err == nil {
		err = checkSum(index, sum)
	}
	if err != nil {
		return err
	}
	var last fb.BlockOffset
	blocks := fb.GetRootAsTableIndex(index, 0)
	if n := blocks.OffsetsLength(); n == 0 || !blocks.Offsets(&last, n-1) {
		return errors.New("it has no blocks")
	}
	start := int64(last.Offset())
	end = start + int64(last.Len())
	if sum, err = tail(); err != nil || end < start {
		return errors.Join(err, errors.New("its last block is malformed"))
	}
	block := make([]byte, end-start)
	if _, err := file.ReadAt(block, start); err != nil {
		return err
	}
	return checkSum(block, sum)
}

// checkSum compares data with a checksum as Badger stores it: a protobuf message, which is written out here because protobuf
// has no business in this package: field 1, the algorithm, left out when it is 0; field 2, the sum.
func checkSum(data, sum []byte) error {
	var fields [3]uint64
	for len(sum) > 0 {
		tag, n := binary.Uvarint(sum)
		value, m := uint64(0), 0
		if n > 0 {
			value, m = binary.Uvarint(sum[n:])
		}
		if m <= 0 || (tag != 1<<3 && tag != 2<<3) {
			return errors.New("its checksum is malformed")
		}
		fields[tag>>3], sum = value, sum[n+m:]
	}
	algorithm := pb.Checksum_Algorithm(fields[1])
	if algorithm != pb.Checksum_CRC32C && algorithm != pb.Checksum_XXHash64 {
		return errors.New("its checksum is of an unknown kind")
	}
	return y.VerifyChecksum(data, &pb.Checksum{Algo: algorithm, Sum: fields[2]})
}

// openError gives Badger's error, which wraps nothing, a kind.
func openError(path string, err error) error {
	text := err.Error()
	if strings.Contains(text, "Cannot acquire directory lock") {
		holder := "another process"
		if pid, e := os.ReadFile(filepath.Join(path, "LOCK")); e == nil && len(pid) > 0 {
			holder = "process " + strings.TrimSpace(string(pid))
		}
		return feature.Errorf(feature.ErrUnavailable, "online store %s is held by %s, which may be asof serve: "+
			"talk to that server (--server HOST:PORT), or stop the process and try again", path, holder)
	}
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
	return feature.Errorf(feature.ErrCorrupt, "online store: %s is damaged: %w: its content can be made again: move the store's directory away and run asof materialize", what, err)
}

func (b *badgerKV) View(read func(Reader) error) error {
	txn := b.db.NewTransaction(false)
	defer txn.Discard()
	return read(&badgerReader{txn: txn, path: b.path})
}

func (b *badgerKV) Write(ops []Op) error {
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
func (b *badgerKV) DropPrefix(prefix []byte) error {
	for {
		ops, err := b.deletions(prefix)
		if err == nil && len(ops) > 0 {
			err = b.Write(ops)
		}
		if err != nil || len(ops) < dropKeysPerWrite {
			return err
		}
	}
}

// deletions returns the deletions of the first keys under prefix.
func (b *badgerKV) deletions(prefix []byte) (ops []Op, err error) {
	defer recoverCorrupt(&err, b.path)
	txn := b.db.NewTransaction(false)
	defer txn.Discard()
	o := badger.DefaultIteratorOptions
	o.Prefix, o.PrefetchValues = prefix, false
	it := txn.NewIterator(o)
	defer it.Close()
	for it.Rewind(); it.Valid() && len(ops) < dropKeysPerWrite; it.Next() {
		ops = append(ops, Op{Key: it.Item().KeyCopy(nil), Delete: true})
	}
	return ops, nil
}

func (b *badgerKV) Close() error {
	if err := b.db.Close(); err != nil {
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
	if err == nil {
		err = item.Value(func(value []byte) error {
			dst = append(dst, value...)
			return nil
		})
	}
	if err != nil {
		return dst, false, r.readError(err)
	}
	return dst, true, nil
}

func (r *badgerReader) Iterate(prefix, start []byte, yield func(key, value []byte) (bool, error)) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	o.PrefetchSize = 16
	it := r.txn.NewIterator(o)
	defer it.Close()
	if len(start) == 0 {
		start = prefix
	}
	for it.Seek(start); it.Valid(); it.Next() {
		var more bool
		var fault error
		err := it.Item().Value(func(value []byte) error {
			more, fault = yield(it.Item().Key(), value)
			return nil
		})
		if err != nil {
			return r.readError(err)
		}
		if fault != nil || !more {
			return fault
		}
	}
	return nil
}

func (r *badgerReader) readError(err error) error {
	if errors.Is(err, badger.ErrDBClosed) {
		return feature.Errorf(feature.ErrUnavailable, "online store %s is closed", r.path)
	}
	return feature.Errorf(feature.ErrCorrupt, "read online store %s: %w", r.path, err)
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

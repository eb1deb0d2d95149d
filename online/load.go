package online

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"

	sst "github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
)

// bulkBytesDefault is from how many bytes on what is loaded becomes a bulk: less is written as any other rows are, so that a store with many small views
// has few files.
const bulkBytesDefault = 4 << 20

// A table of a bulk has 2 MiB at first: its end is the largest piece of work in a load, and lookups notice one of 8 MiB. Later ones have a 64th of what has been
// written, up to 8 MiB, since each table is a file that is mapped and open.
const (
	bulkTableLeast = 2 << 20
	bulkTablePart  = 64
)

// bulkLoader is the [Loader] of a Badger store. It makes a bulk: what is loaded takes neither the way through Badger's log nor through its levels,
// where it would be written some three times, in bursts that leave lookups no processor.
type bulkLoader struct {
	kv     *badgerKV
	prefix []byte
	last   []byte // the key that came last

	held  []Op   // all that has come, while that is little
	arena []byte // holds the keys and values of held

	state   bulkState    // of the bulk, once it has been begun: its number is not 0
	builder *sst.Builder // the table that is being filled; nil if none
	written uint64       // bytes in the tables before it
	version []byte       // what a table's keys end with
	key     []byte       // scratch
	ended   bool
}

// Load implements [KV].
func (b *badgerKV) Load(prefix []byte) Loader {
	return &bulkLoader{kv: b, prefix: bytes.Clone(prefix), version: y.KeyWithTs(nil, bulkVersion)}
}

// Loaded implements [KV].
func (b *badgerKV) Loaded(prefix []byte) int64 {
	snapshot := b.snapshots.acquire()
	defer b.snapshots.release(snapshot)
	if of := bulkOf(snapshot.bulks, prefix); of != nil {
		return int64(of.rows)
	}
	return 0
}

// Add implements [Loader].
func (l *bulkLoader) Add(ops []Op) error {
	for _, op := range ops {
		if op.Delete || !bytes.HasPrefix(op.Key, l.prefix) || bytes.Compare(op.Key, l.last) <= 0 {
			return feature.Errorf(feature.ErrInternal, "online store: key %x cannot be loaded after %x, under %x", op.Key, l.last, l.prefix)
		}
		l.last = append(l.last[:0], op.Key...)
		if err := l.add(op); err != nil {
			return err
		}
	}
	return nil
}

func (l *bulkLoader) add(op Op) error {
	if l.state.number != 0 {
		return l.put(op)
	}
	from := len(l.arena)
	l.arena = append(append(l.arena, op.Key...), op.Value...)
	middle, end := from+len(op.Key), len(l.arena)
	l.held = append(l.held, Op{Key: l.arena[from:middle:middle], Value: l.arena[middle:end:end]})
	if int64(end) < l.kv.bulkBytes {
		return nil
	}
	l.state.number = l.kv.lastBulk.Add(1)
	if err := os.Mkdir(l.state.directory(l.kv.path), 0o777); err != nil {
		return l.kv.writeError(err)
	}
	for _, op := range l.held {
		if err := l.put(op); err != nil {
			return err
		}
	}
	l.held, l.arena = nil, nil
	return nil
}

// put adds a row to the bulk.
func (l *bulkLoader) put(op Op) error {
	if l.builder != nil && l.builder.ReachedCapacity() {
		if err := l.endTable(); err != nil {
			return err
		}
	}
	if l.builder == nil {
		l.builder = sst.NewTableBuilder(bulkOptions(min(max(bulkTableLeast, l.written/bulkTablePart), tableBytes)))
	}
	l.key = append(append(l.key[:0], op.Key...), l.version...)
	l.builder.Add(l.key, y.ValueStruct{Value: op.Value}, 0)
	l.state.rows++
	return nil
}

// endTable writes the table that is being filled, durably. It is written, and not mapped as Badger would: a full disk is an error then, and not the end of the process.
func (l *bulkLoader) endTable() error {
	l.state.files++
	content := l.builder.Finish()
	l.builder.Close()
	l.builder, l.written = nil, l.written+uint64(len(content))
	name := filepath.Join(l.state.directory(l.kv.path), tableName(uint64(l.state.files)))
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return l.kv.writeError(err)
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return l.kv.writeError(err)
	}
	return nil
}

// Commit implements [Loader]. A crash before the record of the bulk is there leaves a directory that the next start removes.
func (l *bulkLoader) Commit() error {
	if l.ended {
		return feature.Errorf(feature.ErrInternal, "online store: a load has ended")
	}
	if l.state.number == 0 {
		l.ended = true
		return l.kv.Write(l.held)
	}
	if l.builder != nil {
		if err := l.endTable(); err != nil {
			return err
		}
	}
	if err := errors.Join(disk.OS{}.SyncDir(l.state.directory(l.kv.path)), disk.OS{}.SyncDir(l.kv.path)); err != nil {
		return l.kv.writeError(err)
	}
	b, err := openBulk(l.kv.path, l.prefix, l.state)
	if err != nil {
		return err
	}
	l.ended = true // from here on there may be a record, so the directory stays whatever happens
	return l.kv.addBulk(b)
}

// Abort implements [Loader].
func (l *bulkLoader) Abort() error {
	if l.ended || l.state.number == 0 {
		return nil
	}
	l.ended = true
	if l.builder != nil {
		l.builder.Close()
		l.builder = nil
	}
	if err := os.RemoveAll(l.state.directory(l.kv.path)); err != nil {
		return l.kv.writeError(err)
	}
	return nil
}

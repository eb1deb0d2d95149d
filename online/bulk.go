package online

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/dgraph-io/badger/v4/options"
	sst "github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"

	"github.com/asof-store/asof/feature"
)

const (
	// bulkRecord begins the keys of the records that say which bulks there are; the prefix of a bulk follows.
	bulkRecord = 0xff
	// bulkName begins the names of the directories of bulks, within that of the store; a number follows.
	bulkName = "bulk-"
	// bulkVersion is the version, Badger's, that all rows of a bulk have.
	bulkVersion = 1
)

// bulk holds the rows of one prefix as they were loaded: tables of Badger's in a directory of their own, which nothing is ever added to. What is
// written under the prefix later lies in Badger's own files and goes before it.
type bulk struct {
	bulkState
	prefix []byte
	path   string
	tables []*sst.Table // in the order of keys; no two overlap

	users   int  // snapshots that it is in
	dropped bool // its record is gone, so its directory goes with the last user
}

// bulkState is the record of a bulk.
type bulkState struct {
	number uint32 // of the directory
	files  uint32 // tables in it, numbered from 1
	rows   uint64 // in all of them
}

func bulkKey(prefix []byte) []byte { return append([]byte{bulkRecord}, prefix...) }

func (s bulkState) directory(store string) string {
	return filepath.Join(store, fmt.Sprintf("%s%06d", bulkName, s.number))
}

// numbers are those of the tables.
func (s bulkState) numbers() []uint64 {
	numbers := make([]uint64, s.files)
	for i := range numbers {
		numbers[i] = uint64(i) + 1
	}
	return numbers
}

func encodeBulk(key []byte, s bulkState) []byte {
	record := binary.LittleEndian.AppendUint32([]byte{recordVersion}, s.number)
	record = binary.LittleEndian.AppendUint32(record, s.files)
	return sealRecord(key, binary.LittleEndian.AppendUint64(record, s.rows))
}

func decodeBulk(key, record []byte) (s bulkState, err error) {
	body, err := openRecord(fmt.Sprintf("the record of the bulk %x", key[1:]), key, record)
	if err != nil {
		return s, err
	}
	if len(body) != 16 {
		return s, feature.Errorf(feature.ErrCorrupt, "online store: the record of the bulk %x has %d bytes: %s", key[1:], len(record), adviceFull)
	}
	return bulkState{binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint32(body[4:]), binary.LittleEndian.Uint64(body[8:])}, nil
}

// checkBulk reads the tables of a bulk that is not open, as checkFiles does with the other files of the store in path.
func checkBulk(path string, s bulkState) error {
	directory := s.directory(path)
	var rows uint64
	tables, faults := readTables(context.Background(), directory, s.numbers())
	for i, t := range tables {
		rows += t.rows
		if faults[i] != nil {
			faults[i] = damagedFile(directory, tableName(uint64(i)+1), faults[i])
		}
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	if rows != s.rows {
		return corruptStore(directory, fmt.Errorf("its tables have %d rows, its record says %d", rows, s.rows))
	}
	return nil
}

// openBulk opens a bulk of the store in path. Its tables have been checked, or written by this process.
func openBulk(path string, prefix []byte, s bulkState) (_ *bulk, err error) {
	b := &bulk{bulkState: s, prefix: prefix, path: s.directory(path)}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	for _, number := range s.numbers() {
		t, err := openTable(filepath.Join(b.path, tableName(number)))
		if err != nil {
			return nil, err
		}
		b.tables = append(b.tables, t)
	}
	return b, nil
}

func openTable(path string) (t *sst.Table, err error) {
	defer recoverCorrupt(&err, path)
	file, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	if t, err = sst.OpenTable(file, bulkOptions(0)); err != nil {
		return nil, errors.Join(openError(path, err), file.Close(-1))
	}
	return t, nil
}

// bulkOptions are those of badgerOptions, as far as they are about tables, of that size.
func bulkOptions(tableBytes uint64) sst.Options {
	return sst.Options{TableSize: tableBytes, BlockSize: 4 << 10, BloomFalsePositive: 0.01, Compression: options.None, ChkMode: options.NoVerification}
}

// get appends the value of key to dst.
func (b *bulk) get(dst, key []byte) (_ []byte, found bool) {
	i := sort.Search(len(b.tables), func(i int) bool { return bytes.Compare(y.ParseKey(b.tables[i].Biggest()), key) >= 0 })
	if i == len(b.tables) || b.tables[i].DoesNotHave(y.Hash(key)) {
		return dst, false
	}
	it := b.tables[i].NewIterator(0)
	defer func() { _ = it.Close() }() // fails only where it is the table's last user, which b is
	it.Seek(y.KeyWithTs(key, bulkVersion))
	if !it.Valid() || !bytes.Equal(y.ParseKey(it.Key()), key) {
		return dst, false
	}
	return append(dst, it.Value().Value...), true
}

// close frees the tables, and removes them if the bulk is dropped. A crash before all of them are gone leaves a directory without a record, which the next
// start removes.
func (b *bulk) close() error {
	var errs []error
	for _, t := range b.tables {
		errs = append(errs, t.Close(-1))
	}
	if b.dropped {
		errs = append(errs, os.RemoveAll(b.path))
	}
	if err := errors.Join(errs...); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "close %s: %w", b.path, err)
	}
	return nil
}

// bulkOf returns the one of bulks, which are in the order of their prefixes, that key belongs to; nil if none.
func bulkOf(bulks []*bulk, key []byte) *bulk {
	i := sort.Search(len(bulks), func(i int) bool { return bytes.Compare(bulks[i].prefix, key) > 0 }) - 1
	if i < 0 || !bytes.HasPrefix(key, bulks[i].prefix) {
		return nil
	}
	return bulks[i]
}

// withBulk returns bulks with b in its place among them.
func withBulk(bulks []*bulk, b *bulk) []*bulk {
	i := sort.Search(len(bulks), func(i int) bool { return bytes.Compare(bulks[i].prefix, b.prefix) > 0 })
	return slices.Insert(slices.Clone(bulks), i, b)
}

// bulkCursor goes through the rows of bulks, in order, from a key on and under a prefix.
type bulkCursor struct {
	bulks        []*bulk // that are still to come
	prefix, from []byte
	it           *sst.ConcatIterator // nil at the end
}

// newBulkCursor returns a cursor at its first row.
func newBulkCursor(bulks []*bulk, prefix, from []byte) *bulkCursor {
	c := &bulkCursor{bulks: bulks, prefix: prefix, from: from}
	c.advance()
	return c
}

// advance opens the next bulk that has a row, if the one before is at its end.
func (c *bulkCursor) advance() {
	for c.it == nil || !c.it.Valid() || !bytes.HasPrefix(c.key(), c.prefix) {
		c.close()
		if len(c.bulks) == 0 {
			return
		}
		b := c.bulks[0]
		c.bulks = c.bulks[1:]
		apart := !bytes.HasPrefix(b.prefix, c.prefix) && !bytes.HasPrefix(c.prefix, b.prefix)
		if apart || bytes.Compare(y.ParseKey(b.tables[len(b.tables)-1].Biggest()), c.from) < 0 {
			continue
		}
		c.it = sst.NewConcatIterator(b.tables, 0)
		c.it.Seek(y.KeyWithTs(c.from, bulkVersion))
	}
}

func (c *bulkCursor) valid() bool   { return c.it != nil }
func (c *bulkCursor) key() []byte   { return y.ParseKey(c.it.Key()) }
func (c *bulkCursor) value() []byte { return c.it.Value().Value }

func (c *bulkCursor) next() {
	c.it.Next()
	c.advance()
}

func (c *bulkCursor) close() {
	if c.it != nil {
		_ = c.it.Close() // as in get
		c.it = nil
	}
}

// sweepBulks removes the directories of bulks in path that have no record: what a load or a removal left behind that did not end. It returns the greatest number.
func sweepBulks(path string, bulks []*bulk, readOnly bool) (last uint32, err error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return 0, feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
	}
	for _, e := range entries {
		var number uint32
		if !strings.HasPrefix(e.Name(), bulkName) {
			continue
		}
		if _, err := fmt.Sscanf(e.Name(), bulkName+"%d", &number); err != nil {
			continue // not ours
		}
		last = max(last, number)
		if readOnly || slices.ContainsFunc(bulks, func(b *bulk) bool { return b.number == number }) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(path, e.Name())); err != nil {
			return 0, feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
		}
	}
	return last, nil
}

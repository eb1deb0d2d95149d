package online

import (
	"bytes"
	"errors"

	"github.com/dgraph-io/badger/v4"

	"github.com/asof-store/asof/feature"
)

// badgerReader reads in one snapshot: Badger's own files first, then the bulks that lie under them.
type badgerReader struct {
	snapshot *snapshot
	path     string
}

// Get implements [Reader].
func (r *badgerReader) Get(dst, key []byte) (_ []byte, found bool, err error) {
	defer recoverCorrupt(&err, r.path)
	item, err := r.snapshot.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		if b := bulkOf(r.snapshot.bulks, key); b != nil {
			dst, found = b.get(dst, key)
		}
		return dst, found, nil
	}
	if err != nil {
		return dst, false, r.readError(err)
	}
	if item.UserMeta() == removedRow {
		return dst, false, nil
	}
	dst, err = r.value(dst, item)
	return dst, err == nil, err
}

// Iterate implements [Reader].
func (r *badgerReader) Iterate(prefix, start []byte, yield func(key, value []byte) (bool, error)) error {
	o := badger.DefaultIteratorOptions
	// Values are fetched ahead by a goroutine each, which gains nothing for those that lie beside their keys.
	o.Prefix, o.PrefetchValues = prefix, false
	it := r.snapshot.txn.NewIterator(o)
	defer it.Close()
	if len(start) == 0 {
		start = prefix
	}
	under := newBulkCursor(r.snapshot.bulks, prefix, start)
	defer under.close()
	var value []byte
	for it.Seek(start); ; {
		own := it.Valid() && it.Item().Key()[0] != bulkRecord
		order := 1 // that of the next row of ours and the next one of a bulk
		switch {
		case own && under.valid():
			order = bytes.Compare(it.Item().Key(), under.key())
		case own:
			order = -1
		case !under.valid():
			return nil
		}
		if order > 0 {
			if more, err := yield(under.key(), under.value()); err != nil || !more {
				return err
			}
		} else if item := it.Item(); item.UserMeta() != removedRow {
			var err error
			if value, err = r.value(value[:0], item); err != nil {
				return err
			}
			if more, err := yield(item.Key(), value); err != nil || !more {
				return err
			}
		}
		if order >= 0 {
			under.next()
		}
		if order <= 0 {
			it.Next()
		}
	}
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

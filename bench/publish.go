package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
)

// benchPublish publishes 1 M keys of 20 features, two rows of history each, to a new store. The peer is Badger's own WriteBatch, which is
// handed the same keys and values, encoded beforehand and in memory: once with options of the kind that asof gives Badger for what is not loaded in bulk,
// which wait for the disk as asof does and are what the closing line is about, and once with Badger's defaults, which do not.
func benchPublish(ctx context.Context, b *bench, r *report) error {
	s := b.usual()
	s.Rows, s.Features = 2*s.Keys, 20
	t := task{Do: "publish", Shape: s, Out: b.output("published")}
	var err error
	if t.Data, err = b.made(ctx, "history-"+s.name(), task{Do: "make-history", Shape: s}); err != nil {
		return err
	}
	check, batch := t, t
	check.Do, batch.Do, batch.Out = "check-published", "write-batch", b.output("written")
	if batch.Data, err = b.made(ctx, "prepared-"+s.name(), task{Do: "make-prepared", Data: t.Data, Shape: s}); err != nil {
		return err
	}
	defaults := batch
	defaults.Defaults = true
	st, err := b.stand(ctx, r, "", "", "keys", int64(s.Keys), []contender{
		{name: "asof, all keys anew", once: doing(t), check: doing(check)},
		{name: "WriteBatch", once: doing(batch)},
		{name: "WriteBatch, Badger's default options", once: doing(defaults)},
	})
	if errors.Is(err, errUnequal) {
		r.unequal("publish")
	}
	if err != nil {
		return err
	}
	r.close("publish", st.figures[0], st.figures[1])
	return nil
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// taskPublish publishes the history in t.Data to a new online store at t.Out.
func taskPublish(ctx context.Context, t task) (o outcome, err error) {
	if err := makeWay(t.Out); err != nil {
		return o, err
	}
	return publishAll(ctx, t, 0)
}

// makePrepared is taskPublish with nothing loaded in bulk, so that all rows lie in Badger.
func makePrepared(ctx context.Context, t task) (outcome, error) {
	return publishAll(ctx, t, math.MaxInt64)
}

func publishAll(ctx context.Context, t task, bulkBytes int64) (o outcome, err error) {
	store, err := offline.Open(ctx, t.Data, offline.Options{})
	if err != nil {
		return o, err
	}
	values, err := online.Open(t.Out, online.Options{Logger: quiet(), BulkBytes: bulkBytes})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, values.Close()) }()
	begun := time.Now()
	engine := &materialize.Engine{Offline: store, Online: values, Version: "bench"}
	for _, view := range t.Shape.views() {
		done, err := engine.Publish(ctx, view)
		if err != nil {
			return o, err
		}
		o.Count += done.Keys
	}
	o.Seconds = time.Since(begun).Seconds()
	return o, nil
}

// taskCheckPublished compares what is published with what the generator knows.
func taskCheckPublished(ctx context.Context, t task) (o outcome, err error) {
	store, err := online.Open(t.Out, online.Options{Logger: quiet(), ReadOnly: true})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	s := t.Shape
	for v, view := range s.views() {
		k := 0
		err := store.Scan(view.Name, func(row online.Stored) error {
			newest := s.perKey() - 1
			if k >= s.Keys || !slices.Equal(row.Key, feature.AppendKeyInt64(nil, keyOf(k))) || row.Event != s.event(v, k, newest) {
				return fmt.Errorf("%w: row %d of view %s is key %x of %s", errUnequal, k, view.Name, []byte(row.Key), row.Event)
			}
			for f, value := range row.Values {
				if value != s.value(v, k, newest, f) {
					return fmt.Errorf("%w: feature %d of key %d of view %s is %v", errUnequal, f, k, view.Name, value)
				}
			}
			k++
			return nil
		})
		if err == nil && k < s.Keys {
			err = fmt.Errorf("%w: view %s has %d keys of %d", errUnequal, view.Name, k, s.Keys)
		}
		if errors.Is(err, errUnequal) {
			return outcome{Unequal: err.Error()}, nil
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

// taskWriteBatch writes the keys and values that are published at t.Data to a new Badger store at t.Out.
func taskWriteBatch(_ context.Context, t task) (o outcome, err error) {
	var keys, values [][]byte
	if keys, values, err = published(t.Data); err != nil {
		return o, err
	}
	if len(keys) < t.Shape.Keys {
		return o, fmt.Errorf("%s has %d rows, fewer than %d keys", t.Data, len(keys), t.Shape.Keys)
	}
	if err := makeWay(t.Out); err != nil {
		return o, err
	}
	db, err := badger.Open(badgerOptions(t.Out, t.Defaults))
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	begun := time.Now()
	batch := db.NewWriteBatch()
	defer batch.Cancel()
	for i, key := range keys {
		if err := batch.Set(key, values[i]); err != nil {
			return o, err
		}
	}
	if err := batch.Flush(); err != nil {
		return o, err
	}
	return outcome{Seconds: time.Since(begun).Seconds(), Count: int64(len(keys))}, nil
}

// badgerOptions are of the kind that asof gives Badger (online/badger.go), or Badger's own.
func badgerOptions(dir string, defaults bool) badger.Options {
	o := badger.DefaultOptions(dir).WithLogger(nil)
	if defaults {
		return o
	}
	return o.WithSyncWrites(true).WithMemTableSize(16 << 20).WithNumMemtables(2).WithBaseTableSize(8 << 20).WithNumCompactors(2).
		WithValueLogFileSize(64 << 20).WithCompression(options.None).WithBlockCacheSize(0).
		WithChecksumVerificationMode(options.NoVerification).WithDetectConflicts(false).WithMetricsEnabled(false)
}

// published returns all keys and values of an online store, as they lie there.
func published(dir string) (keys, values [][]byte, err error) {
	db, err := badger.Open(badgerOptions(dir, false).WithReadOnly(true))
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.View(func(txn *badger.Txn) error {
		o := badger.DefaultIteratorOptions
		o.PrefetchValues = false
		it := txn.NewIterator(o)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			keys, values = append(keys, it.Item().KeyCopy(nil)), append(values, value)
		}
		return nil
	})
	return keys, values, err
}

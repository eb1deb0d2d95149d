package simulation

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
)

// kv is a process's online store: an online.KV that keeps what it has acknowledged when the process dies or the power fails, and
// fails and dies with its process. What is in it outlives the process.
type kv struct {
	process *process
	rows    []online.Op // by key; replaced, never changed
}

// View reads what is there now.
func (m *kv) View(read func(online.Reader) error) error {
	if err := m.process.read("view", "online store"); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
	}
	return read(reader{m.process, m.rows})
}

// Write applies ops, or those of them that a fault leaves.
func (m *kv) Write(ops []online.Op) error {
	grows := slices.ContainsFunc(ops, func(o online.Op) bool { return !o.Delete })
	err := m.process.write(effect{what: "put", path: "online store", grows: grows, do: func() error {
		m.apply(ops)
		return nil
	}, part: func(r *rand.Rand) {
		some := slices.Clone(ops)
		r.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
		m.apply(some[:r.IntN(len(some)+1)])
	}})
	if err != nil {
		return feature.Errorf(feature.ErrUnavailable, "online store: %w", err)
	}
	return nil
}

func (m *kv) apply(ops []online.Op) {
	rows := slices.Clone(m.rows)
	for _, op := range ops {
		i, found := slices.BinarySearchFunc(rows, op.Key, compareKey)
		if found {
			rows = slices.Delete(rows, i, i+1)
		}
		if !op.Delete {
			rows = slices.Insert(rows, i, online.Op{Key: bytes.Clone(op.Key), Value: bytes.Clone(op.Value)})
		}
	}
	m.rows, m.process.verified = rows, false
}

// Load begins to hold rows that are written at once.
func (m *kv) Load([]byte) online.Loader { return &loader{kv: m} }

// Loaded is 0: nothing lies apart.
func (m *kv) Loaded([]byte) int64 { return 0 }

// loader holds rows until they are committed.
type loader struct {
	kv  *kv
	ops []online.Op
}

func (l *loader) Add(ops []online.Op) error {
	for _, op := range ops {
		l.ops = append(l.ops, online.Op{Key: bytes.Clone(op.Key), Value: bytes.Clone(op.Value)})
	}
	return nil
}

func (l *loader) Commit() error {
	if len(l.ops) == 0 {
		return nil
	}
	return l.kv.Write(l.ops)
}

func (l *loader) Abort() error { return nil }

// DropPrefix removes the keys under a prefix.
func (m *kv) DropPrefix(prefix []byte, _ func()) error {
	var ops []online.Op
	for _, op := range m.rows {
		if bytes.HasPrefix(op.Key, prefix) {
			ops = append(ops, online.Op{Key: op.Key, Delete: true})
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return m.Write(ops)
}

// Check finds nothing: memory does not rot.
func (m *kv) Check(context.Context, func(online.Finding)) error { return nil }

// Close does nothing: the process's end is told otherwise.
func (m *kv) Close() error { return nil }

func compareKey(o online.Op, key []byte) int { return bytes.Compare(o.Key, key) }

// reader reads one snapshot.
type reader struct {
	process *process
	rows    []online.Op
}

func (r reader) Get(dst, key []byte) ([]byte, bool, error) {
	if i, found := slices.BinarySearchFunc(r.rows, key, compareKey); found {
		return append(dst, r.rows[i].Value...), true, nil
	}
	return dst, false, nil
}

func (r reader) Iterate(prefix, start []byte, yield func(key, value []byte) (bool, error)) error {
	i, _ := slices.BinarySearchFunc(r.rows, slices.MaxFunc([][]byte{prefix, start}, bytes.Compare), compareKey)
	for ; i < len(r.rows) && bytes.HasPrefix(r.rows[i].Key, prefix); i++ {
		if more, err := yield(bytes.Clone(r.rows[i].Key), r.rows[i].Value); err != nil || !more {
			return err
		}
	}
	return nil
}

package online

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// memoryKV is the plainest KV: the tests' second store behind the interface, and the one that fails on demand.
type memoryKV struct {
	mu   sync.RWMutex
	rows map[string][]byte
	// fail, if any, is asked before each Write how many of its ops to apply and what to return then.
	fail func(ops int) (apply int, err error)
}

func newMemoryKV() *memoryKV { return &memoryKV{rows: map[string][]byte{}} }

func (m *memoryKV) View(read func(Reader) error) error {
	m.mu.RLock()
	r := memoryReader{}
	for k, v := range m.rows {
		r.rows = append(r.rows, Op{Key: []byte(k), Value: v})
	}
	m.mu.RUnlock()
	sort.Slice(r.rows, func(i, j int) bool { return bytes.Compare(r.rows[i].Key, r.rows[j].Key) < 0 })
	return read(r)
}

func (m *memoryKV) Write(ops []Op) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	if m.fail != nil {
		apply := 0
		apply, err = m.fail(len(ops))
		ops = ops[:apply]
	}
	for _, op := range ops {
		if op.Delete {
			delete(m.rows, string(op.Key))
		} else {
			m.rows[string(op.Key)] = bytes.Clone(op.Value)
		}
	}
	return err
}

func (m *memoryKV) DropPrefix(prefix []byte, rest func()) error {
	var ops []Op
	for k := range m.rows {
		if strings.HasPrefix(k, string(prefix)) {
			ops = append(ops, Op{Key: []byte(k), Delete: true})
		}
	}
	return m.Write(ops)
}

func (m *memoryKV) Load([]byte) Loader { return &memoryLoader{kv: m} }

func (m *memoryKV) Loaded([]byte) int64 { return 0 }

// memoryLoader holds what is loaded until it is committed.
type memoryLoader struct {
	kv  *memoryKV
	ops []Op
}

func (l *memoryLoader) Add(ops []Op) error {
	for _, op := range ops {
		l.ops = append(l.ops, Op{Key: bytes.Clone(op.Key), Value: bytes.Clone(op.Value)})
	}
	return nil
}

func (l *memoryLoader) Commit() error {
	return l.kv.Write(l.ops)
}

func (l *memoryLoader) Abort() error { return nil }

func (m *memoryKV) Check(context.Context, func(Finding)) error { return nil }

func (m *memoryKV) Close() error { return nil }

type memoryReader struct{ rows []Op }

func (r memoryReader) from(key []byte) int {
	return sort.Search(len(r.rows), func(i int) bool { return bytes.Compare(r.rows[i].Key, key) >= 0 })
}

func (r memoryReader) Get(dst, key []byte) ([]byte, bool, error) {
	if i := r.from(key); i < len(r.rows) && bytes.Equal(r.rows[i].Key, key) {
		return append(dst, r.rows[i].Value...), true, nil
	}
	return dst, false, nil
}

func (r memoryReader) Iterate(prefix, start []byte, yield func(key, value []byte) (bool, error)) error {
	for i := r.from(slices.MaxFunc([][]byte{prefix, start}, bytes.Compare)); i < len(r.rows) && bytes.HasPrefix(r.rows[i].Key, prefix); i++ {
		if more, err := yield(bytes.Clone(r.rows[i].Key), r.rows[i].Value); err != nil || !more {
			return err
		}
	}
	return nil
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// openTemp opens a Badger store in path and closes it when the test ends.
func openTemp(t testing.TB, path string, o Options) *Store {
	t.Helper()
	o.Logger = quiet()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// column builds a column of t from Go values, nil for NULL.
func column(t testing.TB, of feature.Type, values ...any) arrow.Array {
	t.Helper()
	b := array.NewBuilder(memory.DefaultAllocator, of.Arrow())
	for _, v := range values {
		if err := feature.AppendValue(b, v); err != nil {
			t.Fatal(err)
		}
	}
	return b.NewArray()
}

// row builds a one-row Row for view.
func row(t testing.TB, view *feature.View, event feature.Time, values ...any) Row {
	t.Helper()
	r := Row{Event: event, Created: feature.MinTime, AsOf: event}
	for i, v := range values {
		r.Values = append(r.Values, column(t, view.Features[i].Type, v))
	}
	return r
}

func key(id int64) feature.Key { return feature.AppendKeyInt64(nil, id) }

const hour = feature.Time(time.Hour / time.Microsecond)

// profile is a view of two features, one with a default.
func profile() *feature.View {
	return &feature.View{
		Name: "profile", Online: true, Hash: "h1", TTL: 48 * time.Hour, Delay: time.Hour,
		Keys: []feature.Field{{Name: "customer_id", Type: feature.Scalar(feature.Int64)}},
		Features: []feature.Feature{
			{Field: feature.Field{Name: "age", Type: feature.Scalar(feature.Int64)}},
			{Field: feature.Field{Name: "city", Type: feature.Scalar(feature.String)}, Default: "?"},
		},
	}
}

// publish commits the rows that write puts.
func publish(t testing.TB, s *Store, view *feature.View, rebuild bool, state State, write func(p *Publish) error) {
	t.Helper()
	p, err := s.Begin(view, rebuild)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(p); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(state); err != nil {
		t.Fatal(err)
	}
}

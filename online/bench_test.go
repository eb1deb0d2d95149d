package online

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// wideView is a view of 50 float64 features by int64 key, and one column of random values for each.
func wideView(rows int) (*feature.View, []arrow.Array) {
	v := &feature.View{Name: "wide", Online: true, Hash: "h", Keys: []feature.Field{{Name: "id", Type: feature.Scalar(feature.Int64)}}}
	random := rand.New(rand.NewPCG(1, 2))
	var columns []arrow.Array
	for i := range 50 {
		v.Features = append(v.Features, feature.Feature{Field: feature.Field{Name: fmt.Sprintf("f%02d", i), Type: feature.Scalar(feature.Float64)}})
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		for range rows {
			b.Append(random.Float64())
		}
		columns = append(columns, b.NewArray())
	}
	return v, columns
}

func putAll(b *testing.B, s *Store, v *feature.View, columns []arrow.Array, rebuild bool, keys int) {
	b.Helper()
	p, err := s.Begin(v, rebuild)
	if err != nil {
		b.Fatal(err)
	}
	var k feature.Key
	for id := range keys {
		k = feature.AppendKeyInt64(k[:0], int64(id))
		if err := p.Put(k, Row{Event: 1, Created: feature.MinTime, AsOf: 1, Values: columns, Index: id % columns[0].Len()}); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Commit(State{}); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkGet looks 100 random keys of 1,000,000 up, 50 float64 features each, without a cache and from one:
//
//	go test ./online -run='^$' -bench=Get -benchmem
func BenchmarkGet(b *testing.B) {
	b.Run("badger", func(b *testing.B) { benchmarkGet(b, 0) })
	b.Run("cache", func(b *testing.B) { benchmarkGet(b, 1<<30) })
}

func benchmarkGet(b *testing.B, cache int64) {
	const stored, asked = 1_000_000, 100
	s := openTemp(b, b.TempDir(), Options{CacheBytes: cache})
	v, columns := wideView(1000)
	putAll(b, s, v, columns, true, stored)
	features := make([]int, len(v.Features))
	for i := range features {
		features[i] = i
	}
	keys := make([]feature.Key, asked)
	random, next := rand.New(rand.NewPCG(3, 4)), int64(0)
	get := func(id func() int64) {
		for i := range keys {
			keys[i] = feature.AppendKeyInt64(keys[i][:0], id())
		}
		if _, err := s.Get(context.Background(), v, features, keys, 0); err != nil {
			b.Fatal(err)
		}
	}
	for range stored / asked { // so that a cache has them all
		get(func() int64 { next++; return next - 1 })
	}
	b.ReportAllocs()
	for b.Loop() {
		get(func() int64 { return random.Int64N(stored) })
	}
}

// BenchmarkPut publishes 200,000 rows of 50 float64 features, as a rebuild and as newest-wins over what is there:
//
//	go test ./online -run='^$' -bench=Put -benchtime=3x
func BenchmarkPut(b *testing.B) {
	const rows = 200_000
	v, columns := wideView(1000)
	for _, rebuild := range []bool{true, false} {
		b.Run(map[bool]string{true: "rebuild", false: "newest"}[rebuild], func(b *testing.B) {
			s := openTemp(b, b.TempDir(), Options{})
			putAll(b, s, v, columns, true, rows)
			b.ReportAllocs()
			n := int64(1)
			for b.Loop() {
				n++
				p, err := s.Begin(v, rebuild)
				if err != nil {
					b.Fatal(err)
				}
				var k feature.Key
				for id := range rows {
					k = feature.AppendKeyInt64(k[:0], int64(id))
					if err := p.Put(k, Row{Event: feature.Time(n), AsOf: feature.Time(n), Values: columns, Index: id % 1000}); err != nil {
						b.Fatal(err)
					}
				}
				if err := p.Commit(State{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkCheckFiles reads a closed store of 200,000 keys as opening it does, from the page cache:
//
//	go test ./online -run='^$' -bench=CheckFiles
func BenchmarkCheckFiles(b *testing.B) {
	path := b.TempDir()
	s, err := Open(path, Options{Logger: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	v, columns := wideView(1000)
	putAll(b, s, v, columns, true, 200_000)
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(path, "*.sst"))
	if err != nil {
		b.Fatal(err)
	}
	size := int64(0)
	for _, table := range tables {
		info, err := os.Stat(table)
		if err != nil {
			b.Fatal(err)
		}
		size += info.Size()
	}
	b.SetBytes(size)
	for b.Loop() {
		if err := checkFiles(path); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkValidate checks a value of 50 float64, checksum included:
//
//	go test ./online -run='^$' -bench=Validate
func BenchmarkValidate(b *testing.B) {
	v, columns := wideView(1)
	fields := make([]feature.Field, len(v.Features))
	for i := range fields {
		fields[i] = v.Features[i].Field
	}
	l, k := newLayout(1, fields), append(valuePrefix(1), key(1)...)
	value, err := l.encode(nil, k, stamp{}, columns, 0)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := l.validate(k, value); err != nil {
			b.Fatal(err)
		}
	}
}

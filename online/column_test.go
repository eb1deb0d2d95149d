package online

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/asof-store/asof/feature"
)

// typed is a view with a feature of each kind of memory: of 4 and 8 bytes, with and without a default, and of others.
func typed() *feature.View {
	v := &feature.View{Name: "typed", Online: true, Hash: "h", Keys: []feature.Field{{Name: "id", Type: feature.Scalar(feature.Int64)}}}
	for i, t := range []feature.Type{feature.Scalar(feature.Int32), feature.Scalar(feature.Float64), feature.Scalar(feature.Timestamp), feature.Scalar(feature.Float32),
		feature.Scalar(feature.Bool), feature.Scalar(feature.String), feature.Scalar(feature.Bytes), feature.ListOf(feature.String)} {
		v.Features = append(v.Features, feature.Feature{Field: feature.Field{Name: fmt.Sprint("f", i), Type: t}})
	}
	v.Features[3].Default = float32(-1)
	return v
}

// all are the indices of v's features.
func all(v *feature.View) (features []int) {
	for i := range v.Features {
		features = append(features, i)
	}
	return features
}

func putTyped(t *testing.T, s *Store, v *feature.View, ids ...int64) {
	t.Helper()
	publish(t, s, v, true, State{}, func(p *Publish) (err error) {
		for _, id := range ids {
			text := fmt.Sprint("text of ", id)
			r := row(t, v, hour, int32(id), float64(id)/2, feature.Time(id), float32(id), id%2 == 0, text, []byte(text), []string{text, text})
			if id == 3 {
				r = row(t, v, hour, nil, nil, nil, nil, nil, nil, nil, nil)
			}
			err = errors.Join(err, p.Put(key(id), r))
		}
		return err
	})
}

// TestAnswersKeepNothing holds answers while other lookups use the memory of theirs again.
func TestAnswersKeepNothing(t *testing.T) {
	for _, cache := range []int64{0, leastCache} {
		s, v := openTemp(t, t.TempDir(), Options{CacheBytes: cache}), typed()
		putTyped(t, s, v, 1, 2, 3, 4)
		get := func(ids ...int64) []*Column {
			var keys []feature.Key
			for _, id := range ids {
				keys = append(keys, key(id))
			}
			columns, err := s.Get(context.Background(), v, all(v), keys, hour)
			if err != nil {
				t.Fatal(err)
			}
			return columns
		}
		first := get(1, 2, 3)
		want := show(get(1, 2, 3))
		for range 5 { // from the store, then from the cache
			get(4, 4, 4)
			get(3, 9)
		}
		if d := cmp.Diff(want, show(first)); d != "" {
			t.Errorf("an answer has changed since:\n%s", d)
		}
	}
}

// TestBits: bits are those of the array that Values makes of them, and tell of the same NULLs.
func TestBits(t *testing.T) {
	s, v := openTemp(t, t.TempDir(), Options{}), typed()
	putTyped(t, s, v, 1, 2, 3)
	columns, err := s.Get(context.Background(), v, all(v), []feature.Key{key(1), key(3), key(7), key(2)}, hour)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range columns {
		bits, defaulted, ok := c.Bits()
		if is := i < 4; ok != is || is && defaulted != (i == 3) {
			t.Fatalf("%s: bits %v, defaulted %v", c.Name, ok, defaulted)
		}
		for row, status := range c.Statuses {
			if null := status != feature.Present && i != 3; c.Values().IsNull(row) != null {
				t.Errorf("%s, row %d: NULL is %v, the status is %s", c.Name, row, !null, status)
			}
		}
		if ok && !cmp.Equal(bits, c.Values().Data().Buffers()[1].Bytes()) {
			t.Errorf("%s: bits %v of %v", c.Name, bits, c.Values())
		}
	}
	want := [][]any{{int32(1), nil, nil, int32(2)}, {0.5, nil, nil, 1.0}, {feature.Time(1), nil, nil, feature.Time(2)}, {float32(1), float32(-1), float32(-1), float32(2)}}
	for i, c := range columns[:4] {
		var got []any
		for row := range c.Statuses {
			got = append(got, goValue(c.Values(), row))
		}
		if d := cmp.Diff(want[i], got); d != "" {
			t.Errorf("%s:\n%s", c.Name, d)
		}
	}
	columns[0].Replace(columns[1].Values(), columns[1].Statuses)
	if _, _, ok := columns[0].Bits(); ok || columns[0].Values() != columns[1].Values() {
		t.Errorf("after Replace there are bits (%v), or the values of before: %v", ok, columns[0].Values())
	}
	none, err := s.Get(context.Background(), v, all(v), nil, hour)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range none {
		if _, _, ok := c.Bits(); ok || c.Values().Len() != 0 {
			t.Errorf("%s of no keys: bits %v, values %v", c.Name, ok, c.Values())
		}
	}
}

package online

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"

	"github.com/asof-store/asof/feature"
)

var update = flag.Bool("update", false, "write the golden files anew")

// allFields has a field of each type, lists last.
func allFields() []feature.Field {
	var fields []feature.Field
	for _, list := range []bool{false, true} {
		for k := feature.Bool; k <= feature.Timestamp; k++ {
			t := feature.Type{Kind: k, List: list}
			fields = append(fields, feature.Field{Name: t.String(), Type: t})
		}
	}
	return fields
}

// rowOf builds one row of columns, values given in the order of fields.
func rowOf(t testing.TB, fields []feature.Field, values []any) []arrow.Array {
	t.Helper()
	columns := make([]arrow.Array, len(fields))
	for i, f := range fields {
		columns[i] = column(t, f.Type, values[i])
	}
	return columns
}

func fullRow() []any {
	return []any{true, int32(-2), int64(1) << 40, float32(1.5), -0.25, "año", []byte{0, 255}, feature.Time(1700000000123456),
		[]bool{true, false}, []int32{1, -1}, []int64{}, []float32{0.5}, []float64{1, 2}, []string{"a", "", "ccc"}, [][]byte{{1}, {}}, []feature.Time{5}}
}

// listWithNulls is a column of one list<string> and one list<int32>, each with NULL elements.
func listsWithNulls() []arrow.Array {
	text := array.NewListBuilder(memory.DefaultAllocator, arrow.BinaryTypes.String)
	text.Append(true)
	words := text.ValueBuilder().(*array.StringBuilder)
	words.AppendNull()
	words.Append("x")
	words.AppendNull()
	number := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Int32)
	number.Append(true)
	number.ValueBuilder().(*array.Int32Builder).Append(7)
	number.ValueBuilder().AppendNull()
	return []arrow.Array{text.NewArray(), number.NewArray()}
}

// TestGolden pins every stored byte that docs/format/online.md describes.
func TestGolden(t *testing.T) {
	l := newLayout(3, allFields())
	stored := append(valuePrefix(7), key(-1)...)
	at := stamp{event: 1700000000000000, created: 1700000000000001, asOf: 1700000000000002}
	nulls := newLayout(4, []feature.Field{{Name: "t", Type: feature.ListOf(feature.String)}, {Name: "n", Type: feature.ListOf(feature.Int32)}})
	none := at
	none.created = feature.MinTime
	value := func(l *layout, at stamp, columns []arrow.Array) []byte {
		b, err := l.encode(nil, stored, at, columns, 0)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	state, err := encodeState("profile", State{ViewID: 7, SchemaID: 3, Hash: "abc", Watermark: 10, Horizon: 9, Snapshot: -5, Unfinished: true})
	if err != nil {
		t.Fatal(err)
	}
	schema, err := encodeSchema(3, []feature.Field{{Name: "age", Type: feature.Scalar(feature.Int64)}, {Name: "v", Type: feature.ListOf(feature.Float32)}})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "value", map[string][]byte{
		"key":           stored,
		"full":          value(l, at, rowOf(t, l.fields, fullRow())),
		"all-null":      value(l, none, rowOf(t, l.fields, make([]any, len(l.fields)))),
		"null-elements": value(nulls, at, listsWithNulls()),
		"no-fields":     value(newLayout(5, nil), none, nil),
	})
	golden(t, "records", map[string][]byte{
		"store-key": storeKey(), "store": encodeStore(),
		"state-key": stateKey("profile"), "state": state,
		"schema-key": schemaKey(3), "schema": schema,
		"bulk-key": bulkKey(valuePrefix(7)), "bulk": encodeBulk(bulkKey(valuePrefix(7)), bulkState{number: 12, files: 3, rows: 1 << 33}),
	})
}

// golden compares named byte strings with testdata/NAME.golden.
func golden(t *testing.T, name string, got map[string][]byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	var lines []string
	for n, b := range got {
		lines = append(lines, n+": "+hex.EncodeToString(b))
	}
	slices.Sort(lines)
	text := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), text); d != "" {
		t.Errorf("%s: stored bytes have changed (-want +got):\n%s", path, d)
	}
}

func TestValueRoundTrip(t *testing.T) {
	l := newLayout(1, allFields())
	want := fullRow()
	for mask := range len(want) + 1 { // one field NULL, or none
		values := fullRow()
		if mask < len(values) {
			values[mask] = nil
		}
		b, err := l.encode([]byte("head"), []byte("key"), stamp{event: 1, created: feature.MinTime}, rowOf(t, l.fields, values), 0)
		if err != nil {
			t.Fatal(err)
		}
		got := l.goValues(b[4:])
		for i := range want {
			if i == mask {
				if got[i] != nil {
					t.Errorf("%s is %v, want NULL", l.fields[i].Name, got[i])
				}
			} else if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
				t.Errorf("%s is %v, want %v", l.fields[i].Name, got[i], want[i])
			}
		}
	}
}

func TestEncodeRefusesOtherColumns(t *testing.T) {
	fields := allFields()
	for i, f := range fields {
		for j, g := range fields {
			if i == j {
				continue
			}
			l := newLayout(1, []feature.Field{f})
			if _, err := l.encode(nil, nil, stamp{}, rowOf(t, []feature.Field{g}, []any{fullRow()[j]}), 0); !errors.Is(err, feature.ErrInternal) {
				// A list is told from another list by its elements, of which an empty one has none.
				if f.Type.List && g.Type == feature.ListOf(feature.Int64) {
					continue
				}
				t.Errorf("a column of %s as %s: %v", g.Type, f.Type, err)
			}
		}
	}
}

// TestDecodeDamaged flips each bit of a value, and mends its checksum: no damage passes for the value that was written.
func TestDecodeDamaged(t *testing.T) {
	l := newLayout(1, allFields())
	stored := []byte("\x00\x00\x00\x01k")
	good, err := l.encode(nil, stored, stamp{event: 1, created: 2, asOf: 3}, rowOf(t, l.fields, fullRow()), 0)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range len(good) * 8 {
		bad := append([]byte(nil), good...)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := l.validate(stored, bad); !errors.Is(err, feature.ErrCorrupt) {
			t.Fatalf("bit %d: %v", bit, err)
		}
		mend(stored, bad)
		if l.validate(stored, bad) == nil {
			l.goValues(bad) // must not panic
		}
	}
	for n := range good {
		if err := l.validate(stored, good[:n]); !errors.Is(err, feature.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if err := l.validate([]byte("\x00\x00\x00\x01K"), good); !errors.Is(err, feature.ErrCorrupt) {
		t.Errorf("under another key: %v", err)
	}
	if err := newLayout(2, allFields()).validate(stored, good); !errors.Is(err, feature.ErrCorrupt) {
		t.Errorf("under another schema: %v", err)
	}
}

// mend gives value a checksum that fits.
func mend(key, value []byte) {
	if len(value) >= schemaAt {
		binary.LittleEndian.PutUint32(value[checksumAt:], checksum(key, value))
	}
}

func TestRecords(t *testing.T) {
	want := State{ViewID: 1, SchemaID: 2, Hash: "h", Watermark: -3, Horizon: feature.MinTime, Snapshot: 1 << 60}
	b, err := encodeState("v", want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeState("v", b); err != nil || got != want {
		t.Errorf("state %+v, %v", got, err)
	}
	if _, err := decodeState("w", b); !errors.Is(err, feature.ErrCorrupt) {
		t.Errorf("the state of another view: %v", err)
	}
	fields := allFields()
	s, err := encodeSchema(9, fields)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeSchema(9, s); err != nil || !cmp.Equal(got, fields) {
		t.Errorf("schema %v, %v", got, err)
	}
	for bit := range len(s) * 8 {
		bad := append([]byte(nil), s...)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, err := decodeSchema(9, bad); err == nil {
			t.Fatalf("schema with bit %d flipped is read", bit)
		}
	}
	newer := sealRecord(storeKey(), []byte{recordVersion, storeVersion + 1})
	if err := decodeStore(newer); !errors.Is(err, feature.ErrInvalid) {
		t.Errorf("a newer store: %v", err)
	}
}

// FuzzDecode reads outside bytes as every kind of stored thing, with checksums mended so that the rest is reached.
func FuzzDecode(f *testing.F) {
	l := newLayout(1, allFields())
	stored := []byte("\x00\x00\x00\x01k")
	good, err := l.encode(nil, stored, stamp{event: 1, created: 2, asOf: 3}, rowOf(f, l.fields, fullRow()), 0)
	if err != nil {
		f.Fatal(err)
	}
	empty, _ := l.encode(nil, stored, stamp{}, rowOf(f, l.fields, make([]any, len(l.fields))), 0)
	schema, _ := encodeSchema(1, allFields())
	state, _ := encodeState("v", State{ViewID: 1, Hash: "h"})
	for _, seed := range [][]byte{good, empty, schema, state, {}, encodeStore()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		mend(stored, b)
		if l.validate(stored, b) == nil {
			l.goValues(b)
			stampOf(b)
		}
		if len(b) >= 4 {
			body := b[: len(b)-4 : len(b)-4]
			if fields, err := decodeSchema(1, sealRecord(schemaKey(1), body)); err == nil {
				newLayout(1, fields)
			}
			if s, err := decodeState("v", sealRecord(stateKey("v"), body)); err == nil && s.ViewID == 0 {
				t.Error("a state that points nowhere")
			}
		}
		_ = decodeStore(b)
	})
}

// TestNewerFormat: records that a newer asof may have written are not taken for damaged ones.
func TestNewerFormat(t *testing.T) {
	for _, record := range [][]byte{{recordVersion, storeVersion + 1}, {recordVersion + 1, storeVersion}} {
		err := decodeStore(sealRecord(storeKey(), record))
		if !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), "use the asof that wrote it, or a new directory") {
			t.Errorf("record %x: %v", record, err)
		}
	}
}

package parquetio

import (
	"bytes"
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"
)

// Bytes that were changed or cut give an error of a kind that says so, or as many rows as are promised; never a
// panic, which the guard would turn into an error that tells of a runtime error.
func TestDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawTwinFile(t)
		b := bytes.Clone(f.bytes)
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		}
		if rapid.IntRange(0, 9).Draw(t, "cut") == 0 {
			b = b[:rapid.IntRange(0, len(b)).Draw(t, "size")]
		}
		readDamaged(t, b)
	})
}

func readDamaged(t interface{ Fatalf(string, ...any) }, b []byte) {
	check := func(err error) {
		if kind := feature.KindOf(err); kind != feature.ErrCorrupt && kind != feature.ErrInvalid {
			t.Fatalf("%v: %v", kind, err)
		}
		if !strings.HasPrefix(err.Error(), "damaged: ") || strings.Contains(err.Error(), "runtime error") {
			t.Fatalf("%v", err)
		}
	}
	f, err := NewFile("damaged", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		check(err)
		return
	}
	for _, c := range f.Columns() {
		if !c.Convertible || c.Type.Kind == 0 {
			continue
		}
		for g, group := range f.RowGroups() {
			f.Bounds(g, c.Path)
			f.Pages(g, c.Path)
			if group.Rows > 100_000 { // true or not, it takes time
				continue
			}
			spans := []Span{{group.Rows / 3, group.Rows / 2}}
			for _, s := range [][]Span{nil, spans} {
				if _, err := f.Read(g, c.Path, c.Type, s); err != nil {
					check(err)
				}
			}
		}
	}
}

// FuzzRead feeds arbitrary bytes; its seeds are small files of every encoding, and one with checksums.
func FuzzRead(f *testing.F) {
	type row struct {
		A int64    `parquet:"a,delta"`
		B []string `parquet:"b,list,dict,snappy"`
		C *float64 `parquet:"c,zstd"`
		D string   `parquet:"d,delta,lz4"`
		E bool     `parquet:"e"`
		F float32  `parquet:"f,split,gzip"`
	}
	v := 1.5
	for version := 1; version <= 2; version++ {
		var out bytes.Buffer
		if err := parquet.Write(&out, []row{{1, []string{"x", "y"}, &v, "abc", true, 1}, {2, nil, nil, "abd", false, 2}}, parquet.DataPageVersion(version)); err != nil {
			f.Fatal(err)
		}
		f.Add(out.Bytes())
	}
	f.Add(everyKind(f))
	f.Fuzz(func(t *testing.T, b []byte) { readDamaged(t, b) })
}

// oneColumn writes values of one required column and opens the file.
func oneColumn(t *testing.T, node parquet.Node, values ...parquet.Value) *File {
	t.Helper()
	var out bytes.Buffer
	w := parquet.NewWriter(&out, parquet.NewSchema("one", parquet.Group{"c": node}))
	for _, v := range values {
		if _, err := w.WriteRows([]parquet.Row{{v.Level(0, 0, 0)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := NewFile("one.parquet", bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func bigEndian(v int64, n int) []byte {
	b := make([]byte, n)
	big.NewInt(v & math.MaxInt64).FillBytes(b)
	if v < 0 {
		b = bytes.Repeat([]byte{0xff}, n)
		new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), uint(8*n)), big.NewInt(v)).FillBytes(b)
	}
	return b
}

func TestConversions(t *testing.T) {
	int64s := func(v ...int64) (out []parquet.Value) {
		for _, v := range v {
			out = append(out, parquet.Int64Value(v))
		}
		return out
	}
	for _, c := range []struct {
		name   string
		node   parquet.Node
		values []parquet.Value
		as     feature.Kind
		want   []any
		err    string
	}{
		{"nanoseconds round up", parquet.Timestamp(parquet.Nanosecond), int64s(-1001, -1000, -999, -1, 0, 1, 999, 1000, 1001, math.MaxInt64, math.MinInt64), feature.Timestamp,
			[]any{int64(-1), int64(-1), int64(0), int64(0), int64(0), int64(1), int64(1), int64(1), int64(2), int64(math.MaxInt64/1000 + 1), int64(math.MinInt64 / 1000)}, ""},
		{"milliseconds beyond", parquet.Timestamp(parquet.Millisecond), int64s(math.MaxInt64 / 999), feature.Timestamp, nil, "lies beyond what microseconds can tell"},
		{"days beyond", parquet.Date(), []parquet.Value{parquet.Int32Value(math.MaxInt32)}, feature.Timestamp, nil, "lies beyond what microseconds can tell"},
		{"uint64 beyond", parquet.Uint(64), int64s(1, -1), feature.Int64, nil, "the value 18446744073709551615 does not fit int64"},
		{"int64 as int32", parquet.Int(64), int64s(math.MaxInt32, math.MinInt32), feature.Int32, []any{int32(math.MaxInt32), int32(math.MinInt32)}, ""},
		{"int64 beyond int32", parquet.Int(64), int64s(math.MaxInt32 + 1), feature.Int32, nil, "the value 2147483648 does not fit int32"},
		{"large decimal", parquet.Decimal(4, 18, parquet.Int64Type), int64s(math.MaxInt64, -123456), feature.Float64, []any{922337203685477.5807, -12.3456}, ""},
		{"decimal bytes", parquet.Decimal(2, 38, parquet.FixedLenByteArrayType(16)),
			[]parquet.Value{parquet.FixedLenByteArrayValue(bigEndian(-12345, 16)), parquet.FixedLenByteArrayValue(bigEndian(12345, 16))}, feature.Float64, []any{-123.45, 123.45}, ""},
		{"whole decimal", parquet.Decimal(0, 38, parquet.FixedLenByteArrayType(16)), []parquet.Value{parquet.FixedLenByteArrayValue(bigEndian(-7, 16))}, feature.Int64, []any{int64(-7)}, ""},
		{"decimal is no integer", parquet.Decimal(2, 9, parquet.Int32Type), nil, feature.Int64, nil, "cannot be read as int64: read it as float64"},
		{"bytes as text", parquet.Leaf(parquet.ByteArrayType), []parquet.Value{parquet.ByteArrayValue([]byte("zürich"))}, feature.String, []any{"zürich"}, ""},
		{"bytes that are no text", parquet.Leaf(parquet.ByteArrayType), []parquet.Value{parquet.ByteArrayValue([]byte{0xff})}, feature.String, nil, "not UTF-8: read the column as bytes"},
		{"text is no integer", parquet.String(), nil, feature.Int64, nil, "column c is BYTE_ARRAY STRING, which cannot be read as int64: read it as string"},
		{"double is no float", parquet.Leaf(parquet.DoubleType), nil, feature.Float32, nil, "cannot be read as float32: read it as float64"},
		{"time of day", parquet.Time(parquet.Microsecond), nil, feature.Int64, nil, "column c is INT64 TIME, which cannot be read as int64"},
		{"json", parquet.JSON(), []parquet.Value{parquet.ByteArrayValue([]byte("{}"))}, feature.String, []any{"{}"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := oneColumn(t, c.node, c.values...)
			var got []any
			var err error
			if len(c.values) == 0 {
				err = f.checkReads(f.columns[0], feature.Scalar(c.as))
			} else if a, e := f.Read(0, "c", feature.Scalar(c.as), nil); e != nil {
				err = e
			} else {
				got = values(a)
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || !strings.Contains(err.Error(), "one.parquet: column c") || feature.KindOf(err) != feature.ErrInvalid {
					t.Fatalf("error %v, want one that tells of %q", err, c.err)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Fatal(err, diff)
			}
		})
	}
}

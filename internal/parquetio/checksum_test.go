package parquetio

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
)

// everyKind returns a file with every kind of column, dictionaries, NULLs, lists and columns that repeat another, in several row groups and
// pages, and a little longer than a block.
func everyKind(t testing.TB) []byte {
	t.Helper()
	var specs []ColumnSpec
	var fields []arrow.Field
	var columns []arrow.Array
	const rows = 700
	add := func(spec ColumnSpec, b array.Builder, value func(i int) any) {
		for i := range rows {
			if v := value(i); v == nil {
				b.AppendNull()
			} else if err := b.AppendValueFromString(fmt.Sprint(v)); err != nil {
				t.Fatal(err)
			}
		}
		specs, columns = append(specs, spec), append(columns, b.NewArray())
		fields = append(fields, arrow.Field{Name: spec.Name, Type: spec.Type.Arrow(), Nullable: true})
	}
	for k := feature.Bool; k <= feature.Timestamp; k++ {
		value := func(i int) any {
			switch {
			case k == feature.Bool:
				return i%3 == 0
			case k == feature.String:
				return "shop " + strings.Repeat("x", i%5)
			case k == feature.Bytes:
				return "AAECAwQ="
			case k == feature.Timestamp:
				return feature.Time(1e15 + 1e6*int64(i)).String()
			case i%4 == 1:
				return nil
			}
			return i * i
		}
		add(ColumnSpec{Name: k.String(), Type: feature.Scalar(k), Ordered: k == feature.Timestamp}, array.NewBuilder(memory.DefaultAllocator, feature.Scalar(k).Arrow()), value)
		if feature.Scalar(k).IsNumeric() {
			add(ColumnSpec{Name: "again_" + k.String(), Type: feature.Scalar(k)}, array.NewBuilder(memory.DefaultAllocator, feature.Scalar(k).Arrow()), value)
		}
	}
	add(ColumnSpec{Name: "list", Type: feature.ListOf(feature.Float64)}, array.NewBuilder(memory.DefaultAllocator, feature.ListOf(feature.Float64).Arrow()), func(i int) any {
		return fmt.Sprintf("[%d.5, %d]", i, i*7)
	})
	var buf bytes.Buffer
	w := NewWriter(&buf, specs, WriterOptions{RowGroupRows: 300, PageRows: 110})
	if err := w.Write(array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, rows)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// reading is what a file says and holds.
type reading struct {
	text  string // bounds, and values read in two ways
	pages [][]PageBound
}

func readingOf(b []byte) (r reading, err error) {
	f, err := NewFile("damaged", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return r, err
	}
	var out strings.Builder
	for _, c := range f.Columns() {
		for g, group := range f.RowGroups() {
			low, high, _ := f.Bounds(g, c.Path)
			nulls, _ := f.NullCount(g, c.Path)
			fmt.Fprintln(&out, c.Path, c.Type, low, high, nulls, f.Same(g, c.Path))
			r.pages = append(r.pages, f.Pages(g, c.Path))
			for _, spans := range [][]Span{nil, {{group.Rows - 3, group.Rows - 1}}} {
				a, err := f.Read(g, c.Path, c.Type, spans)
				if err != nil {
					return r, err
				}
				fmt.Fprintln(&out, a)
			}
		}
	}
	r.text = out.String()
	return r, nil
}

// agrees reports whether what was read of a damaged file is what is to be read: an index that is damaged may be missing, but say nothing else.
func (r reading) agrees(want reading) bool {
	if r.text != want.text {
		return false
	}
	for i, pages := range r.pages {
		for n, p := range pages {
			w := want.pages[i][n]
			if p.Min == nil && p.Nulls < 0 && !p.AllNull {
				w.Min, w.Max, w.Nulls, w.AllNull = nil, nil, -1, false
			}
			if !reflect.DeepEqual(p, w) {
				return false
			}
		}
	}
	return true
}

// TestEveryByteIsChecked flips a bit in every byte of a file: that is found when the file is opened or by Verify, and never changes what is
// read, which is tried for every fourth.
func TestEveryByteIsChecked(t *testing.T) {
	b := everyKind(t)
	want, err := readingOf(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < blockBytes+4000 || !strings.Contains(want.text, "again_int64 int64 0 89401 75 int64\n") {
		t.Fatalf("%d bytes, which do not have what there is to damage", len(b))
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for at, original := range b {
		b[at] ^= 1 << random.IntN(8)
		if !isFound(t, b) {
			t.Fatalf("byte %d of %d, seed %d: the flip is not found", at, len(b), seed)
		}
		if random.IntN(4) > 0 { // reading takes time
			b[at] = original
			continue
		}
		switch got, err := readingOf(b); {
		case err != nil && (feature.KindOf(err) != feature.ErrCorrupt || strings.Contains(err.Error(), "runtime error")):
			t.Fatalf("byte %d of %d, seed %d: %v", at, len(b), seed, err)
		case err == nil && !got.agrees(want):
			t.Fatalf("byte %d of %d, seed %d: something else is read", at, len(b), seed)
		}
		b[at] = original
	}
}

// isFound reports whether damage is found when a file is opened, or verified.
func isFound(t *testing.T, b []byte) (found bool) {
	f, err := NewFile("damaged", bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return true
	}
	switch err := f.Verify(context.Background(), nil, func(string) { found = true }); {
	case feature.KindOf(err) == feature.ErrCorrupt: // the checksums themselves
		return true
	case err != nil:
		t.Fatal(err)
	}
	return found
}

// TestChecksumsLayout computes the checksums of a file anew, as the page on the format describes them.
func TestChecksumsLayout(t *testing.T) {
	b := everyKind(t)
	footer := len(b) - 8 - int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	tail := b[footer-24 : footer]
	begin := int(binary.LittleEndian.Uint64(tail[4:]))
	crc := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	var want []byte
	for from := 0; from < begin; from += 4096 {
		want = binary.LittleEndian.AppendUint32(want, crc(b[from:min(from+4096, begin)]))
	}
	want = binary.LittleEndian.AppendUint32(want, crc(b[footer:]))
	want = binary.LittleEndian.AppendUint64(want, uint64(begin))
	want = append(binary.LittleEndian.AppendUint32(want, crc(want)), "asof crc"...)
	if !bytes.Equal(b[begin:footer], want) {
		t.Errorf("from byte %d to the footer there is\n%x, want\n%x", begin, b[begin:footer], want)
	}
}

// TestDamageIsNamed checks that a message tells where the damage lies.
func TestDamageIsNamed(t *testing.T) {
	b := everyKind(t)
	at := len(b) / 3
	b[at] ^= 1
	_, err := readingOf(b)
	want := fmt.Sprintf("damaged: corrupt Parquet file: bytes [%d, %d) do not match their checksum (row group 0, column timestamp; row group 0, column list; ", at-at%blockBytes, at-at%blockBytes+blockBytes)
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
}

// TestChecksumsOfLargerBlocks reads a file whose checksums are as they were before, of blocks of 16 KiB, and finds damage in it.
func TestChecksumsOfLargerBlocks(t *testing.T) {
	b := everyKind(t)
	footer := len(b) - 8 - int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	begin := int(binary.LittleEndian.Uint64(b[footer-20:]))
	if begin <= 16<<10 {
		t.Fatalf("%d bytes are one block", begin)
	}
	crc := func(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
	var sums []byte
	for from := 0; from < begin; from += 16 << 10 {
		sums = binary.LittleEndian.AppendUint32(sums, crc(b[from:min(from+16<<10, begin)]))
	}
	sums = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(sums, crc(b[footer:])), uint64(begin))
	sums = append(binary.LittleEndian.AppendUint32(sums, crc(sums)), "asof crc"...)
	older := slices.Concat(b[:begin], sums, b[footer:])
	want, err := readingOf(b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := readingOf(older)
	if err != nil || got.text != want.text {
		t.Fatalf("it is read otherwise: %v", err)
	}
	older[begin-1] ^= 1
	if _, err := readingOf(older); feature.KindOf(err) != feature.ErrCorrupt {
		t.Errorf("damage is %v", err)
	}
}

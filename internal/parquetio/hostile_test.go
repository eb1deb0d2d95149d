package parquetio

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/parquet-go/parquet-go/format"
)

func uvarints(v ...uint64) (b []byte) {
	for _, v := range v {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

// A few bytes that claim billions of values cost neither memory nor time.
func TestHostileClaims(t *testing.T) {
	list := append([]byte{0x19, 0xfc}, uvarints(1<<31-1)...) // field 1: a list of 2^31-1 structs
	deep := bytes.Repeat([]byte{0x1c}, 1000)                 // structs in structs
	empty := append(append([]byte{0x19, 0xfc}, uvarints(1000)...), make([]byte, 1001)...)
	for name, b := range map[string][]byte{"list": list, "deep": deep, "empty structs": empty, "nothing": nil} {
		if n, err := thriftLength(b); err == nil {
			t.Errorf("%s: a struct of %d bytes", name, n)
		}
	}
	if n, err := thriftLength([]byte{0x15, 2, 0, 9, 9}); n != 3 || err != nil {
		t.Error(n, err)
	}
	// Type 0 with a number ends a struct too. A walk that took it for a field would go on behind the end, and let claims pass that the decoder comes to.
	if n, err := thriftLength([]byte{0x1c, 0x10, 0x30, 9}); n != 3 || err != nil {
		t.Error(n, err)
	}

	three := make([]int64, 3)
	for name, b := range map[string][]byte{
		"more values":   uvarints(128, 4, 1<<40, 0),
		"fewer values":  uvarints(128, 4, 2, 0),
		"no miniblocks": uvarints(128, 0, 3, 0),
		"large blocks":  uvarints(1<<40, 1, 3, 0, 0, 0),
		"odd blocks":    uvarints(100, 3, 3, 0),
		"wide values":   append(uvarints(128, 4, 3, 0, 0), 65, 0, 0, 0),
		"no data":       append(uvarints(128, 4, 3, 0, 0), 64, 0, 0, 0),
		"no widths":     uvarints(128, 4, 3, 0, 0),
	} {
		if _, err := decodeDelta(three, b); err == nil {
			t.Errorf("delta, %s: no error", name)
		}
	}

}

func TestHostileLevels(t *testing.T) {
	for name, b := range map[string][]byte{
		"no width": nil, "wide": {33}, "no run": {1}, "short run": append([]byte{8}, uvarints(4<<1)...), "short packed run": append([]byte{8}, append(uvarints(1<<1|1), 1, 2)...),
	} {
		if err := decodeIndices(make([]int32, 4), b); err == nil {
			t.Errorf("indices, %s: no error", name)
		}
	}
	if err := decodeIndices(make([]int32, 4), append(append([]byte{8}, uvarints(1<<62)...), 7)); err != nil {
		t.Error(err) // a run that is too long is cut
	}
	for name, b := range map[string][]byte{"level": append(uvarints(8<<1), 3), "packed level": append(uvarints(1<<1|1), 0xff, 0xff), "end": nil} {
		if _, err := decodeLevels(nil, b, format.RLE, 2, 8); err == nil {
			t.Errorf("levels, %s: no error", name)
		}
	}
	if levels, err := decodeLevels(nil, []byte{0b00011011, 0b10000000}, format.BitPacked, 2, 5); err == nil || levels != nil {
		t.Error("bit-packed levels: 3 exceeds 2")
	}
	if levels, err := decodeLevels(nil, []byte{0b00011000, 0b10000000}, format.BitPacked, 2, 5); err != nil || !bytes.Equal(levels, []byte{0, 1, 2, 0, 2}) {
		t.Error("bit-packed levels:", levels, err)
	}

}

// Each value repeats all of the one before it: a megabyte that would become terabytes.
func TestHostilePrefixes(t *testing.T) {
	grow := func(n int) []byte {
		head := uvarints(128, 4, uint64(n), 0)
		prefixes := head
		for i := 1; i < n; i += 128 {
			prefixes = append(append(prefixes, uvarints(2)...), 0, 0, 0, 0) // each one longer than the last
		}
		lengths := uvarints(128, 4, uint64(n), 2)
		for i := 1; i < n; i += 128 {
			lengths = append(append(lengths, uvarints(0)...), 0, 0, 0, 0)
		}
		return append(append(append([]byte{}, prefixes...), lengths...), make([]byte, n)...)
	}
	if v, err := decodeByteArrays(nil, format.DeltaByteArray, grow(100), 100); err != nil || len(v[99]) != 100 {
		t.Error(len(v), err)
	}
	if _, err := decodeByteArrays(nil, format.DeltaByteArray, grow(1<<20), 1<<20); err == nil {
		t.Error("half a terabyte of text")
	}
}

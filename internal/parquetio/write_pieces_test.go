package parquetio

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestPieces adds pages to pieces, of which some have memory that has served: the bytes stay in order, no page is cut, and memory that has room is taken.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 1000, pieceBytes / 3, pieceBytes - 1, pieceBytes, pieceBytes + 1}), 0, 12).Draw(t, "pages")
		p, given := pieces{expected: rapid.SampledFrom([]int64{0, 1 << 10, 1 << 30}).Draw(t, "expected")}, 0
		var want, ends []byte // ends marks where a page ends
		spare := func() []byte {
			given++
			return rapid.SampledFrom([][]byte{nil, make([]byte, 7, 10), make([]byte, 10, pieceBytes)}).Draw(t, "spare")
		}
		for i, n := range sizes {
			page := bytes.Repeat([]byte{byte(i + 1)}, n)
			pieces := len(p.all)
			room := pieces > 0 && cap(p.all[pieces-1])-len(p.all[pieces-1]) >= n
			p.add(spare, page[:n/2], page[n/2:])
			if grown := len(p.all) > pieces; grown == room {
				t.Fatalf("page %d of %d bytes: another piece %v, room %v", i, n, grown, room)
			}
			want, ends = append(want, page...), append(ends, make([]byte, n)...)
			if n > 0 {
				ends[len(ends)-1] = 1
			}
		}
		if got := bytes.Join(p.all, nil); !bytes.Equal(got, want) || p.size != int64(len(want)) {
			t.Fatalf("%d bytes, counted %d, want %d", len(got), p.size, len(want))
		}
		if given != len(p.all) {
			t.Fatalf("memory was asked for %d times for %d pieces", given, len(p.all))
		}
		at := 0
		for _, piece := range p.all {
			if at += len(piece); at > 0 && ends[at-1] != 1 {
				t.Fatalf("a page is cut at byte %d", at)
			}
			if len(piece) > pieceBytes+1 {
				t.Fatalf("a piece of %d bytes", len(piece))
			}
		}
	})
}

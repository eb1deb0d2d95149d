package parquetio

import "github.com/apache/arrow-go/v18/arrow"

// pieceBytes is how large a piece of a chunk gets: several pages of it, and no more than whoever writes them takes without copying.
const pieceBytes = 2 << 20

// pieces are the pages of a chunk, in pieces of memory, each of which holds whole pages, can be handed on when it has been written and serves another chunk then.
type pieces struct {
	all      [][]byte
	size     int64 // bytes in all of them
	expected int64 // about how many there will be at most
}

// add adds a page, which consists of parts, in memory that spare returns if the last piece has no room for it. What spare returns may be too little.
func (p *pieces) add(spare func() []byte, parts ...[]byte) {
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	last := len(p.all) - 1
	if last < 0 || cap(p.all[last])-len(p.all[last]) < n {
		piece := spare()
		if cap(piece) < n {
			piece = make([]byte, 0, max(n, int(min(p.expected-p.size, pieceBytes))))
		}
		p.all, last = append(p.all, piece[:0]), last+1
	}
	for _, part := range parts {
		p.all[last] = append(p.all[last], part...)
	}
	p.size += int64(n)
}

// plainSize returns about how many bytes arrays take at most as pages.
func plainSize(arrays []arrow.Array) (size int64) {
	for _, a := range arrays {
		if a = elementsOf(a); a.Len() == 0 {
			continue
		}
		if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
			size += int64(a.Len()) * int64(t.BitWidth()+1) / 8
			continue
		}
		offsets := a.(interface{ ValueOffsets() []int32 }).ValueOffsets()
		size += int64(offsets[a.Len()]-offsets[0]) + 4*int64(a.Len())
	}
	return size * 33 / 32 // levels and headers
}

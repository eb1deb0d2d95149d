package parquetio

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/parquet-go/bitpack"
)

// decodeDelta decodes DELTA_BINARY_PACKED, which must hold exactly len(dst) values, and returns what follows.
func decodeDelta[T int32 | int64](dst []T, src []byte) ([]byte, error) {
	d, src, err := deltasOf[T](src, len(dst))
	if err != nil || len(dst) == 0 {
		return src, err
	}
	dst[0] = d.first
	last := d.first
	return d.each(src, len(dst)-1, func(from int, packed []byte, width uint, least T, n int) {
		last = sumDeltas(dst[1+from:][:n], packed, width, last, least)
	})
}

// deltas is the head of values in the encoding DELTA_BINARY_PACKED.
type deltas[T int32 | int64] struct {
	perMini int // deltas of a miniblock
	minis   int // of a block
	first   T
}

// deltasOf reads the head of n values, and returns what follows it.
func deltasOf[T int32 | int64](src []byte, n int) (d deltas[T], rest []byte, err error) {
	var head [4]uint64 // block size, miniblocks in a block, values, first value in zigzag
	for i := range head {
		u, n := binary.Uvarint(src)
		if n <= 0 {
			return d, nil, errShortPage
		}
		head[i], src = u, src[n:]
	}
	block, minis := head[0], head[1]
	if head[2] != uint64(n) {
		return d, nil, fmt.Errorf("%d delta-encoded values where %d are promised", head[2], n)
	}
	if minis == 0 || block == 0 || block > 1<<24 || block%minis != 0 || block/minis%8 != 0 {
		return d, nil, fmt.Errorf("delta blocks of %d values in %d miniblocks", block, minis)
	}
	return deltas[T]{perMini: int(block / minis), minis: int(minis), first: T(unzigzag(head[3]))}, src, nil
}

// each calls do with the miniblocks of n deltas, and returns what follows them. A miniblock holds, from the given delta on, n numbers of so many bits in packed, which
// are what the deltas have beyond the least.
func (d *deltas[T]) each(src []byte, n int, do func(from int, packed []byte, width uint, least T, n int)) (rest []byte, err error) {
	for from := 0; from < n; {
		u, size := binary.Uvarint(src)
		if size <= 0 || len(src)-size < d.minis {
			return nil, errShortPage
		}
		least, widths := T(unzigzag(u)), src[size:size+d.minis]
		src = src[size+d.minis:]
		for _, width := range widths {
			if from == n {
				break
			}
			count := min(d.perMini, n-from)
			used := min(d.perMini*int(width)/8, len(src))
			if uintptr(width) > 8*unsafe.Sizeof(least) || used < (count*int(width)+7)/8 {
				return nil, errShortPage
			}
			do(from, src, uint(width), least, count)
			src, from = src[used:], from+count
		}
	}
	return src, nil
}

// sumDeltas puts the values that follow last in dst, and returns the last of them.
func sumDeltas[T int32 | int64](dst []T, packed []byte, width uint, last, least T) T {
	if width > wideMin && width <= wideMax && viewable() {
		n := len(dst) &^ 7
		last = sumWide(dst[:n], packed, width, last, least)
		dst, packed = dst[n:], packed[n/8*int(width):]
	}
	unpack(dst, packed, width)
	for i := range dst {
		last += least + dst[i]
		dst[i] = last
	}
	return last
}

// Numbers of more than wideMin bits bitpack takes one by one, and those of up to wideMax bits lie in eight bytes, wherever in the first of them they begin.
const (
	wideMin = 32
	wideMax = 57
)

// sumWide is sumDeltas of eight times some deltas, each of which is read at once, as the eight bytes that it begins in. It takes viewable.
func sumWide[T int32 | int64](dst []T, packed []byte, width uint, last, least T) T {
	if need := len(dst)/8*int(width) + 8; cap(packed) < need {
		packed = append(make([]byte, 0, need), packed...)[:need]
	} else {
		packed = packed[:need]
	}
	mask, w := uint64(1)<<width-1, uintptr(width)
	p := unsafe.Pointer(unsafe.SliceData(packed))
	at := func(i uintptr) T { return T(*(*uint64)(unsafe.Add(p, i*w/8)) >> (i * w % 8) & mask) }
	for ; len(dst) >= 8; dst = dst[8:] {
		d := (*[8]T)(dst)
		d0 := last + (least + at(0))
		d1 := d0 + (least + at(1))
		d2 := d1 + (least + at(2))
		d3 := d2 + (least + at(3))
		d4 := d3 + (least + at(4))
		d5 := d4 + (least + at(5))
		d6 := d5 + (least + at(6))
		last = d6 + (least + at(7))
		d[0], d[1], d[2], d[3], d[4], d[5], d[6], d[7] = d0, d1, d2, d3, d4, d5, d6, last
		p = unsafe.Add(p, w)
	}
	return last
}

// unpack is bitpack.Unpack on a src that need not have the bytes to spare which that one reads beyond the end.
func unpack[T int32 | int64](dst []T, src []byte, width uint) {
	if width == 0 {
		clear(dst)
		return
	}
	need := bitpack.ByteCount(uint(len(dst))*width) + bitpack.PaddingInt64
	if cap(src) < need {
		src = append(make([]byte, 0, need), src...)
	}
	bitpack.Unpack(dst, src, width)
}

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

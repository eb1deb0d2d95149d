package parquetio

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/format"
)

var errShortPage = errors.New("its values end too early")

// hybridRun is a run of the RLE and bit-packing hybrid: count times value, or count values packed.
type hybridRun struct {
	count  int
	value  uint32
	packed []byte // nil for a repeated value; its capacity reaches to the end of the page buffer
}

// nextRun returns the first run of src, whose values have width bits, and what follows it. A count that src cannot
// hold is cut to what it holds.
func nextRun(src []byte, width int) (hybridRun, []byte, error) {
	head, n := binary.Uvarint(src)
	if n <= 0 {
		return hybridRun{}, nil, errShortPage
	}
	src = src[n:]
	if head&1 == 1 {
		size := int(min(head>>1, uint64(len(src)))) // in groups of eight; a group has at least a byte unless width is 0
		count := size * 8
		if width > 0 {
			size = min(size*width, len(src)) // some writers cut the padding of the last group
			count = min(count, size*8/width)
		}
		if width == 0 {
			return hybridRun{count: int(min(head>>1, 1<<28)) * 8}, src, nil
		}
		return hybridRun{count: count, packed: src[:size]}, src[size:], nil
	}
	size := (width + 7) / 8
	if len(src) < size {
		return hybridRun{}, nil, errShortPage
	}
	var value uint32
	for i := range size {
		value |= uint32(src[i]) << (8 * i)
	}
	return hybridRun{count: int(min(head>>1, 1<<31)), value: value}, src[size:], nil
}

// decodeIndices decodes the dictionary indices of a page, in whatever number of runs, into dst.
func decodeIndices(dst []int32, src []byte) error {
	if len(dst) == 0 {
		return nil
	}
	width, src, err := indexWidth(src)
	if err != nil {
		return err
	}
	for i := 0; i < len(dst); {
		run, rest, err := nextRun(src, width)
		if err != nil {
			return err
		}
		out := dst[i:min(i+run.count, len(dst))]
		if run.packed == nil {
			for j := range out {
				out[j] = int32(run.value)
			}
		} else {
			unpack(out, run.packed, uint(width))
		}
		i, src = i+len(out), rest
	}
	return nil
}

// indexWidth returns how many bits the dictionary indices of a page have, and their runs.
func indexWidth(src []byte) (width int, runs []byte, err error) {
	if len(src) == 0 || src[0] > 32 {
		return 0, nil, errors.New("its dictionary indices have no valid bit width")
	}
	return int(src[0]), src[1:], nil
}

// decodeLevels decodes n levels up to max from src. It returns nil when all of them are max, which takes no time
// when the page says so in one run, as most do; buf is taken as memory otherwise.
func decodeLevels(buf []byte, src []byte, enc format.Encoding, max uint8, n int) ([]byte, error) {
	width := levelWidth(max)
	if enc == format.BitPacked {
		return packedLevels(sized(buf, n), src, max)
	}
	if enc != format.RLE {
		return nil, fmt.Errorf("levels in the encoding %s", enc)
	}
	if n == 0 {
		return nil, nil
	}
	var dst []byte
	for i := 0; i < n; {
		run, rest, err := nextRun(src, width)
		if err != nil {
			return nil, errors.New("its levels end too early")
		}
		if i == 0 && run.packed == nil && run.count >= n && run.value == uint32(max) {
			return nil, nil
		}
		if dst == nil {
			dst = sized(buf, n)
		}
		out := dst[i:min(i+run.count, n)]
		if run.packed == nil {
			if run.value > uint32(max) {
				return nil, errLevel
			}
			for j := range out {
				out[j] = byte(run.value)
			}
		} else if err := unpackLevels(out, run.packed, width, max); err != nil {
			return nil, err
		}
		i, src = i+len(out), rest
	}
	return dst, nil
}

var errLevel = errors.New("a level exceeds its maximum")

// unpackLevels unpacks levels of at most eight bits, least significant bit first.
func unpackLevels(dst, src []byte, width int, max uint8) error {
	if width == 1 {
		for i := range dst {
			dst[i] = src[i>>3] >> (i & 7) & 1
		}
		return nil
	}
	mask := uint(1)<<width - 1
	for i := range dst {
		bit := i * width
		v := uint(src[bit>>3])
		if bit>>3+1 < len(src) {
			v |= uint(src[bit>>3+1]) << 8
		}
		if dst[i] = byte(v >> (bit & 7) & mask); dst[i] > max {
			return errLevel
		}
	}
	return nil
}

// packedLevels decodes the encoding BIT_PACKED of the format's first days: most significant bit first, no runs.
func packedLevels(dst, src []byte, max uint8) ([]byte, error) {
	width := levelWidth(max)
	if len(src)*8 < len(dst)*width {
		return nil, errors.New("its levels end too early")
	}
	for i := range dst {
		var v byte
		for bit := i * width; bit < (i+1)*width; bit++ {
			v = v<<1 | src[bit>>3]>>(7-bit&7)&1
		}
		if v > max {
			return nil, errLevel
		}
		dst[i] = v
	}
	return dst, nil
}

// splitLevels cuts the levels from the head of a version 1 body.
func splitLevels(body []byte, enc format.Encoding, max uint8, n int) (levels, rest []byte, err error) {
	if enc == format.BitPacked {
		size := (n*levelWidth(max) + 7) / 8
		if size > len(body) {
			return nil, nil, errors.New("its levels end too early")
		}
		return body[:size], body[size:], nil
	}
	if len(body) < 4 {
		return nil, nil, errors.New("its levels end too early")
	}
	size := binary.LittleEndian.Uint32(body)
	if uint64(size) > uint64(len(body)-4) {
		return nil, nil, errors.New("its levels end too early")
	}
	return body[4 : 4+size], body[4+size:], nil
}

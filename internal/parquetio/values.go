package parquetio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"unsafe"

	"github.com/parquet-go/parquet-go/format"
)

// decodeFunc decodes n values of a page body and returns them in dst's memory where it suffices. What the values
// refer to is the body, unless the encoding had to put them together.
type decodeFunc[T any] func(dst []T, enc format.Encoding, body []byte, n int) ([]T, error)

type fixedWidth interface {
	int32 | int64 | float32 | float64
}

func errEncoding(enc format.Encoding) error {
	return fmt.Errorf("values of this type in the encoding %s", enc)
}

// viewable reports whether numbers in Parquet's plain encoding are those of this processor wherever they lie: others have another byte order, or want
// numbers aligned.
func viewable() bool { return runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64" }

// viewed returns the first n numbers of a body in the plain encoding as they lie there, fewer where it does not have them. It takes
// viewable.
func viewed[T fixedWidth](body []byte, n int) []T {
	n = min(n, len(body)/int(unsafe.Sizeof(*new(T))))
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(body))), n)
}

// plainNumbers decodes numbers in the plain encoding, of which src has enough.
func plainNumbers[T fixedWidth](dst []T, src []byte) {
	if viewable() {
		copy(dst, viewed[T](src, len(dst)))
		return
	}
	switch dst := any(dst).(type) {
	case []int32:
		for i := range dst {
			dst[i] = int32(binary.LittleEndian.Uint32(src[i*4:]))
		}
	case []int64:
		for i := range dst {
			dst[i] = int64(binary.LittleEndian.Uint64(src[i*8:]))
		}
	case []float32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[i*4:]))
		}
	case []float64:
		for i := range dst {
			dst[i] = math.Float64frombits(binary.LittleEndian.Uint64(src[i*8:]))
		}
	}
}

// decodeFixed decodes numbers.
func decodeFixed[T fixedWidth]() decodeFunc[T] {
	var joined []byte
	width := int(unsafe.Sizeof(*new(T)))
	return func(dst []T, enc format.Encoding, body []byte, n int) ([]T, error) {
		if len(body)/width < n {
			return nil, errShortPage
		}
		dst = sized(dst, n)
		switch enc {
		case format.Plain:
			plainNumbers(dst, body)
		case format.ByteStreamSplit:
			if len(body) != n*width {
				return nil, fmt.Errorf("%d bytes hold no %d values of %d streams", len(body), n, width)
			}
			joined = joinStreams(joined, body, n, width)
			plainNumbers(dst, joined)
		default:
			return nil, errEncoding(enc)
		}
		return dst, nil
	}
}

// joinStreams undoes BYTE_STREAM_SPLIT: stream k holds byte k of every value.
func joinStreams(dst, src []byte, n, width int) []byte {
	dst = sized(dst, n*width)
	for k := range width {
		stream := src[k*n : (k+1)*n]
		for i, b := range stream {
			dst[i*width+k] = b
		}
	}
	return dst
}

// decodeInt adds DELTA_BINARY_PACKED to decodeFixed.
func decodeInt[T int32 | int64]() decodeFunc[T] {
	fixed := decodeFixed[T]()
	return func(dst []T, enc format.Encoding, body []byte, n int) ([]T, error) {
		if enc != format.DeltaBinaryPacked {
			return fixed(dst, enc, body, n)
		}
		dst = sized(dst, n)
		_, err := decodeDelta(dst, body)
		return dst, err
	}
}

func decodeBools(dst []bool, enc format.Encoding, body []byte, n int) ([]bool, error) {
	dst = sized(dst, n)
	switch enc {
	case format.Plain:
		if len(body) < (n+7)/8 {
			return nil, errShortPage
		}
		for i := range dst {
			dst[i] = body[i>>3]>>(i&7)&1 == 1
		}
	case format.RLE:
		if len(body) < 4 {
			return nil, errShortPage
		}
		return dst, decodeBoolRuns(dst, body[4:])
	default:
		return nil, errEncoding(enc)
	}
	return dst, nil
}

// decodeBoolRuns decodes bools in the RLE and bit-packing hybrid. A run counts by its lowest bit: parquet-go writes one of true as 0xff.
func decodeBoolRuns(dst []bool, src []byte) error {
	for len(dst) > 0 {
		run, rest, err := nextRun(src, 1)
		if err != nil {
			return err
		}
		out := dst[:min(run.count, len(dst))]
		for i := range out {
			if run.packed == nil {
				out[i] = run.value&1 == 1
			} else {
				out[i] = run.packed[i>>3]>>(i&7)&1 == 1
			}
		}
		dst, src = dst[len(out):], rest
	}
	return nil
}

// decodeByteArrays decodes BYTE_ARRAY values.
func decodeByteArrays(dst [][]byte, enc format.Encoding, body []byte, n int) ([][]byte, error) {
	switch enc {
	case format.Plain:
		if n > len(body)/4 {
			return nil, errShortPage
		}
		dst = sized(dst, n)
		for i := range dst {
			if len(body) < 4 {
				return nil, errShortPage
			}
			size := binary.LittleEndian.Uint32(body)
			if uint64(size) > uint64(len(body)-4) {
				return nil, errShortPage
			}
			dst[i], body = body[4:4+size], body[4+size:]
		}
		return dst, nil
	case format.DeltaLengthByteArray:
		lengths := make([]int32, n)
		body, err := decodeDelta(lengths, body)
		if err != nil {
			return nil, err
		}
		return cutByteArrays(sized(dst, n), lengths, body)
	case format.DeltaByteArray:
		return decodeDeltaByteArrays(sized(dst, n), body, n)
	}
	return nil, errEncoding(enc)
}

func cutByteArrays(dst [][]byte, lengths []int32, body []byte) ([][]byte, error) {
	for i, size := range lengths {
		if size < 0 || int(size) > len(body) {
			return nil, errShortPage
		}
		dst[i], body = body[:size], body[size:]
	}
	return dst, nil
}

// decodeDeltaByteArrays puts together values that share a prefix with the value before them.
func decodeDeltaByteArrays(dst [][]byte, body []byte, n int) ([][]byte, error) {
	prefixes, lengths := make([]int32, n), make([]int32, n)
	body, err := decodeDelta(prefixes, body)
	if err != nil {
		return nil, err
	}
	if body, err = decodeDelta(lengths, body); err != nil {
		return nil, err
	}
	if dst, err = cutByteArrays(dst, lengths, body); err != nil {
		return nil, err
	}
	total, last := 0, 0
	for i, p := range prefixes {
		if p < 0 || int(p) > last {
			return nil, errors.New("a prefix is longer than the value before it")
		}
		last = int(p) + len(dst[i])
		if total += last; total > inflatedMax || total > inflatedFree && total/inflationMax > len(body) {
			return nil, errors.New("its values are longer in sum than a page may be")
		}
	}
	out := make([]byte, 0, total)
	var previous []byte
	for i, p := range prefixes {
		start := len(out)
		out = append(append(out, previous[:p]...), dst[i]...)
		previous = out[start:]
		dst[i] = previous
	}
	return dst, nil
}

// decodeFixedArrays decodes FIXED_LEN_BYTE_ARRAY and INT96 values.
func decodeFixedArrays(width int) decodeFunc[[]byte] {
	return func(dst [][]byte, enc format.Encoding, body []byte, n int) ([][]byte, error) {
		switch enc {
		case format.Plain:
		case format.ByteStreamSplit:
			if len(body) != n*width {
				return nil, errShortPage
			}
			body = joinStreams(nil, body, n, width)
		case format.DeltaByteArray:
			dst, err := decodeDeltaByteArrays(sized(dst, n), body, n)
			for _, v := range dst {
				if len(v) != width {
					return nil, fmt.Errorf("a value of %d bytes where all have %d", len(v), width)
				}
			}
			return dst, err
		default:
			return nil, errEncoding(enc)
		}
		if len(body)/width < n {
			return nil, errShortPage
		}
		dst = sized(dst, n)
		for i := range dst {
			dst[i] = body[i*width : (i+1)*width]
		}
		return dst, nil
	}
}

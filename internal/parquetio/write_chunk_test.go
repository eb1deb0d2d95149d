package parquetio

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"

	"github.com/asof-store/asof/feature"
)

// TestWhatIsCompressed compresses bodies of pages that shrink, that do not, and that begin in another way than they go on.
func TestWhatIsCompressed(t *testing.T) {
	random, numbers := make([]byte, 2*shrinkSample), rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(numbers.Uint32())
	}
	zeros := make([]byte, 2*shrinkSample)
	for name, c := range map[string]struct {
		parts [][]byte
		want  bool
	}{
		"nothing":                      {nil, false},
		"what shrinks":                 {[][]byte{zeros[:1000]}, true},
		"what does not":                {[][]byte{random[:1000]}, false},
		"a page that shrinks behind":   {[][]byte{random[:shrinkSample-1], zeros[:shrinkSample]}, true},
		"a large one":                  {[][]byte{random[:shrinkSample], zeros[:shrinkSample]}, false},
		"a large one, at first alone":  {[][]byte{zeros[:shrinkSample], random[:shrinkSample]}, true},
		"a large one, at first a bit":  {[][]byte{zeros[:shrinkSample*3/32], random}, false},
		"a large one that does not":    {[][]byte{random}, false},
		"a large one that does it all": {[][]byte{zeros}, true},
	} {
		body := bytes.Join(c.parts, nil)
		e := &chunkEncoder{opts: &WriterOptions{Codec: &parquet.Snappy}}
		e.meta.Codec = format.Snappy
		packed, compressed, err := e.compress(body)
		if err != nil || compressed != c.want || compressed != (len(packed) < len(body)) {
			t.Errorf("%s: compressed %v, %d bytes of %d, %v", name, compressed, len(packed), len(body), err)
		}
	}
}

// TestPlainSize encodes random values: their pages fit what is reserved for them, and take nearly all of it.
func TestPlainSize(t *testing.T) {
	random, columns := rand.New(rand.NewPCG(3, 4)), map[feature.Type]array.Builder{}
	for _, kind := range []feature.Kind{feature.Int32, feature.Int64, feature.Float64, feature.String, feature.Bytes} {
		columns[feature.Scalar(kind)] = array.NewBuilder(memory.DefaultAllocator, feature.Scalar(kind).Arrow())
	}
	for range 20_000 {
		text := make([]byte, random.IntN(60))
		for i := range text {
			text[i] = byte(random.IntN(128))
		}
		for _, b := range columns {
			switch b := b.(type) {
			case *array.Int32Builder:
				b.Append(int32(random.Uint32()))
			case *array.Int64Builder:
				b.Append(int64(random.Uint64()))
			case *array.Float64Builder:
				b.Append(math.Float64frombits(random.Uint64()))
			case array.StringLikeBuilder:
				b.Append(string(text))
			case *array.BinaryBuilder:
				b.Append(text)
			}
		}
	}
	for kind, b := range columns {
		arrays := []arrow.Array{b.NewArray()}
		size := plainSize(arrays)
		c, err := newChunkEncoder(ColumnSpec{Name: "c", Type: kind}, &WriterOptions{PageRows: pageRowsDefault, Codec: defaultCodec()}).encode(arrays, make([]byte, 0, size))
		if err != nil {
			t.Fatal(err)
		}
		if cap(c.pages) != size || size > len(c.pages)*6/5 { // four bytes are reserved for the length of a text, which takes one
			t.Errorf("%s: %d bytes in memory of %d, reserved %d", kind, len(c.pages), cap(c.pages), size)
		}
	}
	list := feature.Type{Kind: feature.String, List: true}
	if got := plainSize([]arrow.Array{array.NewBuilder(memory.DefaultAllocator, list.Arrow()).NewArray()}); got != 0 {
		t.Errorf("%d bytes of nothing", got)
	}
}

package parquetio

import (
	"bytes"
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

// TestPlainSize encodes columns of all kinds that do not repeat: their pages fit what is reserved for them.
func TestPlainSize(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, kind := range []feature.Kind{feature.Bool, feature.Int32, feature.Int64, feature.Timestamp, feature.Float32, feature.Float64, feature.String, feature.Bytes} {
		for _, list := range []bool{false, true} {
			spec := ColumnSpec{Name: "c", Type: feature.Type{Kind: kind, List: list}}
			column := randomBatch(random, []ColumnSpec{spec}, 20_000, 1<<30).Column(0)
			size := plainSize([]arrow.Array{column})
			c, err := newChunkEncoder(spec, &WriterOptions{PageRows: pageRowsDefault, Codec: defaultCodec()}).encode([]arrow.Array{column}, make([]byte, 0, size))
			if err != nil {
				t.Fatal(err)
			}
			if !list && cap(c.pages) != size || len(c.pages) > size+20_000 { // a level of a list takes a byte at most
				t.Errorf("%s: %d bytes in memory of %d, reserved %d", spec.Type, len(c.pages), cap(c.pages), size)
			}
		}
	}
	if got := plainSize([]arrow.Array{array.NewBuilder(memory.DefaultAllocator, feature.Type{Kind: feature.String, List: true}.Arrow()).NewArray()}); got != 0 {
		t.Errorf("%d bytes of nothing", got)
	}
}

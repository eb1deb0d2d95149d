package parquetio

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
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

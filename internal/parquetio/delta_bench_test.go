package parquetio

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/delta"
)

// BenchmarkDelta decodes values whose deltas take so many bits, a page of 4,096 at a time:
//
//	go test ./internal/parquetio -run - -bench Delta -cpu 1
func BenchmarkDelta(b *testing.B) {
	for _, width := range []uint{1, 8, 20, 32, 33, 42, 57, 60} {
		b.Run(fmt.Sprint(width), func(b *testing.B) {
			random, values := rand.New(rand.NewPCG(1, 2)), make([]int64, 4096)
			last := int64(0)
			for i := range values {
				last += random.Int64N(1 << width)
				values[i] = last
			}
			body, err := (&delta.BinaryPackedEncoding{}).EncodeInt64(nil, values)
			if err != nil {
				b.Fatal(err)
			}
			body = append(body, make([]byte, bodySlack)...)[:len(body)]
			b.SetBytes(int64(8 * len(values)))
			for b.Loop() {
				if _, err := decodeDelta(values, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

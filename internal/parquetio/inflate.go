package parquetio

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// inflater decompresses pages into buffers of exactly the size that the page header tells, and never beyond. (The
// codecs of parquet-go grow their output for as long as the input asks; the one for LZ4 does so without end on
// corrupt input.) It may be used by several goroutines at once.
type inflater struct {
	once sync.Once
	zstd *zstd.Decoder
	err  error
}

// inflate fills dst with what src decompresses to; it fails unless that is exactly len(dst) bytes.
func (in *inflater) inflate(codec format.CompressionCodec, dst, src []byte) error {
	n, err := 0, error(nil)
	switch codec {
	case format.Snappy:
		if n, err = snappy.DecodedLen(src); err == nil && n == len(dst) {
			_, err = snappy.Decode(dst, src)
		}
	case format.Lz4Raw:
		n, err = lz4.UncompressBlock(src, dst)
	case format.Zstd:
		n, err = in.inflateZstd(dst, src)
	case format.Gzip:
		r, e := gzip.NewReader(bytes.NewReader(src))
		if e != nil {
			return e
		}
		n, err = readExactly(r, dst)
	case format.Brotli:
		n, err = readExactly(brotli.NewReader(bytes.NewReader(src)), dst)
	default:
		return fmt.Errorf("codec %s is not supported", codec)
	}
	if err == nil && n != len(dst) {
		err = fmt.Errorf("%d bytes where the header promises %d", n, len(dst))
	}
	return err
}

func (in *inflater) inflateZstd(dst, src []byte) (int, error) {
	in.once.Do(func() {
		// Frames that do not tell their size would otherwise be given the memory that they ask for.
		in.zstd, in.err = zstd.NewReader(nil, zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true), zstd.WithDecoderConcurrency(0))
	})
	if in.err != nil {
		return 0, in.err
	}
	out, err := in.zstd.DecodeAll(src, dst[:0:len(dst)])
	return len(out), err
}

// readExactly fills dst from r and fails when r holds more.
func readExactly(r io.Reader, dst []byte) (int, error) {
	n, err := io.ReadFull(r, dst)
	if err != nil {
		return n, err
	}
	var more [1]byte
	switch k, err := r.Read(more[:]); {
	case k > 0:
		return n + k, nil
	case err != nil && err != io.EOF:
		return n, err
	}
	return n, nil
}

// supports reports whether the codec is one that inflate knows.
func supports(codec format.CompressionCodec) bool {
	switch codec {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd, format.Lz4Raw:
		return true
	}
	return false
}

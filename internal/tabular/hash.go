package tabular

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

	"github.com/asof-store/asof/feature"
)

// FileHash returns the SHA-256 of the bytes of the file at path in hexadecimal, or "" for one that can be read only once, which whoever reads it has to
// hash (ReaderOptions.ReadOnce). It ends early when ctx is cancelled.
func FileHash(ctx context.Context, path string) (string, error) {
	if info, err := os.Stat(path); err == nil && !rereadable(info) {
		return "", nil
	}
	f, err := openInput(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<20)
	for {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			return hex.EncodeToString(h.Sum(nil)), nil
		}
		if err != nil {
			return "", feature.Errorf(feature.ErrUnavailable, "read %s: %w", path, err)
		}
	}
}

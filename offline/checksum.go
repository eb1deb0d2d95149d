package offline

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
)

// Every stored byte has a CRC-32C: those of data files are in the files themselves (package parquetio); those of manifests and manifest
// lists in the summary of the snapshot that came with them; that of a metadata version is its last field; each line of a journal
// ends with its own. What other engines write has none, and is read without.

// checksum returns the CRC-32C of b as it is written in text.
func checksum(b []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// checksummed are the checksums of a run's manifests and manifest lists, by name. iceberg-go writes several at once.
type checksummed struct {
	mu    sync.Mutex
	lines []string
}

func (c *checksummed) note(path, sum string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, sum+" "+filepath.Base(path))
}

// property returns what is stored of them: lines as those of the program sha256sum.
func (c *checksummed) property() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.lines, "\n")
}

// checksumsOf returns the checksums of all manifests and manifest lists that the snapshots of a table came with, by name.
func checksumsOf(meta table.Metadata) map[string]string {
	sums := map[string]string{}
	for _, snapshot := range meta.Snapshots() {
		if !ours(&snapshot) {
			continue
		}
		for line := range strings.Lines(snapshot.Summary.Properties[propChecksums]) {
			if sum, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				sums[name] = sum
			}
		}
	}
	return sums
}

// addChecksums puts the checksums of a run's files into the snapshot that the updates make.
func (c *checksummed) addChecksums(updates []table.Update) {
	for _, u := range updates {
		if add, ok := as(u, table.NewAddSnapshotUpdate(nil)); ok && add.Snapshot.Summary != nil {
			add.Snapshot.Summary.Properties[propChecksums] = c.property()
		}
	}
}

// as returns v as the type of like, which has no name outside of its package.
func as[T any](v any, like T) (T, bool) {
	t, ok := v.(T)
	return t, ok
}

// summedFile notes its checksum when it is closed.
type summedFile struct {
	*durableFile
	sums    *checksummed
	content bytes.Buffer
}

// Write writes b.
func (f *summedFile) Write(b []byte) (int, error) {
	n, err := f.durableFile.Write(b)
	f.content.Write(b[:n])
	return n, err
}

// ReadFrom writes what r has.
func (f *summedFile) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{f}, r) }

// Close syncs and closes the file.
func (f *summedFile) Close() error {
	if !f.shut {
		f.sums.note(f.Name(), checksum(f.content.Bytes()))
	}
	return f.durableFile.Close()
}

// memoryFile is a file whose content has been held against its checksum.
type memoryFile struct {
	*bytes.Reader
	info fs.FileInfo
}

// Stat describes the file.
func (f memoryFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// Close does nothing.
func (memoryFile) Close() error { return nil }

// openChecked opens a file whose checksum is known.
func openChecked(f icebergio.File, path, sum string) (_ icebergio.File, err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	if is := checksum(content); is != sum {
		return nil, feature.Errorf(feature.ErrCorrupt, "%s has the checksum %s and its table says %s", path, is, sum)
	}
	return memoryFile{bytes.NewReader(content), info}, nil
}

// The last field of a metadata version is the checksum of all that is before it. Readers of Iceberg pass over fields that they do
// not know.
const (
	sealBegin = `,"asof-checksum":"`
	sealEnd   = `"}`
)

// sealed gives metadata, which is a JSON object, its checksum.
func sealed(content []byte) []byte {
	content = bytes.TrimSuffix(content, []byte("}"))
	return append(content, sealBegin+checksum(content)+sealEnd...)
}

var seal = regexp.MustCompile(`(?s)^.{18}([0-9a-f]{8})"}$`)

// checkSeal fails when the checksum in metadata is not its own. Metadata without one, of other engines, passes: that is what neither
// begins a checksum as ours do, nor ends with one that is right.
func checkSeal(content []byte) (sealed bool, err error) {
	at := len(content) - len(sealBegin) - 8 - len(sealEnd)
	if at < 0 {
		return false, nil
	}
	match := seal.FindSubmatch(content[at:])
	begins, right := bytes.HasPrefix(content[at:], []byte(sealBegin)), match != nil && string(match[1]) == checksum(content[:at])
	if begins != right {
		return true, feature.Errorf(feature.ErrCorrupt, "it does not match the checksum at its end")
	}
	return right, nil
}

package parquetio

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/asof-store/asof/feature"
)

// The checksums of a file that [Writer] wrote lie in front of its footer, where no other reader looks. Numbers are little-endian:
//
//	4 each  CRC-32C of each block of 4 KiB, from the first byte of the file; the last block is what remains
//	4       CRC-32C of the footer, its length and PAR1
//	8       how many bytes the blocks have, which is where the checksums begin
//	4       CRC-32C of all these numbers
//	8       "asof crc"
//
// Parquet's own checksums are those of pages alone, without their headers, and without indexes and footer. These leave out no
// byte, and one way to read a file checks them all. The footer has an entry that says that they are there, so that damage does not
// make a file look like one without.
const (
	checksumsKey   = "asof.checksums"
	checksumsKind  = "1"
	checksumsMagic = "asof crc"
	checksumBytes  = 4
	checksumsTail  = 4 + 8 + 4 + 8
	// blockBytes is what is read at least: a lookup of few rows reads more than it needs, by half a block at each end, and the
	// checksums of a file of 256 MiB are 256 KiB.
	blockBytes = 4 << 10
	// blockBytesOnce is what blocks had before; which of the two, the number of checksums says.
	blockBytesOnce = 16 << 10
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// checksummer passes a file on and writes its checksums in front of its footer.
type checksummer struct {
	out  io.Writer
	size int64  // bytes passed on
	sum  uint32 // of the block that is not complete
	sums []byte // of those that are
}

// Write passes b on.
func (c *checksummer) Write(b []byte) (int, error) {
	c.add(b)
	return c.out.Write(b)
}

// passer is a writer that may keep what it is handed, and returns other memory for it.
type passer interface {
	Pass(b []byte) (spare []byte, err error)
}

// pass passes b on, and returns memory that the caller may use in its stead.
func (c *checksummer) pass(b []byte) (spare []byte, err error) {
	c.add(b)
	if out, ok := c.out.(passer); ok {
		return out.Pass(b)
	}
	_, err = c.out.Write(b)
	return b, err
}

// add takes b into the checksums.
func (c *checksummer) add(b []byte) {
	for len(b) > 0 {
		k := min(len(b), blockBytes-int(c.size%blockBytes))
		c.sum = crc32.Update(c.sum, castagnoli(), b[:k])
		c.size += int64(k)
		if b = b[k:]; c.size%blockBytes == 0 {
			c.endBlock()
		}
	}
}

func (c *checksummer) endBlock() {
	c.sums = binary.LittleEndian.AppendUint32(c.sums, c.sum)
	c.sum = 0
}

// finish writes the checksums and the footer, with its length and PAR1, and returns the size of the file.
func (c *checksummer) finish(footer []byte) (int64, error) {
	covered := c.size
	if covered%blockBytes > 0 {
		c.endBlock()
	}
	b := binary.LittleEndian.AppendUint32(c.sums, crc32.Checksum(footer, castagnoli()))
	b = binary.LittleEndian.AppendUint64(b, uint64(covered))
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	b = append(append(b, checksumsMagic...), footer...)
	_, err := c.out.Write(b)
	return covered + int64(len(b)), err
}

// checksums are those of an open file.
type checksums struct {
	covered int64 // bytes that the blocks have
	block   int64 // bytes of a block
	// blocks returns a checksum of each. They are read when the first block is held against its own: of many files, which may be large, often no more is
	// read than the footer.
	blocks func() ([]byte, error)
}

// readChecksums finds the checksums that end where the footer begins, if there are any; footer is all from there to the end of
// the file.
func (f *File) readChecksums(footer []byte) error {
	begin := f.size - int64(len(footer))
	if begin < magicBytes+checksumsTail {
		return nil
	}
	var tail [checksumsTail]byte
	if err := f.readAt(tail[:], begin-checksumsTail); err != nil {
		return err
	}
	if string(tail[16:]) != checksumsMagic {
		return nil
	}
	covered := int64(binary.LittleEndian.Uint64(tail[4:]))
	blocks := begin - checksumsTail - covered
	block := int64(blockBytes)
	if blocks != blocksOf(covered, block) {
		block = blockBytesOnce
	}
	if covered < magicBytes || blocks < 0 || blocks != blocksOf(covered, block) {
		return f.corrupt("its checksums cannot be those of %d bytes", covered)
	}
	if crc32.Checksum(footer, castagnoli()) != binary.LittleEndian.Uint32(tail[:]) {
		return f.corrupt("its footer, at byte %d, does not match its checksum", begin)
	}
	f.sums = &checksums{covered: covered, block: block, blocks: sync.OnceValues(func() ([]byte, error) {
		sums := make([]byte, blocks)
		if err := f.readAt(sums, covered); err != nil {
			return nil, err
		}
		all := crc32.Update(crc32.Checksum(sums, castagnoli()), castagnoli(), tail[:12])
		if all != binary.LittleEndian.Uint32(tail[12:]) {
			return nil, f.corrupt("its checksums, at byte %d, are damaged", covered)
		}
		return sums, nil
	})}
	return nil
}

// blocksOf returns how many bytes the checksums take of so many bytes in blocks.
func blocksOf(covered, block int64) int64 { return (covered + block - 1) / block * checksumBytes }

// Checksummed reports whether the file has a checksum for each of its bytes, as those of [Writer] have: what is read is held
// against it.
func (f *File) Checksummed() bool { return f.sums != nil }

// pagesEnd is where there can be no more pages or indexes.
func (f *File) pagesEnd() int64 {
	if f.sums != nil {
		return f.sums.covered
	}
	return f.size - trailerBytes
}

// piece is a part of a file, from whole blocks where there are checksums: bytes from the given offset on.
type piece struct {
	bytes []byte
	from  int64
	block []byte // the memory that bytes lies in, with bodySlack bytes to spare
}

// at returns n bytes from off, or more; nil where p does not have them.
func (p *piece) at(off, n int64) []byte {
	if off < p.from || off+n > p.from+int64(len(p.bytes)) {
		return nil
	}
	return p.bytes[off-p.from:]
}

// read returns n bytes from off or more, with bodySlack bytes to spare in the capacity, which lie in p until the next call. It reads what p does
// not have already. Where there are checksums it reads whole blocks, and returns nothing of one that is damaged.
func (f *File) read(p *piece, off, n int64) ([]byte, error) {
	if off < 0 || off > f.pagesEnd()-n {
		return nil, f.corrupt("bytes [%d, %d) lie outside its %d bytes", off, off+n, f.pagesEnd())
	}
	from, to := off, off+n
	if f.sums != nil {
		from, to = off-off%f.sums.block, min(f.sums.covered, to+f.sums.block-1-(to+f.sums.block-1)%f.sums.block)
	}
	have := p.at(from, 0)
	have = have[:min(len(have), int(to-from))]
	block := f.grown(p.block, int(to-from)+bodySlack)[:to-from]
	fresh := block[copy(block, have):]
	*p = piece{from: from, block: block}
	if err := f.readAt(fresh, to-int64(len(fresh))); err != nil {
		return nil, err
	}
	if f.counter != nil {
		f.counter.Add(int64(len(fresh)))
	}
	at, err := f.damaged(fresh, to-int64(len(fresh)))
	if err != nil {
		return nil, err
	}
	if at >= 0 {
		return nil, f.corrupt("%s", f.damage(at))
	}
	p.bytes = block
	return block[off-from:], nil
}

// damaged returns where the first block of b, which lies at from, does not match its checksum; -1: none.
func (f *File) damaged(b []byte, from int64) (int64, error) {
	if f.sums == nil {
		return -1, nil
	}
	blocks, err := f.sums.blocks()
	if err != nil {
		return -1, err
	}
	for at := from; len(b) > 0; at += f.sums.block {
		k := min(len(b), int(f.sums.block))
		if crc32.Checksum(b[:k], castagnoli()) != binary.LittleEndian.Uint32(blocks[at/f.sums.block*checksumBytes:]) {
			return at, nil
		}
		b = b[k:]
	}
	return -1, nil
}

// damage says what is wrong with the block at the given byte, and what lies in it.
func (f *File) damage(at int64) string {
	to := min(at+f.sums.block, f.sums.covered)
	var parts []string
	note := func(name string, from, length int64) {
		if from < to && at < from+length && !slices.Contains(parts, name) {
			parts = append(parts, name)
		}
	}
	for g := range f.meta.RowGroups {
		for j := range f.meta.RowGroups[g].Columns {
			chunk := &f.meta.RowGroups[g].Columns[j]
			name := fmt.Sprintf("row group %d, column %s", g, f.columns[j].info.Path)
			w := f.walk(g, f.columns[j])
			note(name, w.start, chunk.MetaData.TotalCompressedSize)
			note("index of "+name, chunk.ColumnIndexOffset, int64(chunk.ColumnIndexLength))
			note("index of "+name, chunk.OffsetIndexOffset, int64(chunk.OffsetIndexLength))
		}
	}
	const partsMax = 4
	if more := len(parts) - partsMax; more > 0 {
		parts = append(parts[:partsMax], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("bytes [%d, %d) do not match their checksum (%s)", at, to, strings.Join(parts, "; "))
}

// Verify reads the whole file and reports each block that does not match its checksum; checksums that are damaged themselves are an
// ErrCorrupt. progress, called with the bytes that were read, may be nil. A file without checksums has nothing to be verified.
func (f *File) Verify(ctx context.Context, progress func(bytes int64), report func(damage string)) error {
	if f.sums == nil {
		return nil
	}
	buf := make([]byte, readAheadBytes)
	for at := int64(0); at < f.sums.covered; at += readAheadBytes {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(readAheadBytes, f.sums.covered-at)]
		if err := f.readAt(b, at); err != nil {
			return err
		}
		for from := 0; from < len(b); from += int(f.sums.block) {
			bad, err := f.damaged(b[from:min(from+int(f.sums.block), len(b))], at+int64(from))
			if err != nil {
				return err
			}
			if bad >= 0 {
				report(f.damage(bad))
			}
		}
		if progress != nil {
			progress(int64(len(b)))
		}
	}
	return nil
}

// checkPromised fails where the footer says that there are checksums and there are none.
func (f *File) checkPromised() error {
	if kind, ok := f.KeyValue(checksumsKey); ok && f.sums == nil {
		if kind != checksumsKind {
			return feature.Errorf(feature.ErrInvalid, "%s: its checksums are of kind %q and this asof knows %s: use the asof that wrote it, or a newer one", f.path, kind, checksumsKind)
		}
		return f.corrupt("its checksums are missing in front of the footer")
	}
	return nil
}

package online

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/y"
)

// table is what is known of a table file of Badger's (*.sst) that has been read.
type table struct {
	lastVersion uint64 // the greatest version of a transaction in it
	rows        uint64
}

// readTable reads the table at path and checks it.
func readTable(path string) (t table, err error) {
	file, err := os.Open(path)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return t, err
	}
	return checkTable(file, info.Size())
}

// checkTable reads a table of so many bytes from the first to the last and checks every checksum. It holds blocks without gaps, the index, its
// length, the index's checksum, its length; lengths have 4 bytes, big-endian.
func checkTable(file io.ReaderAt, size int64) (t table, err error) {
	defer func() { // flatbuffers trust their bytes
		if r := recover(); r != nil {
			err = fmt.Errorf("its index is malformed: %v", r)
		}
	}()
	rest, sum, err := lastPart(file, size)
	if err != nil {
		return t, err
	}
	rest, body, err := lastPart(file, rest)
	if err == nil {
		err = checkSum(body, sum)
	}
	if err != nil {
		return t, fmt.Errorf("its index: %w", err)
	}
	index := fb.GetRootAsTableIndex(body, 0)
	t.lastVersion, t.rows = index.MaxVersion(), uint64(index.KeyCount())
	const bufferBytesMax = 1 << 20
	return t, readBlocks(bufio.NewReaderSize(io.NewSectionReader(file, 0, rest), int(min(rest, bufferBytesMax))), index, rest)
}

// lastPart reads the part of file that ends at end: its bytes, then their number. It returns where the part begins, and the bytes.
func lastPart(file io.ReaderAt, end int64) (start int64, part []byte, err error) {
	cut := errors.New("it is cut short")
	length := make([]byte, 4)
	if end < 4 {
		return 0, nil, cut
	}
	if _, err := file.ReadAt(length, end-4); err != nil {
		return 0, nil, err
	}
	start = end - 4 - int64(binary.BigEndian.Uint32(length))
	if start < 0 {
		return 0, nil, cut
	}
	part = make([]byte, end-4-start)
	_, err = file.ReadAt(part, start)
	return start, part, err
}

// readBlocks checks the blocks of a table, which lie in its first size bytes one after another. A block ends with its checksum and that one's length.
func readBlocks(from io.Reader, index *fb.TableIndex, size int64) error {
	n := index.OffsetsLength()
	if n == 0 {
		return errors.New("it has no blocks")
	}
	var at int64
	var buffer []byte
	for i := range n {
		var place fb.BlockOffset
		if !index.Offsets(&place, i) || int64(place.Len()) > size-at || place.Len() < 4 {
			return fmt.Errorf("block %d at byte %d has no such length", i, at)
		}
		length := int(place.Len())
		if cap(buffer) < length {
			buffer = make([]byte, length)
		}
		block := buffer[:length]
		if _, err := io.ReadFull(from, block); err != nil {
			return err
		}
		sumEnd := length - 4
		sumStart := int64(sumEnd) - int64(binary.BigEndian.Uint32(block[sumEnd:]))
		if sumStart < 0 {
			return fmt.Errorf("block %d at byte %d: its checksum is malformed", i, at)
		}
		if err := checkSum(block[:sumStart], block[sumStart:sumEnd]); err != nil {
			return fmt.Errorf("block %d at byte %d: %w", i, at, err)
		}
		at += int64(length)
	}
	if at != size {
		return fmt.Errorf("%d bytes follow its last block", size-at)
	}
	return nil
}

// checkSum compares data with a checksum as Badger stores it: field 1 is the algorithm, field 2 the sum.
func checkSum(data, sum []byte) error {
	fields, err := readFields(sum, 2)
	if err != nil {
		return errors.New("its checksum is malformed")
	}
	algorithm := pb.Checksum_Algorithm(fields[1])
	if algorithm != pb.Checksum_CRC32C && algorithm != pb.Checksum_XXHash64 {
		return errors.New("its checksum is of an unknown kind")
	}
	if y.VerifyChecksum(data, &pb.Checksum{Algo: algorithm, Sum: fields[2]}) != nil {
		return errors.New("its checksum does not match")
	}
	return nil
}

// readFields reads a protobuf message of numbers in fields 1 to last, those that are 0 left out. It is written out here because protobuf
// has no business in this package.
func readFields(message []byte, last uint64) (fields [8]uint64, err error) {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		value, m := uint64(0), 0
		if n > 0 {
			value, m = binary.Uvarint(message[n:])
		}
		if m <= 0 || tag&7 != 0 || tag>>3 == 0 || tag>>3 > last {
			return fields, errors.New("it is malformed")
		}
		fields[tag>>3], message = value, message[n+m:]
	}
	return fields, nil
}

// manifest is what Badger's MANIFEST says of tables, by number.
type manifest struct {
	live    map[uint64]bool
	removed map[uint64]bool // their files may be there still
}

// manifestHead is what the file begins with: "Bdgr", a version of ours, 0, and one of Badger's, 8. Then come change sets, each with its
// length and its CRC-32C, 4 bytes big-endian each. A crash leaves a beginning of the last one, which Badger cuts off.
const manifestHead = "Bdgr\x00\x00\x00\x08"

// readManifest reads the content of a MANIFEST.
func readManifest(content []byte) (manifest, error) {
	m := manifest{live: map[uint64]bool{}, removed: map[uint64]bool{}}
	if !bytes.HasPrefix(content, []byte(manifestHead)) {
		return m, errors.New("it does not begin as it should")
	}
	for rest := content[len(manifestHead):]; len(rest) >= 8; {
		length, sum := uint64(binary.BigEndian.Uint32(rest)), binary.BigEndian.Uint32(rest[4:])
		if length > uint64(len(rest)-8) {
			return m, nil
		}
		set := rest[8 : 8+length]
		if sum != crc32.Checksum(set, crc32.MakeTable(crc32.Castagnoli)) {
			return m, fmt.Errorf("the checksum of the changes at byte %d does not match", len(content)-len(rest))
		}
		if err := m.apply(set); err != nil {
			return m, err
		}
		rest = rest[8+length:]
	}
	return m, nil
}

// apply reads a set of changes: a protobuf message with the changes as field 1, in each the table's number as field 1 and, as field
// 2, 1 when it is removed.
func (m manifest) apply(set []byte) error {
	const numberField, removedField, lastField = 1, 2, 6
	for len(set) > 0 {
		tag, n := binary.Uvarint(set)
		length, k := uint64(0), 0
		if n > 0 {
			length, k = binary.Uvarint(set[n:])
		}
		if k <= 0 || tag != 1<<3|2 || length > uint64(len(set)-n-k) {
			return errors.New("its changes are malformed")
		}
		fields, err := readFields(set[n+k:n+k+int(length)], lastField)
		if err != nil {
			return err
		}
		number, removed := fields[numberField], fields[removedField] == 1
		if removed {
			delete(m.live, number)
		} else {
			m.live[number] = true
		}
		m.removed[number] = removed
		set = set[n+k+int(length):]
	}
	return nil
}

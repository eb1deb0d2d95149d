package online

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
)

// A write-ahead log of Badger's (*.mem) has a head of 20 bytes, which say nothing as long as nothing is encrypted, then records one
// after another, then zeros: the file is made at its full length. A record is
//
//	meta (1), user meta (1), length of key, length of value, expiry (a uvarint each), key, value, CRC-32C (4, big-endian) of all that
//
// where the key ends in 8 bytes of its transaction's version, big-endian and complemented. Each transaction ends with a record that
// says so. Badger takes the first record that is not whole for the end of the log, and cuts the rest off.
const (
	logHeadBytes = 20

	logInTransaction  = 1 << 6 // in meta: one of a transaction's records
	logEndTransaction = 1 << 7 // its last one

	logKeyBytesMax   = 1 << 16
	logRecordHeadMax = 22      // what is before the key
	logRecordMax     = 2 << 20 // values of 512 KiB and more are not in the log, once of 1 MiB
	logSectorBytes   = 512     // the least that a disk writes as a whole
)

// logRecord is what checkLog looks at in a record.
type logRecord struct {
	length  int // of the whole record
	version uint64
	last    bool // of its transaction
	whole   bool // its checksum matches
}

// readLogRecord reads the record at the beginning of b. It is false when no record of ours begins so, whole or in part.
func readLogRecord(b []byte) (r logRecord, ok bool) {
	if len(b) < 2 || b[0]&(logInTransaction|logEndTransaction) == 0 || b[1] > removedRow {
		return r, false
	}
	at := 2
	var numbers [3]uint64
	for i := range numbers {
		n := 0
		if numbers[i], n = binary.Uvarint(b[at:]); n <= 0 {
			return r, false
		}
		at += n
	}
	key, value, expiry := numbers[0], numbers[1], numbers[2]
	if key < 8 || key > logKeyBytesMax || value > math.MaxUint32 || expiry != 0 || key+value+crc32.Size > uint64(len(b)-at) {
		return r, false
	}
	keyEnd, end := at+int(key), at+int(key+value)
	r.length, r.last = end+crc32.Size, b[0]&logEndTransaction != 0
	r.version = math.MaxUint64 - binary.BigEndian.Uint64(b[keyEnd-8:])
	r.whole = binary.BigEndian.Uint32(b[end:]) == crc32.Checksum(b[:end], crc32.MakeTable(crc32.Castagnoli))
	return r, true
}

// logVersions are the versions of the transactions that a log holds.
type logVersions struct{ first, last uint64 }

// readLog reads and checks the log at path, to its end: most of it are zeros, which are not kept.
func readLog(path string) (versions logVersions, err error) {
	file, err := os.Open(path)
	if err != nil {
		return versions, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var log []byte
	zeros := 0 // that were read and are not in log
	for chunk := make([]byte, 1<<20); ; {
		n, err := io.ReadFull(file, chunk)
		if firstNonZero(chunk[:n]) < 0 {
			zeros += n
		} else {
			log, zeros = append(append(log, make([]byte, zeros)...), chunk[:n]...), 0
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return checkLog(append(log, make([]byte, min(zeros, logRecordMax))...))
		case err != nil:
			return versions, err
		}
	}
}

// checkLog reads a log as Badger is about to. It fails where Badger would cut off what was durable: where a record is not whole
// and no crash can have left it so. A write that dies leaves a beginning of one transaction, with zeros for what did not get there; each transaction
// is on the disk before the next one is written. What is in doubt counts as a crash's: the store is then as it was before its last write,
// which the next publication does again.
func checkLog(log []byte) (versions logVersions, err error) {
	at, open := min(logHeadBytes, len(log)), uint64(0) // open is the version of the transaction that is being read, 0 between two
	for {
		r, ok := readLogRecord(log[at:])
		if !ok || !r.whole || (open != 0 && r.version != open) {
			break
		}
		if open = r.version; r.last {
			if versions.first == 0 {
				versions.first = open
			}
			versions.last, open = open, 0
		}
		at += r.length
	}
	if firstNonZero(log[at:]) < 0 {
		return versions, nil
	}
	if !torn(log, at) {
		return versions, fmt.Errorf("the record at byte %d is not as it was written", at)
	}
	return versions, otherTransaction(log, at, open)
}

// torn reports whether the record at byte at can be a write that did not get to its end. A process copies a record's last bytes at last, the
// first ones sometimes after those that follow; a disk writes sectors in any order.
func torn(log []byte, at int) bool {
	b := log[at:]
	r, ok := readLogRecord(b)
	if !ok && b[0] == 0 { // the first byte, and perhaps the second, which is 0, are missing
		b[0] = logInTransaction
		r, ok = readLogRecord(b)
		b[0] = 0
	}
	if !ok {
		// Its first bytes are missing, of which no record has so many zeros; or all after them, or a sector that begins among them. Or it is no record.
		sector := min(nextSector(at), len(log))
		lost := sector < at+logRecordHeadMax && firstNonZero(log[sector:min(sector+logSectorBytes, len(log))]) < 0
		return lost || firstNonZero(b[:min(3, len(b))]) < 0 || firstNonZero(b[min(logRecordHeadMax, len(b)):]) < 0
	}
	if oneBitOff(b) {
		return false
	}
	if after := at + r.length; b[r.length-1] == 0 && firstNonZero(log[after:min(nextSector(after-1), len(log))]) < 0 {
		return true
	}
	for sector := nextSector(at); sector < at+r.length; sector += logSectorBytes {
		if end := min(sector+logSectorBytes, at+r.length); firstNonZero(log[sector:end]) < 0 {
			return true
		}
	}
	return false
}

// nextSector returns where the sector after that of byte at begins.
func nextSector(at int) int { return at - at%logSectorBytes + logSectorBytes }

// oneBitOff reports whether b begins with a record but for one bit of what is before its key, on which all else that is known of it depends.
func oneBitOff(b []byte) bool {
	for bit := range min(logRecordHeadMax, len(b)) * 8 {
		b[bit/8] ^= 1 << (bit % 8)
		r, ok := readLogRecord(b)
		b[bit/8] ^= 1 << (bit % 8)
		if ok && r.whole {
			return true
		}
	}
	return false
}

// otherTransaction fails when whole records of more than one transaction, or of another one than open, follow a torn record: then it
// was not the last that was written.
func otherTransaction(log []byte, at int, open uint64) error {
	for at < len(log) {
		r, ok := readLogRecord(log[at:])
		if !ok || !r.whole {
			next := firstNonZero(log[at+1:])
			if next < 0 {
				return nil
			}
			at += 1 + next
			continue
		}
		if open != 0 && r.version != open {
			return fmt.Errorf("there are zeros where records were before the one at byte %d", at)
		}
		open = r.version
		at += r.length
	}
	return nil
}

// firstNonZero returns the place of the first byte of b that is not 0, -1 where there is none.
func firstNonZero(b []byte) int {
	for i := 0; i < len(b); {
		if len(b)-i >= 8 && binary.NativeEndian.Uint64(b[i:]) == 0 {
			i += 8
			continue
		}
		if b[i] != 0 {
			return i
		}
		i++
	}
	return -1
}

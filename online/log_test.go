package online

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// TestLogFlips flips each bit of a log's records. All are found, but for one in the last record that lets it look unfinished.
func TestLogFlips(t *testing.T) {
	log := killedLog(t)
	if _, err := checkLog(log); err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(log, "\x00"))
	for at := logHeadBytes; at < used; at++ {
		bit := byte(1) << (at % 8)
		log[at] ^= bit
		if _, err := checkLog(log); err == nil {
			t.Errorf("a flip in byte %d of %d is not found", at, used)
		}
		log[at] ^= bit
	}
}

// TestLogTorn cuts a log as a process does that dies while it writes, and as a disk does that loses sectors of the last write: no crash
// may be taken for damage.
func TestLogTorn(t *testing.T) {
	log := killedLog(t)
	used := len(bytes.TrimRight(log, "\x00"))
	last := lastTransaction(t, log)
	for cut := logHeadBytes; cut <= used; cut += 7 {
		torn := make([]byte, len(log))
		copy(torn, log[:cut])
		if _, err := checkLog(torn); err != nil {
			t.Fatalf("cut at %d of %d: %v", cut, used, err)
		}
	}
	r, _ := readLogRecord(log[last:])
	for head := range 33 { // large copies write the first bytes, and then the last ones, after all others
		torn := make([]byte, len(log))
		copy(torn, log[:last+r.length-16])
		clear(torn[last : last+head])
		if _, err := checkLog(torn); err != nil {
			t.Fatalf("%d bytes are missing at %d of %d, and the last: %v", head, last, used, err)
		}
	}
	for lost := last - last%logSectorBytes; lost < used; lost += logSectorBytes {
		torn := slices.Clone(log)
		clear(torn[max(lost, last):min(lost+logSectorBytes, len(torn))])
		if _, err := checkLog(torn); err != nil {
			t.Fatalf("the sector at %d of %d to %d: %v", lost, last, used, err)
		}
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		torn := slices.Clone(log)
		for sector := last - last%logSectorBytes; sector < used; sector += logSectorBytes {
			if random.IntN(2) == 0 {
				clear(torn[max(sector, last):min(sector+logSectorBytes, len(torn))])
			}
		}
		if _, err := checkLog(torn); err != nil {
			t.Fatalf("sectors from %d to %d: %v", last, used, err)
		}
	}
}

// TestLogTornHead loses the sector on which a record goes on whose first bytes are in the one before.
func TestLogTornHead(t *testing.T) {
	mark := byte(0)
	record := func(meta byte, version uint64, value int) []byte {
		key := binary.BigEndian.AppendUint64([]byte("key"), math.MaxUint64-version)
		b := binary.AppendUvarint([]byte{meta, mark}, uint64(len(key)))
		b = append(binary.AppendUvarint(b, uint64(value)), 0)
		b = append(append(b, key...), bytes.Repeat([]byte{7}, value)...)
		return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	}
	for start := logSectorBytes - 30; start <= logSectorBytes+30; start++ {
		mark = byte(start % 2 * removedRow)
		log := make([]byte, logHeadBytes)
		log = append(log, record(logInTransaction, 1, 100)...)
		log = append(log, record(logEndTransaction, 1, start-len(log)-len(record(logEndTransaction, 1, 200))+200)...)
		if len(log) != start {
			t.Fatalf("the second transaction begins at %d, not at %d", len(log), start)
		}
		log = append(log, record(logInTransaction, 2, 2000)...)
		log = append(log, record(logEndTransaction, 2, 1)...)
		log = append(log, make([]byte, 4*logSectorBytes)...)
		for sector := logSectorBytes; sector < len(log); sector += logSectorBytes {
			torn := slices.Clone(log)
			clear(torn[max(sector, start) : sector+min(logSectorBytes, len(log)-sector)])
			if _, err := checkLog(torn); err != nil {
				t.Errorf("a record at %d without its sector at %d: %v", start, sector, err)
			}
		}
		log[start+3] ^= 1 // a length
		if _, err := checkLog(log); err == nil {
			t.Errorf("a flip in the record at %d is not found", start)
		}
	}
}

// TestLogLost takes records away that others follow: that no crash does.
func TestLogLost(t *testing.T) {
	const block = 4096
	log := killedLog(t)
	last := lastTransaction(t, log)
	for at := 0; at < last; at += block {
		bad := slices.Clone(log)
		clear(bad[at:min(at+block, last)])
		if _, err := checkLog(bad); err == nil {
			t.Errorf("zeros from %d, before the last transaction at %d, are not found", at, last)
		}
	}
	for at := logHeadBytes; at < last; {
		r, ok := readLogRecord(log[at:])
		if !ok || !r.whole {
			t.Fatal("no record at", at)
		}
		if r.last {
			if _, err := checkLog(slices.Concat(log[:at], log[at+r.length:])); err == nil {
				t.Errorf("a transaction without its end, at %d, is not found", at)
			}
		}
		at += r.length
	}
}

// killedLog is a log that a killed process has left, with some of its zeros.
func killedLog(t *testing.T) []byte {
	t.Helper()
	path := t.TempDir()
	s := openTemp(t, path, Options{BulkBytes: 1})
	v := profile()
	for version := range int64(3) {
		publish(t, s, v, version == 0, State{Snapshot: version}, func(p *Publish) error {
			for id := range int64(60) {
				if version == 2 && id%7 == 0 { // of the bulk
					if err := p.Delete(key(id)); err != nil {
						return err
					}
					continue
				}
				if err := p.Replace(key(id), row(t, v, 0, id*version, strings.Repeat("Rome", int(id)))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	p, err := s.Begin(v, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Abort)
	for id := int64(0); id < 60; id += 4 {
		if err := p.Replace(key(id), Row{Values: []arrow.Array{column(t, v.Features[0].Type, id), column(t, v.Features[1].Type, strings.Repeat("Oslo", int(id)*13))}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(p.flush(), p.wait()); err != nil {
		t.Fatal(err)
	}
	f := readImage(t, path)["00001.mem"]
	return append(f.content, make([]byte, 4*logSectorBytes)...)
}

// lastTransaction returns where the last transaction of a log begins.
func lastTransaction(t *testing.T, log []byte) (start int) {
	t.Helper()
	start = logHeadBytes
	for at, next := logHeadBytes, logHeadBytes; ; {
		r, ok := readLogRecord(log[at:])
		if !ok || !r.whole {
			return start
		}
		if at += r.length; r.last {
			start, next = next, at
		}
	}
}

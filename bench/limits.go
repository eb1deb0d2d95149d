package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/snappy"
	"golang.org/x/sys/unix"

	"github.com/asof-store/asof/offline"
)

// benchLimits measures what nothing on this machine can be quicker than: reading and writing files, and what is done to every byte or page
// that is read.
func benchLimits(ctx context.Context, b *bench, r *report) error {
	t, err := b.exportData(ctx, exportOf(b.usual(), b.rows(2*million)))
	if err != nil {
		return err
	}
	for _, l := range limits() {
		t.Do, t.Limit, t.Out = "limit", l.name, b.output("limit")
		figures, err := b.inTurn(ctx, []contender{{name: l.name, once: doing(t)}})
		if err != nil {
			return err
		}
		f := figures[0]
		if f.Count > 0 {
			r.printf("%-50s %8.2f GB/s  %8.1f M rows/s", l.what, float64(f.Read)/f.Seconds/1e9, float64(f.Count)/f.Seconds/million)
			continue
		}
		r.printf("%-50s %8.2f GB/s", l.what, float64(f.Read)/f.Seconds/1e9)
	}
	return nil
}

// limit is one thing that takes time.
type limit struct {
	name, what string
	do         func(context.Context, task) (outcome, error)
}

func limits() []limit {
	return []limit{
		{"read-cached", "reading a file from the page cache", func(ctx context.Context, t task) (outcome, error) { return limitRead(ctx, t, false) }},
		{"read-disk", "reading a file from the disk", func(ctx context.Context, t task) (outcome, error) { return limitRead(ctx, t, true) }},
		{"write", "writing a file, until it is on the disk", limitWrite},
		{"crc", "CRC-32C", limitChecksum},
		{"snappy", "Snappy, of what comes out", limitSnappy},
		{"pages", "decoding keys and times, one goroutine", func(ctx context.Context, t task) (outcome, error) {
			return limitDecode(ctx, t, "customer_id", "event_time")
		}},
		{"features", "decoding a float64 feature, one goroutine", func(ctx context.Context, t task) (outcome, error) { return limitDecode(ctx, t, "f0") }},
	}
}

// taskLimit measures the limit of the name t.Limit.
func taskLimit(ctx context.Context, t task) (outcome, error) {
	for _, l := range limits() {
		if l.name == t.Limit {
			return l.do(ctx, t)
		}
	}
	return outcome{}, fmt.Errorf("there is no limit %q", t.Limit)
}

// limitRead reads the data files of a history from end to end.
func limitRead(ctx context.Context, t task, fromDisk bool) (o outcome, err error) {
	files, err := historyFiles(ctx, t.Data, "view0")
	if err != nil {
		return o, err
	}
	buffer := make([]byte, 1<<20)
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return o, err
		}
		if fromDisk { // the files are on the disk, so what is given up can be read from there alone
			err = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
		} else {
			_, err = io.CopyBuffer(io.Discard, onlyReader{f}, buffer)
		}
		if err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		begun := time.Now()
		if err == nil {
			var n int64
			n, err = io.CopyBuffer(io.Discard, onlyReader{f}, buffer)
			o.Read += n
		}
		o.Seconds += time.Since(begun).Seconds()
		if err = errors.Join(err, f.Close()); err != nil {
			return o, err
		}
	}
	return o, nil
}

// onlyReader keeps io.Copy from doing better than to read.
type onlyReader struct{ io.Reader }

// limitWrite writes 512 MB that no disk can make smaller, and waits for the disk.
func limitWrite(_ context.Context, t task) (o outcome, err error) {
	block := make([]byte, 1<<20)
	for i := 0; i < len(block); i += 8 {
		binary.LittleEndian.PutUint64(block[i:], mix(i))
	}
	begun := time.Now()
	f, err := os.Create(t.Out)
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(t.Out)) }()
	for range 512 {
		if _, err := f.Write(block); err != nil {
			return o, err
		}
	}
	if err := f.Sync(); err != nil {
		return o, err
	}
	return outcome{Seconds: time.Since(begun).Seconds(), Read: 512 << 20}, nil
}

// limitChecksum makes the checksum of 16 MB again and again, which is more than caches hold.
func limitChecksum(context.Context, task) (outcome, error) {
	block, table := make([]byte, 16<<20), crc32.MakeTable(crc32.Castagnoli)
	begun, sum := time.Now(), uint32(0)
	for range 64 {
		sum = crc32.Update(sum, table, block)
	}
	return outcome{Seconds: time.Since(begun).Seconds(), Read: 64 * int64(len(block)), Digest: fmt.Sprint(sum)}, nil
}

// limitSnappy decodes a page of 128 kB that is made of keys, as those of a history are: differences that repeat, and some that do not.
func limitSnappy(context.Context, task) (outcome, error) {
	page := make([]byte, 128<<10)
	for i := 0; i < len(page); i += 8 {
		binary.LittleEndian.PutUint64(page[i:], uint64(keyOf(i/8/20)))
	}
	packed, out := snappy.Encode(nil, page), make([]byte, len(page))
	begun := time.Now()
	const times = 8192
	for range times {
		if _, err := snappy.Decode(out, packed); err != nil {
			return outcome{}, err
		}
	}
	return outcome{Seconds: time.Since(begun).Seconds(), Read: times * int64(len(page))}, nil
}

// limitDecode reads columns of a history whole, as the join does, with one goroutine.
func limitDecode(ctx context.Context, t task, columns ...string) (o outcome, err error) {
	store, err := offline.Open(ctx, t.Data, offline.Options{})
	if err != nil {
		return o, err
	}
	snapshot, err := store.Snapshot(ctx, "view0")
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	runs, err := snapshot.Runs(ctx)
	if err != nil {
		return o, err
	}
	begun := time.Now()
	for _, run := range runs {
		arrays, err := run.Read(ctx, columns, nil)
		if err != nil {
			return o, err
		}
		for _, a := range arrays {
			for _, b := range a.Data().Buffers() {
				if b != nil {
					o.Read += int64(b.Len())
				}
			}
			a.Release()
		}
		o.Count += int64(run.Rows())
	}
	o.Seconds = time.Since(begun).Seconds()
	return o, nil
}

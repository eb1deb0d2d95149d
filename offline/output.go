package offline

import (
	"bufio"
	"errors"
	"io"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/behind"
	"github.com/asof-store/asof/internal/disk"
	"github.com/asof-store/asof/internal/parquetio"
	"github.com/asof-store/asof/internal/stages"
)

// groupBytesMax bounds the rows that are held for a row group, for tables with very many or very wide columns.
const groupBytesMax = 64 << 20

// output writes rows into as many data files as they need. A file ends between two keys where that is possible, so that
// files are apart in key and a reader that wants few keys opens few files.
type output struct {
	run     *run
	columns []column
	order   []string // the sort order's columns
	spec    iceberg.PartitionSpec
	orderID *int // Iceberg sort order id of the files; nil when rows are not sorted
	stats   *stages.Stats

	pending []arrow.RecordBatch // the rows of the row group to come
	rows    int
	bytes   int64
	cut     int // the last of the pending rows whose key begins there; 0: none but perhaps the first
	loose   int // the first of the pending rows that does not tie with the one before it; -1: none

	file    *durableFile
	buffer  buffer
	parquet *parquetio.Writer
	group   int64 // bytes of the file's last row group
	ending  *ending

	done  []iceberg.DataFile
	total int64 // rows in done files and pending
}

// write adds rows; newKey tells which of them have another key than the row before, tied which are equal to it in all that
// rows are sorted by.
func (o *output) write(batch arrow.RecordBatch, newKey, tied []bool) error {
	rowBytes := rowBytesOf(batch)
	for from := 0; from < int(batch.NumRows()); {
		n := min(int(batch.NumRows())-from, o.run.store.opts.RowGroupRows-o.rows, max(1, int((groupBytesMax-o.bytes)/rowBytes)))
		for i := n - 1; i >= 0; i-- {
			if newKey[from+i] {
				o.cut = o.rows + i
				break
			}
		}
		if i := slices.Index(tied[from:from+n], false); i >= 0 && o.loose < 0 {
			o.loose = o.rows + i
		}
		o.pending = append(o.pending, batch.NewSlice(int64(from), int64(from+n)))
		o.rows, o.bytes, o.total = o.rows+n, o.bytes+int64(n)*rowBytes, o.total+int64(n)
		from += n
		for o.rows > 0 && (o.rows == o.run.store.opts.RowGroupRows || o.bytes+rowBytes > groupBytesMax) {
			if err := o.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// rowBytesOf estimates the bytes of a row.
func rowBytesOf(batch arrow.RecordBatch) int64 {
	bytes := int64(0)
	for _, c := range batch.Columns() {
		if list, ok := c.(*array.List); ok {
			from, _ := list.ValueOffsets(0)
			_, to := list.ValueOffsets(list.Len() - 1)
			bytes += valuesBytes(array.NewSlice(list.ListValues(), from, to))
		}
		bytes += valuesBytes(c)
	}
	return 1 + bytes/batch.NumRows()
}

func valuesBytes(a arrow.Array) int64 {
	switch a := a.(type) {
	case *array.String:
		return int64(len(a.ValueBytes())) + 4*int64(a.Len())
	case *array.Binary:
		return int64(len(a.ValueBytes())) + 4*int64(a.Len())
	}
	return 8 * int64(a.Len())
}

// flush writes a row group, or ends the file. When the file would grow too long by the row group, both end where the last key
// begins. A key that alone fills a file's size twice is cut, though not between ties: their order is that of their rows in one
// file, because the order of files changes when a later run rewrites one.
func (o *output) flush() error {
	if o.rows == 0 {
		return nil
	}
	limit, size := o.run.store.opts.FileBytes, int64(0)
	if o.parquet != nil {
		size = o.parquet.Size()
	}
	switch {
	case size >= 2*limit && o.loose >= 0:
		return o.endFile(o.loose)
	case size > 0 && size+o.group > limit && o.cut > 0:
		return o.endFile(o.cut)
	}
	return o.writeGroup()
}

// endFile ends the file before pending row n.
func (o *output) endFile(n int) error {
	cut := max(0, o.cut-n)
	rest := o.split(n)
	if err := o.writeGroup(); err != nil {
		return err
	}
	if err := o.closeFile(); err != nil {
		return err
	}
	for _, b := range rest {
		o.rows += int(b.NumRows())
		o.bytes += b.NumRows() * rowBytesOf(b)
	}
	o.pending, o.cut, o.loose = rest, cut, 0
	return nil
}

// split leaves the first n rows pending and returns the others.
func (o *output) split(n int) (rest []arrow.RecordBatch) {
	var head []arrow.RecordBatch
	for _, b := range o.pending {
		rows := int(b.NumRows())
		switch {
		case n >= rows:
			head = append(head, b)
		case n <= 0:
			rest = append(rest, b)
		default:
			head = append(head, b.NewSlice(0, int64(n)))
			rest = append(rest, b.NewSlice(int64(n), int64(rows)))
			b.Release()
		}
		n -= rows
	}
	o.pending = head
	return rest
}

// writeGroup writes the pending rows as a row group of the current file, which it opens if there is none.
func (o *output) writeGroup() error {
	if o.file == nil {
		if err := o.openFile(); err != nil {
			return err
		}
	}
	before := o.parquet.Size()
	for _, b := range o.pending {
		if err := o.parquet.Write(b); err != nil {
			return err
		}
	}
	if err := o.parquet.Flush(); err != nil {
		return err
	}
	o.group = o.parquet.Size() - before
	for _, b := range o.pending {
		b.Release()
	}
	clear(o.pending)
	o.pending, o.rows, o.bytes, o.cut, o.loose = o.pending[:0], 0, 0, 0, -1
	return nil
}

func (o *output) openFile() error {
	f, err := o.run.nextDataFile()
	if err != nil {
		return err
	}
	opts := o.run.store.opts
	o.file, o.buffer = f, o.run.store.buffer(f)
	parquetOpts := parquetio.WriterOptions{RowGroupRows: opts.RowGroupRows, PageRows: opts.PageRows, Stats: o.stats}
	if o.orderID != nil {
		parquetOpts.KeyValues = map[string]string{sortedBy: sortedByASOF}
	}
	o.parquet = parquetio.NewWriter(o.buffer, parquetColumns(o.columns, o.order), parquetOpts)
	return nil
}

// ending is a file to whose buffer all has been written.
type ending struct {
	file   *durableFile
	buffer buffer
	behind errgroup.Group // is at work on it while the next file is written
}

// closeFile ends the current file, which is durable once it is settled. A crash before the commit leaves the file to the next run's clearing up.
func (o *output) closeFile() error {
	if o.file == nil {
		return nil
	}
	stats, err := o.parquet.Close()
	if err != nil {
		return o.fault(o.file, err)
	}
	if err := o.settle(); err != nil {
		return err
	}
	e := &ending{file: o.file, buffer: o.buffer}
	o.ending, o.file, o.buffer, o.parquet, o.group = e, nil, nil, nil, 0
	df, err := dataFileOf(e.file.Name(), stats, o.columns, o.spec, o.orderID)
	if err != nil {
		return err
	}
	o.done = append(o.done, df)
	if !o.run.store.writesBehind() {
		return o.settle()
	}
	e.behind.Go(func() error {
		if err := e.buffer.Finish(); err != nil {
			return err
		}
		return e.file.flush()
	})
	return nil
}

// settle closes the file that was ended last, and returns when it is durable.
func (o *output) settle() error {
	e := o.ending
	if e == nil {
		return nil
	}
	clock := o.stats.Start(stages.Commit)
	defer clock.Stop(0, 0)
	err := e.behind.Wait()
	if err == nil {
		err = e.buffer.Finish()
	}
	if err == nil {
		err = e.file.Close()
	}
	if err != nil {
		return o.fault(e.file, err)
	}
	o.ending = nil
	return nil
}

// fault names the file of an error.
func (o *output) fault(f *durableFile, err error) error {
	return feature.Errorf(feature.KindOf(err), "view %s: writing %s: %w", o.run.view, f.Name(), err)
}

// close writes what is pending; the files are then durable, and in done.
func (o *output) close() error {
	for o.rows > 0 { // a flush can leave rows for another file
		if err := o.flush(); err != nil {
			return err
		}
	}
	if err := o.closeFile(); err != nil {
		return err
	}
	return o.settle()
}

// abandon closes open files after an error.
func (o *output) abandon() {
	if o.file != nil {
		_ = o.buffer.Finish() // there is an error already
		o.file.abandon()
	}
	if e := o.ending; e != nil {
		_ = errors.Join(e.behind.Wait(), e.buffer.Finish())
		e.file.abandon()
	}
}

// buffer is what a data file is written through.
type buffer interface {
	io.Writer
	Finish() error // writes what is left; it may be called again
}

// writesBehind reports whether data files are written behind those who write them: on a real disk. Others are those of tests, and want the same operations
// in the same order each time.
func (s *Store) writesBehind() bool {
	_, real := s.opts.Disk.(disk.OS)
	return real
}

// buffer returns one that writes to f.
func (s *Store) buffer(f io.Writer) buffer {
	if s.writesBehind() {
		return behind.NewWriter(f)
	}
	return inTurn{bufio.NewWriterSize(f, 1<<20)}
}

// inTurn writes when it is full.
type inTurn struct{ *bufio.Writer }

// Finish writes what is left.
func (b inTurn) Finish() error { return b.Flush() }

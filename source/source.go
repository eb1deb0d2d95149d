// Package source reads a user's Parquet files, found by a glob, as Arrow record batches of feature types, by range of
// event time.
//
// The files of one source are one table, in the order of their paths, and may differ: a column that a file lacks is
// NULL there, integers and floats widen, and folders named key=value are columns too. What cannot be read as
// the type that is wanted is an error that names file, column and both types; so is every kind of damage.
package source

import (
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
	"github.com/asof-store/asof/internal/parquetio"
	"github.com/asof-store/asof/internal/stages"
)

// Spec says where the rows of a source are.
type Spec struct {
	Name string
	// Glob finds the files, relative to Root unless it is absolute. It knows *, ?, [a-z], {a,b} and **, which stands
	// for any number of folders. Names that begin with _ or . are passed over where a wildcard met them: writers
	// keep unfinished files there.
	Glob, Root string
	// EventTime is the dotted path of the column that tells when a row happened, CreatedTime of the one that
	// tells when it became known; "" when there is none. Both hold timestamps or dates.
	EventTime, CreatedTime string
	BadRows                BadRows
	// Disk is the file system that files are read from; default: the operating system's.
	Disk disk.FS
}

// BadRows tells what becomes of rows without an event time or with a NULL in their key.
type BadRows uint8

// Bad rows end the read with an error that names file and row, or are counted and left out.
const (
	BadRowsFail BadRows = iota
	BadRowsSkip
)

// BatchRows is the default of Request.BatchRows: enough that the cost of a batch vanishes (2^14 is 5% slower, 2^18 no
// faster), and little enough that ten columns of a batch stay in a few megabytes.
const BatchRows = 1 << 16

// Request says which rows and columns to read.
type Request struct {
	Range feature.Range // of event times, both ends included
	// Keys and Columns name columns by dotted path, with the types wanted. A NULL in Keys makes a row a bad one.
	Keys, Columns []feature.Field
	BatchRows     int // at most; 0 is [BatchRows]
	// Files are the files to read, as [Survey] gave them; nil are those that the glob finds.
	Files []FileStat
	// PartRows is about how many rows a part of [ReadParts] has; 0 is [PartRows].
	PartRows int
	// Stats is told of reading and decoding; nil: nobody is.
	Stats *stages.Stats
}

// Batch is a piece of one file.
type Batch struct {
	// Record has the columns event_time, created_time if the source has one, then the request's Keys and Columns
	// under their paths. What is to be kept of it has to be retained.
	Record arrow.RecordBatch
	File   string // relative to Root
	// FirstRow is the number in the file (from 0) of the row from which on the batch's rows come, in order.
	FirstRow int64

	group int64            // the number of the first row of the row group that the batch is of
	spans []parquetio.Span // of that row group: the batch's rows
}

// Row returns the number in the file (from 0) of row i of the batch's Record.
func (b *Batch) Row(i int) int64 {
	for _, s := range b.spans {
		if n := s.To - s.From; i >= n {
			i -= n
			continue
		}
		return b.group + int64(s.From+i)
	}
	panic("source: the batch has no such row")
}

// FileStat describes a file of a source. [Files] fills the first three fields alone.
type FileStat struct {
	Path    string // relative to Root, with slashes; absolute if the glob is
	Size    int64
	ModTime time.Time

	Rows     int64 // in the file
	RowsRead int64 // handed out
	// MinEvent and MaxEvent bound the event times of the whole file; MinEvent > MaxEvent when it has none.
	MinEvent, MaxEvent feature.Time
}

// Stats describes a read.
type Stats struct {
	Files         []FileStat // in source order
	Rows, Skipped int64      // handed out; bad ones left out
}

func (s *Spec) errorf(kind error, format string, args ...any) error {
	return feature.Errorf(kind, "source %s: "+format, append([]any{s.Name}, args...)...)
}

// wrap puts the source's name before err, whose kind it keeps.
func (s *Spec) wrap(err error) error {
	if kind := feature.KindOf(err); kind != feature.ErrCorrupt {
		return s.errorf(kind, "%w", err)
	}
	return s.errorf(feature.ErrCorrupt, "%w: write the file again, or leave it out by the source's glob", err)
}

package parquetio

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/parquet-go/parquet-go/format"

	"github.com/asof-store/asof/feature"
)

// Stored describes the values of a column as they lie in the file, whatever they mean.
type Stored struct {
	// Kind is what they are read as: Bool, Int32, Int64, Float32, Float64 or Bytes.
	Kind feature.Kind
	// UnitsPerSecond is that of a timestamp, whose kind is Int64; else 0.
	UnitsPerSecond int64
}

// Stored returns how the values of a scalar column lie in the file. ok is false for any other column, and for one whose values are neither numbers of 32 or 64
// bits nor booleans nor byte arrays.
func (f *File) Stored(path string) (_ Stored, ok bool) {
	c := f.byPath[path]
	if c == nil || c.maxRep > 0 || c.kind == kindOther || c.kind == kindNull {
		return Stored{}, false
	}
	s := Stored{}
	if c.kind == kindTimestamp {
		s.UnitsPerSecond = c.unit
	}
	switch c.physical {
	case format.Boolean:
		s.Kind = feature.Bool
	case format.Int32:
		s.Kind = feature.Int32
	case format.Int64:
		s.Kind = feature.Int64
	case format.Float:
		s.Kind = feature.Float32
	case format.Double:
		s.Kind = feature.Float64
	case format.ByteArray:
		s.Kind = feature.Bytes
	default:
		return Stored{}, false
	}
	return s, true
}

// StoredScanner reads a column of all row groups from front to back, as [File.Stored] tells. It belongs to one goroutine, and after an error
// to none.
type StoredScanner struct {
	file   *File
	path   string
	cursor cursor
	group  int
	row    int // next of the group
}

// ScanStored returns a scanner over the column with the given path, of which [File.Stored] is ok. Its numbers take the memory of m; of the collector where that is nil.
func (f *File) ScanStored(path string, m *Memory) *StoredScanner {
	stored, _ := f.Stored(path)
	s, c, t := &StoredScanner{file: f, path: path}, f.byPath[path], feature.Scalar(stored.Kind)
	if len(f.groups) == 0 {
		return s
	}
	switch stored.Kind {
	case feature.Bool:
		s.cursor = newCursor(f, 0, c, t, decodeBools, &boolSink{})
	case feature.Int32:
		s.cursor = newCursor(f, 0, c, t, int32s(), &numberSink[int32]{memory: m})
	case feature.Int64:
		s.cursor = newCursor(f, 0, c, t, int64s(), &numberSink[int64]{memory: m})
	case feature.Float32:
		s.cursor = newCursor(f, 0, c, t, decodeFixed[float32](), &numberSink[float32]{memory: m})
	case feature.Float64:
		s.cursor = newCursor(f, 0, c, t, decodeFixed[float64](), &numberSink[float64]{memory: m})
	default:
		sink := &bytesSink{}
		texts := newCursor(f, 0, c, t, c.arrays(), sink).(*columnCursor[[]byte])
		texts.texts = sink
		s.cursor = texts
	}
	return s
}

// TextMax bounds the bytes of text that an array may have, beyond which Next fails with [ErrTooMuch].
func (s *StoredScanner) TextMax(bytes int) {
	if texts, ok := s.cursor.(*columnCursor[[]byte]); ok {
		texts.textMax = min(bytes, offsetMax)
	}
}

// Next returns the next n rows, of which there have to be as many.
func (s *StoredScanner) Next(n int) (out arrow.Array, err error) {
	defer s.file.guard(&err, "column "+s.path)
	s.cursor.reserve(n)
	for n > 0 {
		if s.group == len(s.file.groups) {
			return nil, feature.Errorf(feature.ErrInternal, "%s: column %s: %d rows are asked for after the last", s.file.path, s.path, n)
		}
		m := min(n, s.file.groups[s.group].Rows-s.row)
		if err := s.cursor.take(m); err != nil {
			return nil, err
		}
		s.row, n = s.row+m, n-m
		if s.row < s.file.groups[s.group].Rows {
			continue
		}
		if err := s.cursor.end(); err != nil {
			return nil, err
		}
		if s.group, s.row = s.group+1, 0; s.group < len(s.file.groups) {
			s.cursor.restart(s.group)
		}
	}
	return s.cursor.finish(), nil
}

package parquetio

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/parquet-go/parquet-go/format"
)

// sameColumns is the key in a footer of a JSON array with an object for each row group: it maps the name of a column to that of an earlier
// one which has the same bits in every row, as the sum and the maximum of single rows do.
const sameColumns = "asof.same_columns"

// noteSame notes which of p's columns hold the same as an earlier one of them in all pending rows.
func (p *part) noteSame(same map[string]string) {
	for i, c := range p.columns {
		for j, earlier := range p.columns[:i] {
			if _, copied := same[earlier.Name]; !copied && earlier.Type == c.Type && p.areSame(i, j) {
				same[c.Name] = earlier.Name
				break
			}
		}
	}
}

func (p *part) areSame(i, j int) bool {
	for _, batch := range p.pending {
		if !SameBits(batch.Column(i), batch.Column(j)) {
			return false
		}
	}
	return true
}

// sameEntry returns the footer's entry of which columns are the same, if any.
func (w *Writer) sameEntry() ([]format.KeyValue, error) {
	same := make([]map[string]string, len(w.groups))
	for i, g := range w.groups {
		same[i] = g.same
	}
	if !slices.ContainsFunc(same, func(of map[string]string) bool { return len(of) > 0 }) {
		return nil, nil
	}
	value, err := json.Marshal(same)
	return []format.KeyValue{{Key: sameColumns, Value: string(value)}}, err
}

// SameBits reports whether two columns of one type hold the same numbers and NULLs, bit for bit; it is false of what are no numbers.
func SameBits(a, b arrow.Array) bool {
	fixed, ok := a.DataType().(arrow.FixedWidthDataType)
	if !ok || fixed.BitWidth() < 8 || a.NullN() != b.NullN() {
		return false
	}
	if a.NullN() == a.Len() {
		return true
	}
	width := fixed.BitWidth() / 8
	if a.NullN() == 0 {
		return bytes.Equal(valueBytes(a, width, 0, a.Len()), valueBytes(b, width, 0, b.Len()))
	}
	for i := range a.Len() {
		if a.IsNull(i) != b.IsNull(i) || a.IsValid(i) && !bytes.Equal(valueBytes(a, width, i, i+1), valueBytes(b, width, i, i+1)) {
			return false
		}
	}
	return true
}

// valueBytes returns the memory of the values [from, to) of a column of fixed width in bytes.
func valueBytes(a arrow.Array, width, from, to int) []byte {
	offset := a.Data().Offset()
	return a.Data().Buffers()[1].Bytes()[(offset+from)*width : (offset+to)*width]
}

// Same returns the column whose values in a row group are those of the named one, as the file's writer has noted: the column itself, or an
// earlier one of its type.
func (f *File) Same(group int, name string) string {
	f.sameOnce.Do(func() {
		if value, ok := f.KeyValue(sameColumns); ok && json.Unmarshal([]byte(value), &f.same) != nil {
			f.same = nil // it is of another writer
		}
	})
	if group >= len(f.same) {
		return name
	}
	earlier := f.byPath[f.same[group][name]]
	if of := f.byPath[name]; of == nil || earlier == nil || earlier.info.Type != of.info.Type {
		return name
	}
	return earlier.info.Path
}

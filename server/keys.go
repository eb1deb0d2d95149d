package server

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// readKeys turns the key columns of a request into those that w needs, and returns their number of rows. It reports all faults
// at once, each with the path of its field.
func readKeys(columns []*asofv1.KeyColumn, w *wanted) (map[string]arrow.Array, int, error) {
	var f faults
	fields := w.service.KeyFields()
	needed, types := make([]string, len(fields)), map[string]feature.Type{}
	for i, field := range fields {
		needed[i], types[field.Name] = field.Name, field.Type
	}
	keys, rows, at := map[string]arrow.Array{}, -1, map[string]int{}
	for i, c := range columns {
		path := fmt.Sprintf("keys[%d]", i)
		t, known := types[c.GetName()]
		if first, twice := at[c.GetName()]; twice {
			f.add(path+".name", "column %s is keys[%d] already", c.GetName(), first)
			continue
		}
		at[c.GetName()] = i
		if !known {
			f.add(path+".name", "%s has no key column %q%s", w.subject, c.GetName(), keysHint(c.GetName(), needed))
			continue
		}
		column := readColumn(&f, path, c, t, w.subject)
		if column == nil {
			continue
		}
		if rows < 0 {
			rows = column.Len()
		}
		if column.Len() != rows {
			f.add(path+".values", "column %s has %d rows, the columns before it have %d: all need the same number", c.GetName(), column.Len(), rows)
		}
		keys[c.GetName()] = column
	}
	for _, field := range fields {
		if _, given := at[field.Name]; !given {
			f.add("keys", "%s needs the key column %s (%s)", w.subject, field.Name, field.Type)
		}
	}
	if len(fields) == 0 {
		rows = 1
	}
	return keys, rows, f.err()
}

func keysHint(name string, needed []string) string {
	if len(needed) == 0 {
		return ": it takes no keys"
	}
	if hint := nearest.Hint(name, needed); hint != "" {
		return hint
	}
	return ": it needs " + strings.Join(needed, ", ")
}

// readColumn turns one key column into one of type t. It returns nil when there are faults.
func readColumn(f *faults, path string, c *asofv1.KeyColumn, t feature.Type, subject string) arrow.Array {
	v := c.GetValues()
	field, got, n := kindOf(v)
	if field == "" {
		f.add(path+".values", "column %s has no values, %s needs %s", c.GetName(), subject, t)
		return nil
	}
	if got != t {
		f.add(path+".values."+field, "column %s has %d values of type %s, %s needs %s", c.GetName(), n, got, subject, t)
		return nil
	}
	valid, misfit := validRows(v.GetNullRows(), n)
	if misfit >= 0 {
		f.add(fmt.Sprintf("%s.values.null_rows[%d]", path, misfit), "row %d of column %s, which has %d: rows are counted from 0, ascending", v.GetNullRows()[misfit], c.GetName(), n)
		return nil
	}
	return buildScalars(v, valid)
}

// validRows tells which of n rows are not NULL. Misfit is the first of nulls that is no row or not ascending, else -1.
func validRows(nulls []uint32, n int) (valid []bool, misfit int) {
	valid = make([]bool, n)
	for i := range valid {
		valid[i] = true
	}
	before := -1
	for i, row := range nulls {
		if int64(row) >= int64(n) || int(row) <= before {
			return nil, i
		}
		valid[row], before = false, int(row)
	}
	return valid, -1
}

// kindOf returns the name of the field of v that is set, its type and its length; "" where none is or where it is a list of none.
func kindOf(v *asofv1.Values) (field string, t feature.Type, n int) {
	switch k := v.GetKind().(type) {
	case *asofv1.Values_Bools:
		return "bools", feature.Scalar(feature.Bool), len(k.Bools.GetValues())
	case *asofv1.Values_Int32S:
		return "int32s", feature.Scalar(feature.Int32), len(k.Int32S.GetValues())
	case *asofv1.Values_Int64S:
		return "int64s", feature.Scalar(feature.Int64), len(k.Int64S.GetValues())
	case *asofv1.Values_Float32S:
		return "float32s", feature.Scalar(feature.Float32), len(k.Float32S.GetValues())
	case *asofv1.Values_Float64S:
		return "float64s", feature.Scalar(feature.Float64), len(k.Float64S.GetValues())
	case *asofv1.Values_Strings:
		return "strings", feature.Scalar(feature.String), len(k.Strings.GetValues())
	case *asofv1.Values_Bytes:
		return "bytes", feature.Scalar(feature.Bytes), len(k.Bytes.GetValues())
	case *asofv1.Values_Timestamps:
		return "timestamps", feature.Scalar(feature.Timestamp), len(k.Timestamps.GetMicros())
	case *asofv1.Values_Lists:
		_, elements, _ := kindOf(k.Lists.GetElements())
		return "lists", feature.ListOf(elements.Kind), len(k.Lists.GetLengths())
	}
	return "", t, 0
}

// buildScalars returns the values of v, which are of no list type, as a column.
func buildScalars(v *asofv1.Values, valid []bool) arrow.Array {
	mem := memory.DefaultAllocator
	switch k := v.GetKind().(type) {
	case *asofv1.Values_Bools:
		b := array.NewBooleanBuilder(mem)
		b.AppendValues(k.Bools.GetValues(), valid)
		return b.NewArray()
	case *asofv1.Values_Int32S:
		b := array.NewInt32Builder(mem)
		b.AppendValues(k.Int32S.GetValues(), valid)
		return b.NewArray()
	case *asofv1.Values_Int64S:
		b := array.NewInt64Builder(mem)
		b.AppendValues(k.Int64S.GetValues(), valid)
		return b.NewArray()
	case *asofv1.Values_Float32S:
		b := array.NewFloat32Builder(mem)
		b.AppendValues(k.Float32S.GetValues(), valid)
		return b.NewArray()
	case *asofv1.Values_Float64S:
		b := array.NewFloat64Builder(mem)
		b.AppendValues(k.Float64S.GetValues(), valid)
		return b.NewArray()
	case *asofv1.Values_Strings:
		b := array.NewStringBuilder(mem)
		b.AppendValues(k.Strings.GetValues(), valid)
		return b.NewArray()
	case *asofv1.Values_Bytes:
		b := array.NewBinaryBuilder(mem, arrow.BinaryTypes.Binary)
		b.AppendValues(k.Bytes.GetValues(), valid)
		return b.NewArray()
	case *asofv1.Values_Timestamps:
		b := array.NewTimestampBuilder(mem, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
		for i, micros := range k.Timestamps.GetMicros() {
			if valid[i] {
				b.Append(arrow.Timestamp(micros))
			} else {
				b.AppendNull()
			}
		}
		return b.NewArray()
	}
	panic(fmt.Sprintf("server: %T holds no scalars", v.GetKind()))
}

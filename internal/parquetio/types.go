package parquetio

import (
	"fmt"

	"github.com/asof-store/asof/feature"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// ColumnInfo describes a column: a leaf of the schema, or a list of scalars under the list's own name.
type ColumnInfo struct {
	Path string // dotted through structs
	// Type is what the column naturally is. It is the zero Type when the column is not convertible, and when it
	// can hold nothing but NULLs (the logical type UNKNOWN), which every type reads.
	Type        feature.Type
	Convertible bool   // whether it reads as any type at all
	Physical    string // what the file says it is, for messages
	FieldID     int    // 0 when the file has none

	column *column
}

// ReadsAs reports whether the column can be read as t: as its own type or one that it widens to. Integers are also
// read as int32, where a value that does not fit is an error, and bytes as strings when they are valid UTF-8.
func (c ColumnInfo) ReadsAs(t feature.Type) bool {
	return c.column != nil && t.List == (c.column.maxRep > 0) && c.column.reads(t.Kind)
}

// Columns returns the columns in file order.
func (f *File) Columns() []ColumnInfo {
	infos := make([]ColumnInfo, len(f.columns))
	for i, c := range f.columns {
		infos[i] = c.info
	}
	return infos
}

// Column returns the column with the given path.
func (f *File) Column(path string) (ColumnInfo, bool) {
	c, ok := f.byPath[path]
	if !ok {
		return ColumnInfo{}, false
	}
	return c.info, true
}

// kind is what the values of a leaf mean.
type kind uint8

const (
	kindOther kind = iota // TIME, INTERVAL, unknown annotations, and whatever is nested too deep
	kindNull              // nothing but NULLs
	kindBool
	kindInt
	kindDecimal
	kindDate
	kindTimestamp
	kindInt96 // a timestamp of old Hive and Spark
	kindFloat16
	kindFloat
	kindDouble
	kindText
	kindUUID
	kindBytes
)

const (
	fixedWidthMax   = 1 << 20
	decimalScaleMax = 1000 // no writer goes beyond 76
)

// annotate finds the meaning of a leaf and returns its name for messages.
func (c *column) annotate(e *format.SchemaElement) string {
	c.physicalKind()
	name := c.physical.String()
	if c.physical == format.FixedLenByteArray {
		name = fmt.Sprintf("%s(%d)", name, c.width)
	}
	if e.LogicalType.Value != nil {
		return c.annotateLogical(name, e.LogicalType.Value)
	}
	if e.ConvertedType.Valid {
		return c.annotateConverted(name, e)
	}
	return name
}

func (c *column) physicalKind() {
	switch c.physical {
	case format.Boolean:
		c.kind = kindBool
	case format.Int32:
		c.kind, c.bits = kindInt, 32
	case format.Int64:
		c.kind, c.bits = kindInt, 64
	case format.Int96:
		c.kind = kindInt96
	case format.Float:
		c.kind = kindFloat
	case format.Double:
		c.kind = kindDouble
	default:
		c.kind = kindBytes
	}
}

func (c *column) annotateLogical(name string, logical any) string {
	switch l := logical.(type) {
	case *format.StringType:
		return c.set(name+" STRING", format.ByteArray, kindText)
	case *format.EnumType:
		return c.set(name+" ENUM", format.ByteArray, kindText)
	case *format.JsonType:
		return c.set(name+" JSON", format.ByteArray, kindText)
	case *format.BsonType:
		return c.set(name+" BSON", format.ByteArray, kindBytes)
	case *format.UUIDType:
		if c.width != 16 {
			return name
		}
		return c.set(name+" UUID", format.FixedLenByteArray, kindUUID)
	case *format.Float16Type:
		if c.width != 2 {
			return name
		}
		return c.set(name+" FLOAT16", format.FixedLenByteArray, kindFloat16)
	case *format.NullType:
		c.kind = kindNull
		return name + " UNKNOWN"
	case *format.DateType:
		return c.set(name+" DATE", format.Int32, kindDate)
	case *format.DecimalType:
		return c.setDecimal(name, int(l.Precision), int(l.Scale))
	case *format.IntType:
		return c.setInt(name, int(l.BitWidth), !l.IsSigned)
	case *format.TimestampType:
		return c.setTimestamp(name, &l.Unit)
	case *format.TimeType:
		c.kind = kindOther
		return name + " TIME"
	}
	return name // geometry, geography and whatever comes later are bytes to us
}

// set gives c a meaning that only values of one physical type have; on another the annotation is ignored.
func (c *column) set(name string, physical format.Type, k kind) string {
	if c.physical == physical {
		c.kind = k
	}
	return name
}

func (c *column) setDecimal(name string, precision, scale int) string {
	name = fmt.Sprintf("%s DECIMAL(%d,%d)", name, precision, scale)
	c.scale = scale
	switch c.physical {
	case format.Int32, format.Int64, format.ByteArray, format.FixedLenByteArray:
		c.kind = kindDecimal
	}
	if scale < 0 || scale > decimalScaleMax {
		c.kind = kindOther
	}
	return name
}

func (c *column) setInt(name string, bits int, unsigned bool) string {
	if c.kind == kindInt && bits <= c.bits && (bits == 8 || bits == 16 || bits == 32 || bits == 64) {
		c.bits, c.unsigned = bits, unsigned
	}
	if unsigned {
		return fmt.Sprintf("%s UINT(%d)", name, bits)
	}
	return fmt.Sprintf("%s INT(%d)", name, bits)
}

func (c *column) setTimestamp(name string, unit *format.TimeUnit) string {
	switch unit.Value.(type) {
	case *format.MilliSeconds:
		name, c.unit = name+" TIMESTAMP(MILLIS)", 1e3
	case *format.MicroSeconds:
		name, c.unit = name+" TIMESTAMP(MICROS)", 1e6
	case *format.NanoSeconds:
		name, c.unit = name+" TIMESTAMP(NANOS)", 1e9
	default:
		c.kind = kindOther
		return name + " TIMESTAMP of an unknown unit"
	}
	return c.set(name, format.Int64, kindTimestamp)
}

func (c *column) annotateConverted(name string, e *format.SchemaElement) string {
	switch t := e.ConvertedType.V; t {
	case deprecated.UTF8:
		return c.set(name+" UTF8", format.ByteArray, kindText)
	case deprecated.Enum:
		return c.set(name+" ENUM", format.ByteArray, kindText)
	case deprecated.Json:
		return c.set(name+" JSON", format.ByteArray, kindText)
	case deprecated.Bson:
		return c.set(name+" BSON", format.ByteArray, kindBytes)
	case deprecated.Date:
		return c.set(name+" DATE", format.Int32, kindDate)
	case deprecated.Decimal:
		return c.setDecimal(name, int(e.Precision.V), int(e.Scale.V))
	case deprecated.TimestampMillis:
		c.unit = 1e3
		return c.set(name+" TIMESTAMP_MILLIS", format.Int64, kindTimestamp)
	case deprecated.TimestampMicros:
		c.unit = 1e6
		return c.set(name+" TIMESTAMP_MICROS", format.Int64, kindTimestamp)
	case deprecated.TimeMillis, deprecated.TimeMicros:
		c.kind = kindOther
		return name + " TIME"
	case deprecated.Interval:
		c.kind = kindOther
		return name + " INTERVAL"
	case deprecated.Uint8, deprecated.Uint16, deprecated.Uint32, deprecated.Uint64:
		return c.setInt(name, 8<<(t-deprecated.Uint8), true)
	case deprecated.Int8, deprecated.Int16, deprecated.Int32, deprecated.Int64:
		return c.setInt(name, 8<<(t-deprecated.Int8), false)
	}
	return name
}

// natural returns the feature type that holds every value of c as it is.
func (c *column) natural() feature.Type {
	t := feature.Type{List: c.maxRep > 0}
	switch c.kind {
	case kindBool:
		t.Kind = feature.Bool
	case kindInt:
		t.Kind = feature.Int64
		if c.fits32() {
			t.Kind = feature.Int32
		}
	case kindDecimal:
		t.Kind = feature.Float64
	case kindDate, kindTimestamp, kindInt96:
		t.Kind = feature.Timestamp
	case kindFloat16, kindFloat:
		t.Kind = feature.Float32
	case kindDouble:
		t.Kind = feature.Float64
	case kindText, kindUUID:
		t.Kind = feature.String
	case kindBytes:
		t.Kind = feature.Bytes
	default:
		return feature.Type{}
	}
	return t
}

// fits32 reports whether every value of the integer column c is an int32.
func (c *column) fits32() bool { return c.bits < 32 || c.bits == 32 && !c.unsigned }

// reads reports whether the values of c can be read as k. Nothing is ever rounded, save nanoseconds (up to the
// microsecond), integers beyond 2^53 as float64, and decimals as the nearest float64.
func (c *column) reads(k feature.Kind) bool {
	switch c.kind {
	case kindNull:
		return true
	case kindBool:
		return k == feature.Bool
	case kindInt:
		return k == feature.Int32 || k == feature.Int64 || k == feature.Float64
	case kindDecimal:
		return k == feature.Float64 || k == feature.Int64 && c.scale == 0
	case kindDate, kindTimestamp, kindInt96:
		return k == feature.Timestamp
	case kindFloat16, kindFloat:
		return k == feature.Float32 || k == feature.Float64
	case kindDouble:
		return k == feature.Float64
	case kindText, kindBytes:
		return k == feature.String || k == feature.Bytes
	case kindUUID:
		return k == feature.String
	}
	return false
}

// checkReads returns an ErrInvalid that names file, column and both types when c cannot be read as t.
func (f *File) checkReads(c *column, t feature.Type) error {
	if c.info.ReadsAs(t) {
		return nil
	}
	hint := "no type can hold it"
	switch {
	case c.kind == kindNull && c.maxRep > 0:
		hint = "read it as a list"
	case c.kind == kindNull:
		hint = "read it as a scalar"
	case c.info.Convertible:
		hint = "read it as " + c.info.Type.String()
	}
	return feature.Errorf(feature.ErrInvalid, "%s: column %s is %s, which cannot be read as %s: %s", f.path, c.info.Path, c.info.Physical, t, hint)
}

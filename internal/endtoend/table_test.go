package endtoend

import (
	"encoding/csv"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
)

// table is a small table in memory.
type table struct {
	schema *arrow.Schema
	batch  arrow.RecordBatch
}

// columns returns the table's columns by name.
func (t table) columns() map[string]arrow.Array {
	columns := map[string]arrow.Array{}
	for i, f := range t.schema.Fields() {
		columns[f.Name] = t.batch.Column(i)
	}
	return columns
}

// physicalTypes are the column types that feature types do not name.
var physicalTypes = map[string]arrow.DataType{
	"timestamp_ns": &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"},
	"timestamp_ms": &arrow.TimestampType{Unit: arrow.Millisecond, TimeZone: "UTC"},
	"local":        &arrow.TimestampType{Unit: arrow.Microsecond},
	"date":         arrow.FixedWidthTypes.Date32,
}

// parseTable reads a table as scripts write it: a header of name:type, then a row a line, columns parted by blanks. "-" is
// NULL. Times may be written without their date, which is then 2026-01-01.
func parseTable(text string) (t table, err error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var fields []arrow.Field
	for _, h := range strings.Fields(lines[0]) {
		name, typ, _ := strings.Cut(h, ":")
		d, ok := physicalTypes[typ]
		if !ok {
			parsed, err := feature.ParseType(typ)
			if err != nil {
				return t, err
			}
			d = parsed.Arrow()
		}
		fields = append(fields, arrow.Field{Name: name, Type: d, Nullable: true})
	}
	t.schema = arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, t.schema)
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		if len(cells) != len(fields) {
			return t, fmt.Errorf("row %q has %d cells, not %d", line, len(cells), len(fields))
		}
		for i, cell := range cells {
			if err := appendCell(b.Field(i), cell); err != nil {
				return t, fmt.Errorf("row %q: %w", line, err)
			}
		}
	}
	t.batch = b.NewRecordBatch()
	return t, nil
}

func appendCell(b array.Builder, cell string) error {
	if cell == "-" {
		b.AppendNull()
		return nil
	}
	if b.Type().ID() == arrow.TIMESTAMP && !strings.Contains(cell, "-") {
		cell = "2026-01-01T" + cell
	}
	if zoned, ok := b.Type().(*arrow.TimestampType); ok && zoned.TimeZone != "" {
		cell += "Z"
	}
	if b, ok := b.(*array.ListBuilder); ok {
		b.Append(true)
		for _, e := range strings.Split(strings.Trim(cell, "[]"), ",") {
			if e == "" {
				continue
			}
			if err := appendCell(b.ValueBuilder(), e); err != nil {
				return err
			}
		}
		return nil
	}
	return b.AppendValueFromString(strings.Trim(cell, `"`))
}

// parseTime reads a time as scripts write it.
func parseTime(text string) (feature.Time, error) {
	if !strings.Contains(text, "-") {
		text = "2026-01-01T" + text
	}
	t, ok := tabular.ParseTime(text)
	if !ok {
		return 0, fmt.Errorf("%q is no time", text)
	}
	return t, nil
}

// timeText is the shortest way in which scripts write t.
func timeText(t feature.Time) string {
	s := t.Std()
	text := s.Format("15:04:05.999999")
	text = strings.TrimSuffix(text, ":00")
	if y, m, d := s.Date(); y != 2026 || m != time.January || d != 1 {
		return s.Format("2006-01-02T") + text
	}
	return text
}

// valueText renders row i of a column.
func valueText(column arrow.Array, i int) string {
	if column.IsNull(i) {
		return "-"
	}
	if c, ok := column.(*array.Timestamp); ok {
		return timeText(feature.Time(c.Value(i)))
	}
	return column.ValueStr(i)
}

// alignCSV renders a CSV for reading: "-" for NULL, and times in short form.
func alignCSV(text string) string {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if t, ok := tabular.ParseTime(cell); ok && len(cell) >= len("2006-01-02T15:04:05") {
				row[i] = timeText(t)
			}
			if cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
	lines := strings.Split(out.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

// only returns the named columns of t.
func (t table) only(names ...string) table {
	var fields []arrow.Field
	var columns []arrow.Array
	for _, name := range names {
		i := t.schema.FieldIndices(name)[0]
		fields, columns = append(fields, t.schema.Field(i)), append(columns, t.batch.Column(i))
	}
	schema := arrow.NewSchema(fields, nil)
	return table{schema, array.NewRecordBatch(schema, columns, t.batch.NumRows())}
}

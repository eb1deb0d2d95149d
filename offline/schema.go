package offline

import (
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

// column is a stored column: a field of a table's schema.
type column struct {
	feature.Field
	required bool
	id       int // Iceberg field id
	element  int // that of a list's elements
}

func scalarOf(k feature.Kind) iceberg.Type {
	switch k {
	case feature.Bool:
		return iceberg.PrimitiveTypes.Bool
	case feature.Int32:
		return iceberg.PrimitiveTypes.Int32
	case feature.Int64:
		return iceberg.PrimitiveTypes.Int64
	case feature.Float32:
		return iceberg.PrimitiveTypes.Float32
	case feature.Float64:
		return iceberg.PrimitiveTypes.Float64
	case feature.String:
		return iceberg.PrimitiveTypes.String
	case feature.Bytes:
		return iceberg.PrimitiveTypes.Binary
	}
	return iceberg.PrimitiveTypes.TimestampTz
}

// kindOf is the inverse of scalarOf; ok is false for types that views do not have.
func kindOf(t iceberg.Type) (feature.Kind, bool) {
	for k := feature.Bool; k <= feature.Timestamp; k++ {
		if scalarOf(k).Equals(t) {
			return k, true
		}
	}
	return 0, false
}

// schemaOf returns the schema of a view's table. Columns that `old` (which may be nil) has with the same type keep their
// field ids; others get ids after last, so that none ever means two things.
func schemaOf(view *feature.View, old *iceberg.Schema, last int) *iceberg.Schema {
	next := func() int { last++; return last }
	var fields []iceberg.NestedField
	for i, f := range view.Columns() {
		n := iceberg.NestedField{Name: f.Name, Type: scalarOf(f.Type.Kind), Required: i < len(view.Keys) || f.Name == feature.EventTimeColumn}
		if kept, ok := sameColumn(old, f); ok {
			n.ID, n.Type = kept.ID, kept.Type
		} else {
			n.ID = next()
			if f.Type.List {
				n.Type = &iceberg.ListType{ElementID: next(), Element: scalarOf(f.Type.Kind)}
			}
		}
		fields = append(fields, n)
	}
	return iceberg.NewSchema(0, fields...)
}

func sameColumn(old *iceberg.Schema, f feature.Field) (iceberg.NestedField, bool) {
	if old == nil {
		return iceberg.NestedField{}, false
	}
	field, ok := old.FindFieldByName(f.Name)
	if !ok {
		return field, false
	}
	c, ok := columnOf(field)
	return field, ok && c.Type == f.Type
}

func columnOf(f iceberg.NestedField) (column, bool) {
	c := column{Field: feature.Field{Name: f.Name}, required: f.Required, id: f.ID}
	t := f.Type
	if list, ok := t.(*iceberg.ListType); ok {
		c.Type.List, c.element, t = true, list.ElementID, list.Element
	}
	kind, ok := kindOf(t)
	c.Type.Kind = kind
	return c, ok
}

// columnsOf returns the columns of a stored schema, in its order.
func columnsOf(view string, s *iceberg.Schema) ([]column, error) {
	var columns []column
	for _, f := range s.Fields() {
		c, ok := columnOf(f)
		if !ok {
			return nil, feature.Errorf(feature.ErrInvalid, "view %s: the stored column %s has type %s, which no feature has; another engine has changed the table: drop the column there, or rebuild the view", view, f.Name, f.Type)
		}
		columns = append(columns, c)
	}
	return columns, nil
}

func find(columns []column, name string) (column, bool) {
	i := slices.IndexFunc(columns, func(c column) bool { return c.Name == name })
	if i < 0 {
		return column{}, false
	}
	return columns[i], true
}

// checkStored fails when the view's columns are not those that are stored.
func checkStored(view *feature.View, stored []column, keys []string) error {
	wanted := view.Columns()
	same := len(wanted) == len(stored) && len(keys) == len(view.Keys)
	for i := 0; same && i < len(wanted); i++ {
		c, ok := find(stored, wanted[i].Name)
		same = ok && c.Type == wanted[i].Type && (i >= len(keys) || keys[i] == wanted[i].Name)
	}
	if !same {
		return feature.Errorf(feature.ErrInvalid, "view %s: its columns are no longer those of its stored history: rebuild the view", view.Name)
	}
	return nil
}

// orderColumns returns the names of the columns that rows are sorted by.
func orderColumns(keys []string, columns []column) []string {
	names := append(slices.Clone(keys), feature.EventTimeColumn)
	if _, ok := find(columns, feature.CreatedTimeColumn); ok {
		names = append(names, feature.CreatedTimeColumn)
	}
	return names
}

// sortOrderOf returns the Iceberg sort order of rows by the named columns: ascending, NULLs first.
func sortOrderOf(s *iceberg.Schema, names []string) (table.SortOrder, error) {
	var fields []table.SortField
	for _, name := range names {
		f, ok := s.FindFieldByName(name)
		if !ok {
			return table.SortOrder{}, feature.Errorf(feature.ErrCorrupt, "the stored table has no column %s", name)
		}
		fields = append(fields, table.SortField{SourceIDs: []int{f.ID}, Transform: iceberg.IdentityTransform{}, Direction: table.SortASC, NullOrder: table.NullsFirst})
	}
	order, err := table.NewSortOrder(1, fields)
	if err != nil {
		return order, feature.Errorf(feature.ErrInternal, "making a sort order: %w", err)
	}
	return order, nil
}

// parquetColumns returns how columns are written. Those of the sort order grow from row to row.
// Pages of keys and times are short: of them whole pages have to be decoded for few rows, where other columns can be read at those rows.
const (
	keyPageRows  = 4096
	timePageRows = 1024
)

func parquetColumns(columns []column, order []string) []parquetio.ColumnSpec {
	specs := make([]parquetio.ColumnSpec, len(columns))
	for i, c := range columns {
		specs[i] = parquetio.ColumnSpec{Name: c.Name, Type: c.Type, Required: c.required, FieldID: c.id, ElementID: c.element,
			Ordered: slices.Contains(order, c.Name)}
		switch {
		case c.Name == feature.EventTimeColumn || c.Name == feature.CreatedTimeColumn:
			specs[i].PageRows = timePageRows
		case specs[i].Ordered:
			specs[i].PageRows = keyPageRows
		}
	}
	return specs
}

package source

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	"github.com/asof-store/asof/internal/parquetio"
)

// Schema is the columns of a source: the union of those of its files, each of a type as which all of them can be
// read.
type Schema struct {
	fields []feature.Field
	byName map[string]int
	// problems tells of the columns that are there and cannot be read.
	problems map[string]error
}

// NewSchema returns the schema of the given columns. The zero Type stands for a column of nothing but NULLs.
func NewSchema(fields []feature.Field) *Schema {
	s := &Schema{byName: map[string]int{}, problems: map[string]error{}}
	for _, f := range fields {
		s.add(f)
	}
	return s
}

func (s *Schema) add(f feature.Field) {
	s.byName[f.Name] = len(s.fields)
	s.fields = append(s.fields, f)
}

// Fields returns the columns in the order in which the files have them.
func (s *Schema) Fields() []feature.Field { return slices.Clone(s.fields) }

// Names returns the names of the columns, in the order of Fields.
func (s *Schema) Names() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.Name
	}
	return names
}

// Type returns the type of a column: the zero Type for one of nothing but NULLs, which reads as any.
func (s *Schema) Type(column string) (feature.Type, bool) {
	i, ok := s.byName[column]
	if !ok {
		return feature.Type{}, false
	}
	return s.fields[i].Type, true
}

// Problem returns why a column for which Type has no answer cannot be read though files have it (ErrInvalid), or that it is not
// there (ErrNotFound), with the name that was probably meant; nil for a column that can be read.
func (s *Schema) Problem(column string) error {
	if _, ok := s.byName[column]; ok {
		return nil
	}
	if err, ok := s.problems[column]; ok {
		return err
	}
	for _, f := range s.fields {
		if strings.HasPrefix(f.Name, column+".") {
			return feature.Errorf(feature.ErrInvalid, "column %s is a struct: name one of its fields, such as %s", column, f.Name)
		}
	}
	if near := nearest.Name(column, s.Names()); near != "" {
		return feature.Errorf(feature.ErrNotFound, "there is no column %s: did you mean %s?", column, near)
	}
	return feature.Errorf(feature.ErrNotFound, "there is no column %s: the columns are %s", column, strings.Join(s.Names(), ", "))
}

// Inspect returns the schema of a source from the metadata of all its files. It fails when nothing matches the glob
// (ErrNotFound), when a file is damaged (ErrCorrupt), and when a file with rows lacks the event time that others have
// (ErrInvalid). Whether the time columns fit is the caller's to check, who knows where they are named. Columns whose
// types do not unite are left out and have a [Schema.Problem]: a source may have them as long as nobody wants them.
func Inspect(ctx context.Context, spec Spec) (*Schema, error) {
	files, err := Files(ctx, spec)
	if err != nil {
		return nil, err
	}
	u := union{columns: map[string]*unionColumn{}}
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f, err := spec.open(file.Path, nil)
		if err != nil {
			return nil, spec.wrap(err)
		}
		for _, c := range f.Columns() {
			u.add(c, file.Path)
		}
		_, hasEvent := f.Column(spec.EventTime)
		rows := f.Rows()
		if err := f.Close(); err != nil {
			return nil, spec.errorf(feature.ErrUnavailable, "closing %s: %w", file.Path, err)
		}
		if !hasEvent && rows > 0 && u.columns[spec.EventTime] != nil && spec.BadRows == BadRowsFail {
			return nil, spec.errorf(feature.ErrInvalid, "%s has no column %s, the event time, as other files have", file.Path, spec.EventTime)
		}
	}
	return u.schema(files), nil
}

// union is the columns of the files seen so far.
type union struct {
	columns map[string]*unionColumn
	names   []string // in the order of their first appearance
}

type unionColumn struct {
	typ            feature.Type
	physical, file string // of the file that gave typ
	problem        error
}

func (u *union) add(c parquetio.ColumnInfo, file string) {
	known := u.columns[c.Path]
	if known == nil {
		known = &unionColumn{physical: c.Physical, file: file, typ: c.Type}
		u.columns[c.Path] = known
		u.names = append(u.names, c.Path)
	}
	switch t, ok := unite(known.typ, c.Type); {
	case known.problem != nil:
	case !c.Convertible:
		known.problem = feature.Errorf(feature.ErrInvalid, "column %s is %s in %s, which no feature type can hold", c.Path, c.Physical, file)
	case !ok:
		known.problem = feature.Errorf(feature.ErrInvalid, "column %s is %s (%s) in %s and %s (%s) in %s: write one of the files again, or split the source by its glob",
			c.Path, known.typ, known.physical, known.file, c.Type, c.Physical, file)
	case t != known.typ:
		known.typ, known.physical, known.file = t, c.Physical, file
	}
}

// unite returns the narrowest type as which columns of both types can be read.
func unite(a, b feature.Type) (feature.Type, bool) {
	switch {
	case a == b, b.Kind == 0:
		return a, true
	case a.Kind == 0:
		return b, true
	case a.List != b.List:
		return a, false
	}
	if b.Kind < a.Kind {
		a, b = b, a
	}
	switch {
	case a.Kind == feature.Int32 && b.Kind == feature.Int64:
		return b, true
	case a.Kind >= feature.Int32 && b.Kind <= feature.Float64: // integers and float32 too: only float64 holds both
		a.Kind = feature.Float64
		return a, true
	case a.Kind == feature.String && b.Kind == feature.Bytes: // old writers do not mark text as text
		return a, true
	}
	return a, false
}

func (u *union) schema(files []FileStat) *Schema {
	s := NewSchema(nil)
	for _, name := range u.names {
		if c := u.columns[name]; c.problem != nil {
			s.problems[name] = c.problem
		} else {
			s.add(feature.Field{Name: name, Type: c.typ})
		}
	}
	types := folderTypes(files)
	names := make([]string, 0, len(types))
	for name := range types {
		if u.columns[name] == nil { // a column of the files hides a folder
			names = append(names, name)
		}
	}
	slices.SortFunc(names, cmp.Compare[string])
	for _, name := range names {
		s.add(feature.Field{Name: name, Type: feature.Scalar(types[name])})
	}
	return s
}

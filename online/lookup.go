package online

import (
	"context"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
)

// Answer is what the store knows for the keys of a request.
type Answer struct {
	Rows    int
	Columns []Column // in the service's order
}

// Lookup answers a request for the features of svc as of now. keys has one column for each of svc.KeyFields(), all of one length,
// which is the number of rows of the answer; without key fields there is one row. A missing, unknown or unfit column is ErrInvalid.
// All views are read in one snapshot, and each key of a view once, however often it is asked for.
func (s *Store) Lookup(ctx context.Context, svc *feature.Service, keys map[string]arrow.Array, now feature.Time, fullNames bool) (*Answer, error) {
	rows, err := checkKeys(svc, keys)
	if err != nil {
		return nil, err
	}
	questions := make([]*question, len(svc.Refs))
	for i := range svc.Refs {
		questions[i] = &question{view: svc.Refs[i].View, keys: encodeKeys(&svc.Refs[i], keys, rows)}
	}
	if err := s.fetch(ctx, questions); err != nil {
		return nil, err
	}
	a := &Answer{Rows: rows}
	for i, q := range questions {
		ref := &svc.Refs[i]
		columns, err := q.answer(ref.Features, now)
		if err != nil {
			return nil, err
		}
		for j := range columns {
			columns[j].Name, columns[j].Ref = ref.ColumnName(j, fullNames), i
		}
		a.Columns = append(a.Columns, columns...)
	}
	return a, nil
}

// checkKeys returns the number of rows that keys ask for.
func checkKeys(svc *feature.Service, keys map[string]arrow.Array) (rows int, err error) {
	fields := svc.KeyFields()
	var needed []string
	for i, f := range fields {
		needed = append(needed, f.Name+" ("+f.Type.String()+")")
		column, ok := keys[f.Name]
		switch {
		case !ok:
			return 0, feature.Errorf(feature.ErrInvalid, "service %s needs the key column %s (%s)", svc.Name, f.Name, f.Type)
		case !arrow.TypeEqual(column.DataType(), f.Type.Arrow()):
			return 0, feature.Errorf(feature.ErrInvalid, "key column %s holds %s, service %s needs %s", f.Name, column.DataType(), svc.Name, f.Type)
		case i == 0:
			rows = column.Len()
		case column.Len() != rows:
			return 0, feature.Errorf(feature.ErrInvalid, "key column %s has %d values, %s has %d: all need the same number", f.Name, column.Len(), fields[0].Name, rows)
		}
	}
	for i := range svc.Refs {
		for j, key := range svc.Refs[i].View.Keys {
			// A column may serve several views, which then have to agree on its type.
			if name := svc.Refs[i].KeyColumns[j]; !arrow.TypeEqual(keys[name].DataType(), key.Type.Arrow()) {
				return 0, feature.Errorf(feature.ErrInvalid, "key column %s holds %s, view %s needs %s: ask for its features apart, or map its key to another column",
					name, keys[name].DataType(), svc.Refs[i].Name(), key.Type)
			}
		}
	}
	if len(fields) == 0 {
		rows = 1
	}
	if len(keys) == len(fields) {
		return rows, nil
	}
	for name := range keys {
		known := false
		for _, f := range fields {
			known = known || f.Name == name
		}
		if !known && len(fields) == 0 {
			return 0, feature.Errorf(feature.ErrInvalid, "service %s takes no keys, %s is one", svc.Name, name)
		}
		if !known {
			return 0, feature.Errorf(feature.ErrInvalid, "service %s has no key column %s: it needs %s", svc.Name, name, strings.Join(needed, ", "))
		}
	}
	return rows, nil
}

// encodeKeys returns the entity keys of ref, nil where a part is NULL.
func encodeKeys(ref *feature.Ref, columns map[string]arrow.Array, rows int) []feature.Key {
	keys := make([]feature.Key, rows)
	var buffer []byte
	for i := range keys {
		from, ok := len(buffer), true
		for _, name := range ref.KeyColumns {
			var part feature.Key
			if part, ok = feature.AppendKeyPart(buffer, columns[name], i); !ok {
				break
			}
			buffer = part
		}
		if ok && len(ref.KeyColumns) > 0 {
			keys[i] = feature.Key(buffer[from:len(buffer):len(buffer)])
		} else {
			buffer = buffer[:from]
		}
	}
	return keys
}

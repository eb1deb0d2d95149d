package definitions

import "regexp"

// shape says which YAML nodes are well formed in one place of a file. The checker (check.go) and the JSON Schema
// (schema.go) are two readings of it.
type shape struct {
	kind shapeKind
	// what completes "must be ..." in messages and describes the value in the schema.
	what string
	// pattern holds for a text; empty means any text with at least one character.
	pattern string
	// options are the only values of a text, when given; plural names them in hints.
	options []string
	plural  string
	// bytesMax bounds a text; 0 is no bound of its own.
	bytesMax int
	// nullable allows an empty value, as a heading with nothing below it yet.
	nullable bool
	// key and item are the shapes of a dict's keys and values; item also that of a list's items.
	key, item *shape
	// itemsMin is the least number of a list's items.
	itemsMin int
	// noun is what messages call an item of a list. fields and exclusive (two fields that rule each other out, and of which
	// either must be there) belong to a record; ident is the field that names it in messages.
	noun, ident string
	fields      []field
	exclusive   [2]string
	either      bool
}

// field is one named part of a record.
type field struct {
	name     string
	required bool
	shape    *shape
	doc      string
}

type shapeKind uint8

const (
	textShape    shapeKind = iota + 1 // a text
	flagShape                         // true or false
	scalarShape                       // text, number, true or false
	valueShape                        // a scalar, a list of scalars, or null
	numberShape                       // a number
	numbersShape                      // a number, or a list of them
	listShape                         // a sequence of item
	dictShape                         // a mapping from free keys to item
	recordShape                       // a mapping with known fields
)

// matches reports whether text has the shape's form.
func (s *shape) matches(text string) bool {
	switch {
	case text == "", s.bytesMax > 0 && len(text) > s.bytesMax:
		return false
	case len(s.options) > 0:
		for _, o := range s.options {
			if o == text {
				return true
			}
		}
		return false
	case s.pattern != "":
		return regexp.MustCompile(s.pattern).MatchString(text)
	}
	return true
}

// fieldNames returns the names of a record's fields in the order of the table.
func (s *shape) fieldNames() []string {
	names := make([]string, len(s.fields))
	for i, f := range s.fields {
		names[i] = f.name
	}
	return names
}

// field returns the named field of a record.
func (s *shape) field(name string) (field, bool) {
	for _, f := range s.fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

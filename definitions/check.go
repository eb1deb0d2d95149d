package definitions

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// checker holds the nodes of one file against the table of shapes and gathers faults.
type checker struct {
	file   *file
	faults Faults
	// bad are the nodes that have a fault: later stages leave them alone, so that one mistake gives one fault.
	bad map[*yaml.Node]bool
}

// fileLabel is what messages call the root of a file.
const fileLabel = "the file"

// fault notes a fault at n.
func (c *checker) fault(n *yaml.Node, hint, format string, args ...any) {
	c.bad[n] = true
	c.faults = append(c.faults, Fault{File: c.file.name, Line: n.Line, Column: n.Column,
		Message: fmt.Sprintf(format, args...), Hint: hint})
}

// check holds n, which messages call label, against s.
func (c *checker) check(n *yaml.Node, s *shape, label string) {
	n = deref(n)
	if n.ShortTag() == "!!null" && n.Kind == yaml.ScalarNode && s.kind != valueShape {
		if !s.nullable {
			c.fault(n, "give it a value, or remove the line", "%s has no value: it must be %s", label, s.what)
		}
		return
	}
	if !fits(n, s.kind) {
		c.fault(n, kindHint(n, s), "%s must be %s, not %s", label, s.what, describe(n))
		return
	}
	switch s.kind {
	case textShape:
		if !s.matches(n.Value) {
			c.fault(n, textHint(n.Value, s, label), "%s must be %s, not %q", label, s.what, n.Value)
		}
	case valueShape:
		for _, item := range n.Content {
			if !fits(deref(item), scalarShape) {
				c.fault(n, "", "%s must be %s, and holds %s", label, s.what, describe(deref(item)))
				return
			}
		}
	case numbersShape:
		c.checkNumbers(n, s, label)
	case listShape:
		if len(n.Content) < s.itemsMin {
			c.fault(n, "", "%s is empty: at least %d is needed", label, s.itemsMin)
		}
		for i, item := range n.Content {
			c.check(item, s.item, itemLabel(deref(item), s.item, i, label))
		}
	case dictShape:
		c.checkDict(n, s, label)
	case recordShape:
		c.checkRecord(n, s, label)
	}
}

// checkNumbers looks at the items of a list of numbers; a number alone is one.
func (c *checker) checkNumbers(n *yaml.Node, s *shape, label string) {
	if fits(n, listShape) && len(n.Content) < s.itemsMin {
		c.fault(n, "", "%s is empty: at least %d is needed", label, s.itemsMin)
	}
	for _, item := range n.Content {
		if !fits(deref(item), numberShape) {
			c.fault(n, "", "%s must be %s, and holds %s", label, s.what, describe(deref(item)))
			return
		}
	}
}

func (c *checker) checkDict(n *yaml.Node, s *shape, label string) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		if !fits(key, textShape) || !s.key.matches(key.Value) {
			c.fault(key, textHint(key.Value, s.key, label), "%s: a key must be %s, not %s", label, s.key.what, describe(key))
			continue
		}
		if seen[key.Value] {
			c.fault(key, "", "%s of %s is given twice", key.Value, label)
		}
		seen[key.Value] = true
		c.check(value, s.item, key.Value+" of "+label)
	}
}

func (c *checker) checkRecord(n *yaml.Node, s *shape, label string) {
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		f, known := s.field(key.Value)
		switch {
		case key.Kind != yaml.ScalarNode || !known:
			c.fault(key, unknownHint(key, s), "%s has no field %s", label, describeKey(key))
		case seen[f.name] != nil:
			c.fault(key, "", "%s of %s is given twice", f.name, label)
		default:
			seen[f.name] = key
			c.check(value, f.shape, f.name+" of "+label)
		}
	}
	for _, f := range s.fields {
		if f.required && seen[f.name] == nil {
			c.fault(n, "add "+f.name+": "+strings.ToLower(f.doc[:1])+strings.TrimSuffix(f.doc[1:], "."), "%s has no %s", label, f.name)
		}
	}
	a, b := seen[s.exclusive[0]], seen[s.exclusive[1]]
	if a != nil && b != nil {
		c.fault(b, "keep one of them", "%s has both %s and %s", label, s.exclusive[0], s.exclusive[1])
	}
	if s.either && a == nil && b == nil {
		c.fault(n, "add one of them", "%s has neither %s nor %s", label, s.exclusive[0], s.exclusive[1])
	}
}

// deref follows aliases; expand has made sure that it ends.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// fits reports whether n is of the YAML kind that a shape wants.
func fits(n *yaml.Node, kind shapeKind) bool {
	tag := n.ShortTag()
	switch kind {
	case textShape:
		return n.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!timestamp" || tag == "!!merge")
	case flagShape:
		return n.Kind == yaml.ScalarNode && tag == "!!bool"
	case scalarShape:
		return fits(n, textShape) || fits(n, flagShape) ||
			n.Kind == yaml.ScalarNode && (tag == "!!int" || tag == "!!float" || tag == "!!binary")
	case valueShape:
		return fits(n, scalarShape) || fits(n, listShape) || n.Kind == yaml.ScalarNode && tag == "!!null"
	case numberShape:
		return n.Kind == yaml.ScalarNode && (tag == "!!int" || tag == "!!float")
	case numbersShape:
		return fits(n, numberShape) || fits(n, listShape)
	case listShape:
		return n.Kind == yaml.SequenceNode && tag == "!!seq"
	case dictShape, recordShape:
		return n.Kind == yaml.MappingNode && tag == "!!map"
	}
	return false
}

// describe says what n is, as in "must be a duration, not the number 5".
func describe(n *yaml.Node) string {
	switch tag := n.ShortTag(); {
	case n.Kind == yaml.SequenceNode && tag == "!!seq":
		return "a list"
	case n.Kind == yaml.MappingNode && tag == "!!map":
		return "a mapping"
	case tag == "!!int", tag == "!!float":
		return "the number " + n.Value
	case tag == "!!bool":
		return n.Value
	case tag == "!!null":
		return "nothing"
	case fits(n, textShape):
		return fmt.Sprintf("%q", n.Value)
	default:
		return "something tagged " + tag
	}
}

func describeKey(key *yaml.Node) string {
	if key.Kind == yaml.ScalarNode {
		return fmt.Sprintf("%q", key.Value)
	}
	return "that is " + describe(key)
}

// kindHint is the hint for a node of the wrong YAML kind.
func kindHint(n *yaml.Node, s *shape) string {
	scalar := n.Kind == yaml.ScalarNode
	switch {
	case s.kind == flagShape && scalar:
		return "write true or false"
	case s.kind == textShape && (s.pattern == durationShape().pattern || s.pattern == windowShape().pattern) && scalar:
		return "give it a unit: " + n.Value + "s, " + n.Value + "m, " + n.Value + "h or " + n.Value + "d"
	case s.kind == textShape && scalar && fits(n, scalarShape):
		return fmt.Sprintf("quote it: %q", n.Value)
	case s.kind == listShape && n.Kind == yaml.MappingNode:
		return "begin each item with a dash (- )"
	}
	return ""
}

// textHint is the hint for a text, which messages call label, that has not the form of s.
func textHint(text string, s *shape, label string) string {
	if len(s.options) > 0 {
		if own := ownType(text); own != "" && s.matches(own) {
			return "write " + own
		}
		return didYouMean(text, s.plural, s.options)
	}
	if s.pattern != nameShape().pattern {
		return ""
	}
	plain := strings.Map(func(r rune) rune {
		if r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, text)
	switch {
	case !s.matches(plain) || plain == text:
		return ""
	case strings.HasPrefix(label, "name of feature "):
		return fmt.Sprintf("use a plain name and say where it comes from: {name: %s, column: %s}", plain, text)
	}
	return "use " + plain
}

// ownType returns our name of a type that others call otherwise, "" when it is none of those.
func ownType(name string) string {
	name = strings.ToLower(name)
	if elem, ok := strings.CutPrefix(name, "array<"); ok {
		name = "list<" + elem
	}
	if elem, ok := strings.CutPrefix(name, "list<"); ok {
		elem = strings.TrimSuffix(elem, ">")
		if own := ownType(elem); own != "" {
			elem = own
		}
		return "list<" + elem + ">"
	}
	switch name {
	case "int", "integer", "long", "bigint":
		return "int64"
	case "smallint", "tinyint", "int16", "int8":
		return "int32"
	case "double", "number", "decimal":
		return "float64"
	case "float", "real":
		return "float32"
	case "text", "str", "varchar", "utf8":
		return "string"
	case "boolean":
		return "bool"
	case "binary", "blob":
		return "bytes"
	case "datetime", "date", "timestamp_ms", "timestamp_us":
		return "timestamp"
	}
	return ""
}

// unknownHint is the hint for a field that a record does not have.
func unknownHint(key *yaml.Node, s *shape) string {
	if key.ShortTag() == "!!merge" {
		return "merge keys (<<) are not part of definitions: repeat the fields"
	}
	return didYouMean(key.Value, "its fields", s.fieldNames())
}

// itemLabel names the i-th item of a list in messages: "view spend", or "feature 3 of view spend" while it has no name.
func itemLabel(n *yaml.Node, s *shape, i int, list string) string {
	owner := ""
	if _, parent, _ := strings.Cut(list, " of "); parent != fileLabel {
		owner = " of " + parent
	}
	if s.kind == recordShape && s.ident != "" && n.Kind == yaml.MappingNode {
		f, _ := s.field(s.ident)
		for j := 0; j+1 < len(n.Content); j += 2 {
			value := deref(n.Content[j+1])
			if n.Content[j].Value == s.ident && fits(value, textShape) && f.shape.matches(value.Value) {
				return s.noun + " " + value.Value + owner
			}
		}
	}
	return fmt.Sprintf("%s %d%s", s.noun, i+1, owner)
}

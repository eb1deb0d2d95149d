package definitions

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// object reads the fields of a record that has been checked. What was found faulty reads as absent.
type object struct {
	c     *checker
	node  *yaml.Node
	label string // what messages call it
}

// pair is an entry of a dict.
type pair struct{ key, value *yaml.Node }

// get returns the value of a field, or nil where it is absent, empty or faulty.
func (o object) get(field string) *yaml.Node {
	if o.node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(o.node.Content); i += 2 {
		key := deref(o.node.Content[i])
		if key.Kind != yaml.ScalarNode || key.Value != field {
			continue
		}
		value := deref(o.node.Content[i+1])
		if o.c.bad[value] {
			return nil
		}
		return value
	}
	return nil
}

// has reports whether the field is written at all, faulty or not.
func (o object) has(field string) bool {
	if o.node.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(o.node.Content); i += 2 {
		if deref(o.node.Content[i]).Value == field {
			return true
		}
	}
	return false
}

// text returns the text of a field and its node, or "" and nil.
func (o object) text(field string) (string, *yaml.Node) {
	n := o.get(field)
	if n == nil || !fits(n, textShape) {
		return "", nil
	}
	return n.Value, n
}

// flag returns a field that is true or false, or standard where it is absent.
func (o object) flag(field string, standard bool) bool {
	n := o.get(field)
	if n == nil || !fits(n, flagShape) {
		return standard
	}
	return strings.EqualFold(n.Value, "true")
}

// items returns the sound items of a list field.
func (o object) items(field string) []*yaml.Node {
	n := o.get(field)
	if n == nil || !fits(n, listShape) {
		return nil
	}
	var items []*yaml.Node
	for _, c := range n.Content {
		if item := deref(c); !o.c.bad[item] {
			items = append(items, item)
		}
	}
	return items
}

// records returns the items of a list field that are records, also those with a fault of their own: their other
// fields are worth checking.
func (o object) records(field string) []*yaml.Node {
	n := o.get(field)
	if n == nil || !fits(n, listShape) {
		return nil
	}
	var records []*yaml.Node
	for _, c := range n.Content {
		if item := deref(c); fits(item, recordShape) {
			records = append(records, item)
		}
	}
	return records
}

// pairs returns the sound entries of a dict field in the order in which they are written.
func (o object) pairs(field string) []pair {
	n := o.get(field)
	if n == nil || !fits(n, dictShape) {
		return nil
	}
	var pairs []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), deref(n.Content[i+1])
		if !o.c.bad[key] && !o.c.bad[value] {
			pairs = append(pairs, pair{key, value})
		}
	}
	return pairs
}

// mentions reports whether a dict field has an entry for key, faulty or not.
func (o object) mentions(field, key string) bool {
	n := o.get(field)
	for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
		if deref(n.Content[i]).Value == key {
			return true
		}
	}
	return false
}

// notes returns the fields that every construct has.
func (o object) notes() Notes {
	n := Notes{}
	n.Description, _ = o.text("description")
	n.Owner, _ = o.text("owner")
	for _, p := range o.pairs("tags") {
		if n.Tags == nil {
			n.Tags = map[string]string{}
		}
		n.Tags[p.key.Value] = p.value.Value
	}
	return n
}

// namespace knows the names of one kind of construct, faulty ones too, so that a reference to one is no second fault.
type namespace struct {
	noun, heading string // one of them; the list that they stand in
	names         []string
	place         map[string]string // by name in lower case, where it was first defined
}

func newNamespace(noun, heading string) *namespace {
	return &namespace{noun: noun, heading: heading, place: map[string]string{}}
}

// define takes the name of o into the namespace and returns it, "" when it has none. A name that is taken is a fault;
// names that differ in case alone count as one: they become directories and columns in places that do not tell them
// apart. The rest of o is worth checking all the same.
func (s *namespace) define(o object) string {
	name, n := o.text("name")
	if n == nil {
		return ""
	}
	if first, taken := s.place[strings.ToLower(name)]; taken {
		o.c.fault(n, "choose another name; upper and lower case count as one", "%s %s is already defined at %s", s.noun, name, first)
		return name
	}
	s.place[strings.ToLower(name)] = fmt.Sprintf("%s:%d", o.c.file.name, n.Line)
	s.names = append(s.names, name)
	return name
}

// refer checks the name that a field of o gives and returns it; "" when it is absent or unknown, which is a fault
// unless partial tells that not all definitions could be read.
func (s *namespace) refer(o object, field string, partial bool) string {
	name, n := o.text(field)
	if n == nil || !s.knows(o, n, partial) {
		return ""
	}
	return name
}

// knows reports whether the name at n is known; it is a fault if not, unless partial.
func (s *namespace) knows(o object, n *yaml.Node, partial bool) bool {
	if slices.Contains(s.names, n.Value) {
		return true
	}
	if !partial {
		hint := didYouMean(n.Value, "the "+s.heading, s.names)
		if hint == "" {
			hint = "define it under " + s.heading
		}
		o.c.fault(n, hint, "%s: unknown %s %s", o.label, s.noun, n.Value)
	}
	return false
}

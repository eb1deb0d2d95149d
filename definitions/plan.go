package definitions

import (
	"fmt"
	"strings"
)

// Action is what a plan does to a construct.
type Action string

// The actions.
const (
	Create Action = "create"
	Modify Action = "change"
	Remove Action = "remove"
)

// Plan is the difference between two sets of definitions: their root, entities, sources, views, services, each kind by
// name.
type Plan struct {
	Changes []Change `json:"changes"`
}

// Change is what a plan does to one construct.
type Change struct {
	Action Action `json:"action"`
	Kind   string `json:"kind"` // root, entity, source, view or service
	Name   string `json:"name"` // "" for the root
	// Rebuild tells of a changed view that its stored rows are no longer what the definition says: the next
	// materialization computes its history again. Without it the change acts on reading alone.
	Rebuild bool     `json:"rebuild,omitempty"`
	Details []Detail `json:"details,omitempty"` // of a change: what differs
}

// Detail is an attribute before and after; "" where it is not given.
type Detail struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// NewPlan returns what applying the model next changes when current is what was applied last; nil for nothing yet.
func NewPlan(current, next *Model) Plan {
	var before []construct
	if current != nil {
		before = current.constructs()
	}
	after := next.constructs()
	var p Plan
	if current != nil && current.Root != next.Root {
		p.Changes = append(p.Changes, Change{Action: Modify, Kind: "root", Details: []Detail{{"directory", current.Root, next.Root}}})
	}
	for _, kind := range kinds() {
		for _, c := range after {
			if c.kind != kind {
				continue
			}
			if old, ok := lookup(before, c); !ok {
				p.Changes = append(p.Changes, Change{Action: Create, Kind: kind, Name: c.name})
			} else if details, rebuild := compare(old, c); len(details) > 0 {
				p.Changes = append(p.Changes, Change{Action: Modify, Kind: kind, Name: c.name, Details: details, Rebuild: rebuild})
			}
		}
		for _, c := range before {
			if _, ok := lookup(after, c); c.kind == kind && !ok {
				p.Changes = append(p.Changes, Change{Action: Remove, Kind: kind, Name: c.name})
			}
		}
	}
	return p
}

func lookup(all []construct, wanted construct) (construct, bool) {
	for _, c := range all {
		if c.kind == wanted.kind && c.name == wanted.name {
			return c, true
		}
	}
	return construct{}, false
}

// compare returns what differs between two states of a construct, and whether stored rows depend on it.
func compare(before, after construct) (details []Detail, rebuild bool) {
	old := map[string]attribute{}
	for _, a := range before.attributes {
		old[a.name] = a
	}
	note := func(a attribute, was, is string) {
		details = append(details, Detail{Name: a.name, Old: was, New: is})
		rebuild = rebuild || a.stored
	}
	for _, a := range after.attributes {
		if was := old[a.name]; was.value != a.value && !follows(a.name, was.value, a.value) {
			note(a, was.value, a.value)
		}
		delete(old, a.name)
	}
	for _, a := range before.attributes {
		if _, gone := old[a.name]; gone && a.value != "" && !follows(a.name, a.value, "") {
			note(a, a.value, "")
		}
	}
	return details, rebuild && after.kind == "view"
}

// follows reports whether the change of an attribute only follows from others that are shown: an order from what came
// and went, a column's type from the expressions that began or ceased to use it.
func follows(name, old, new string) bool {
	return strings.HasPrefix(name, orderOf) && !permuted(old, new) || strings.HasPrefix(name, typeOf) && (old == "" || new == "")
}

// permuted reports whether two lists of names differ in order alone; what came and went is told for itself.
func permuted(a, b string) bool {
	count := map[string]int{}
	for _, n := range strings.Split(a, ", ") {
		count[n]++
	}
	for _, n := range strings.Split(b, ", ") {
		count[n]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// Empty reports whether the plan changes nothing.
func (p Plan) Empty() bool { return len(p.Changes) == 0 }

// Rebuilds returns the names of the changed views whose history the next materialization computes again.
func (p Plan) Rebuilds() []string {
	var names []string
	for _, c := range p.Changes {
		if c.Rebuild {
			names = append(names, c.Name)
		}
	}
	return names
}

// String returns the plan in lines for people: + for what is created, ~ changed, - removed; below a change what
// differs; at the end the counts.
func (p Plan) String() string {
	if p.Empty() {
		return "Nothing changes.\n"
	}
	var b strings.Builder
	counts := map[Action]int{}
	for _, c := range p.Changes {
		counts[c.Action]++
		b.WriteString(strings.TrimSpace(c.sign() + " " + c.Kind + " " + c.Name))
		switch {
		case c.Rebuild:
			b.WriteString("   (rebuild: stored rows change)")
		case c.Action == Modify && c.Kind == "view":
			b.WriteString("   (read-time only: stored rows stay)")
		}
		b.WriteByte('\n')
		for _, d := range c.Details {
			fmt.Fprintf(&b, "    %s: %s -> %s\n", d.Name, orNone(d.Old), orNone(d.New))
		}
	}
	fmt.Fprintf(&b, "%d to create, %d to change, %d to remove.\n", counts[Create], counts[Modify], counts[Remove])
	return b.String()
}

func (c Change) sign() string {
	switch c.Action {
	case Create:
		return "+"
	case Remove:
		return "-"
	}
	return "~"
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

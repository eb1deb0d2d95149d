package definitions

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/source"
)

// construct is an entity, source, view, on_demand entry or service as a list of attributes: what hashes and plans are made from.
type construct struct {
	kind, name string
	attributes []attribute
}

// attribute is one thing that definitions say of a construct.
type attribute struct {
	name, value string
	// stored tells that a view's rows in the offline store depend on it.
	stored bool
}

// kinds are the kinds of constructs in the order in which plans show them.
func kinds() []string { return []string{"entity", "source", "view", "on_demand", "service"} }

// constructs returns everything that the model defines, ordered by kind and name.
func (m *Model) constructs() []construct {
	var all []construct
	for _, e := range m.Entities {
		all = append(all, construct{"entity", e.Name, append(keyAttributes(e.Keys), noteAttributes("", e.Notes)...)})
	}
	for _, s := range m.Sources {
		all = append(all, construct{"source", s.Name, append(sourceAttributes(s), noteAttributes("", s.Notes)...)})
	}
	for _, v := range m.Views {
		all = append(all, construct{"view", v.Name, viewAttributes(v)})
	}
	for _, o := range m.OnDemand {
		all = append(all, construct{"on_demand", o.Name, append(onDemandAttributes(o), noteAttributes("", o.Notes)...)})
	}
	for _, s := range m.Services {
		all = append(all, construct{"service", s.Name, append(serviceAttributes(s), noteAttributes("", s.Notes)...)})
	}
	slices.SortFunc(all, func(a, b construct) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds(), a.kind), slices.Index(kinds(), b.kind)), cmp.Compare(a.name, b.name))
	})
	return all
}

func keyAttributes(keys []feature.Field) []attribute {
	attributes := []attribute{{name: orderOf + "key", value: fieldNames(keys)}}
	for _, k := range keys {
		attributes = append(attributes, attribute{name: "key " + k.Name, value: k.Type.String()})
	}
	return attributes
}

func sourceAttributes(s *Source) []attribute {
	badRows := "fail"
	if s.BadRows == source.BadRowsSkip {
		badRows = "skip"
	}
	return []attribute{
		{name: "parquet", value: s.Glob, stored: true},
		{name: "event_time", value: s.EventTime, stored: true},
		{name: "created_time", value: s.CreatedTime, stored: true},
		// Not stored: a run over rows that `fail` lets pass keeps the same rows under `skip`.
		{name: "bad_rows", value: badRows},
	}
}

func noteAttributes(prefix string, n Notes) []attribute {
	attributes := []attribute{{name: prefix + "description", value: n.Description}, {name: prefix + "owner", value: n.Owner}}
	for _, k := range slices.Sorted(maps.Keys(n.Tags)) {
		attributes = append(attributes, attribute{name: prefix + "tag " + k, value: n.Tags[k]})
	}
	return attributes
}

// orderOf begins the name of an attribute that is the order of others.
const orderOf = "order of "

// typeOf begins the name of an attribute that is the type of a column used in expressions.
const typeOf = "type of column "

// viewAttributes returns all that determines a view: first what its stored rows come from, then what acts on reading.
func viewAttributes(v *View) []attribute {
	var a []attribute
	for _, s := range sourceAttributes(v.Source) {
		if s.stored { // by what it says, not by its name: a renamed source gives the same rows
			a = append(a, attribute{"source " + s.name, s.value, true})
		}
	}
	a = append(a, attribute{orderOf + "key", fieldNames(v.Keys), true})
	for i, k := range v.Keys {
		a = append(a, attribute{"key " + k.Name, k.Type.String() + " from column " + v.KeyColumns[i], true})
	}
	where := ""
	computed := map[string]bool{}
	if v.Where != nil {
		where = v.Where.SparkSQL()
		markColumns(computed, v.Where.Columns())
	}
	a = append(a, attribute{"where", where, true})
	// A latest-value view stores its features, a windowed one what its inputs are added up to.
	stored, programs, what := make([]feature.Field, len(v.Features)), v.Programs, "feature"
	for i, f := range v.Features {
		stored[i] = f.Field
	}
	if v.Windowed() {
		stored, programs, what = v.Inputs, v.InputPrograms, "input"
		a = append(a, tileAttributes(v)...)
	}
	for _, i := range inOrder(stored, v.Windowed()) {
		f := stored[i]
		a = append(a, attribute{what + " " + f.Name, f.Type.String() + " = " + programs[i].SparkSQL(), true})
		if _, plain := programs[i].IsColumn(); !plain {
			markColumns(computed, programs[i].Columns())
		}
	}
	if !v.Windowed() { // the states of tiles are stored in an order of their own
		a = append(a, attribute{orderOf + what, fieldNames(stored), true})
	}
	for _, c := range v.columns {
		if computed[c.Name] { // 7 / 2 is not the same for integers and doubles
			a = append(a, attribute{typeOf + c.Name, c.Type.String(), true})
		}
	}
	return append(a, readAttributes(v)...)
}

// inOrder returns the indices of fields, by name where their order means nothing.
func inOrder(fields []feature.Field, byName bool) []int {
	order := make([]int, len(fields))
	for i := range order {
		order[i] = i
	}
	if byName {
		slices.SortFunc(order, func(a, b int) int { return cmp.Compare(fields[a].Name, fields[b].Name) })
	}
	return order
}

// tileAttributes returns what determines the tiles of a windowed view beside its inputs.
func tileAttributes(v *View) []attribute {
	a := []attribute{{"granularity", formatLength(v.Granularity), true}}
	for _, s := range v.States {
		a = append(a, attribute{"state " + s.Name, s.Type.String(), true})
	}
	if v.Granularity > 0 { // which end a tile includes
		a = append(a, attribute{"tile includes its later end", strconv.FormatBool(!v.StrictlyBefore), true})
	}
	return a
}

// aggregationAttributes returns what a windowed view makes of its tiles.
func aggregationAttributes(v *View) []attribute {
	var a []attribute
	names := make([]feature.Field, len(v.Features))
	for i, f := range v.Features {
		names[i] = f.Field
		a = append(a, attribute{name: "feature " + f.Name, value: describeAggregation(f.Aggregation)})
	}
	return append(a, attribute{name: orderOf + "feature", value: fieldNames(names)})
}

// describeAggregation says what an aggregation is, as in "avg of amount over 7d".
func describeAggregation(g *feature.Aggregation) string {
	text := g.Function
	if g.N > 0 {
		text += fmt.Sprintf("(n %d)", g.N)
	}
	if g.Precision > 0 {
		text += fmt.Sprintf("(precision %d)", g.Precision)
	}
	if len(g.P) > 0 {
		text += fmt.Sprintf("(p %s, accuracy %s)", percentiles(g.Parameters), plain(g.Accuracy))
	}
	window := "all of time"
	if g.Window > 0 {
		window = FormatDuration(g.Window)
	}
	return text + " of " + g.Input.Name + " over " + window
}

func percentiles(p feature.Parameters) string {
	texts := make([]string, len(p.P))
	for i, v := range p.P {
		texts[i] = plain(v)
	}
	if !p.PList {
		return texts[0]
	}
	return "[" + strings.Join(texts, " ") + "]"
}

func formatLength(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return FormatDuration(d)
}

// readAttributes returns what acts on reading a view's rows.
func readAttributes(v *View) []attribute {
	a := []attribute{
		{name: "entity", value: v.Entity.Name},
		{name: "source", value: v.Source.Name},
		{name: "ttl", value: formatLength(v.TTL)},
		{name: "delay", value: FormatDuration(v.Delay)},
		{name: "allow_exact_matches", value: strconv.FormatBool(!v.StrictlyBefore)},
		{name: "schedule", value: v.ScheduleText},
		{name: "online", value: strconv.FormatBool(v.Online)},
	}
	if v.Windowed() {
		a = append(a, aggregationAttributes(v)...)
	}
	for i := range v.Features {
		a = append(a, featureAttributes(&v.Features[i])...)
	}
	return append(a, noteAttributes("", v.Notes)...)
}

// featureAttributes returns what a feature says beside its type and where it comes from.
func featureAttributes(f *feature.Feature) []attribute {
	prefix := "feature " + f.Name + " "
	a := []attribute{{name: prefix + "default", value: formatDefault(f.Default)}}
	return append(a, noteAttributes(prefix, Notes{f.Description, f.Owner, f.Tags})...)
}

func markColumns(set map[string]bool, names []string) {
	for _, n := range names {
		set[n] = true
	}
}

// onDemandAttributes returns what determines on-demand features. None of it is stored.
func onDemandAttributes(o *OnDemand) []attribute {
	var a []attribute
	for _, f := range o.Request {
		a = append(a, attribute{name: "request " + f.Name, value: f.Type.String()})
	}
	for _, name := range slices.Sorted(maps.Keys(o.Views)) {
		a = append(a, attribute{name: "view " + name, value: o.Views[name]})
	}
	for i := range o.Features {
		f := &o.Features[i]
		a = append(a, attribute{name: "feature " + f.Name, value: f.Type.String() + " = " + f.Program.SparkSQL()})
		a = append(a, featureAttributes(&f.Feature)...)
	}
	return append(a, attribute{name: orderOf + "feature", value: strings.Join(featureNames(o.OnDemand), ", ")})
}

// serviceAttributes returns the parts of a service, and their order.
func serviceAttributes(s *Service) []attribute {
	var names []string
	var a []attribute
	columns := s.Columns(false)
	for len(columns) > 0 {
		name := s.PartName(columns[0])
		next := slices.IndexFunc(columns, func(c feature.ServiceColumn) bool { return s.PartName(c) != name })
		if next < 0 {
			next = len(columns)
		}
		names = append(names, name)
		a = append(a, attribute{name: "features " + name, value: describePart(s, columns[:next])})
		columns = columns[next:]
	}
	return append(a, attribute{name: orderOf + "features", value: strings.Join(names, ", ")})
}

// describePart says what a service takes of a view or on_demand entry, whose columns are given.
func describePart(s *Service, columns []feature.ServiceColumn) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = s.Definition(c).Name
	}
	value, alias := strings.Join(names, ", "), ""
	if c := columns[0]; c.Ref < 0 {
		computed := &s.Computed[c.Feature]
		value, alias = value+" of on_demand "+computed.OnDemand.Name, computed.Alias
		views := s.views[computed.Name()]
		for _, name := range slices.Sorted(maps.Keys(views)) {
			value += fmt.Sprintf(", %s is %s", name, views[name])
		}
	} else {
		r := &s.Refs[c.Ref]
		value, alias = value+" of view "+r.View.Name, r.Alias
		for j, k := range r.View.Keys {
			if r.KeyColumns[j] != k.Name {
				value += fmt.Sprintf(", %s from %s", k.Name, r.KeyColumns[j])
			}
		}
	}
	if alias != "" {
		value += ", as " + alias
	}
	return value
}

func fieldNames(fields []feature.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return strings.Join(names, ", ")
}

// hashRows identifies what determines stored rows: the stored attributes, in order, since the order of columns is
// stored too.
func hashRows(attributes []attribute) string {
	h := sha256.New()
	fmt.Fprintln(h, "asof rows 1")
	for _, a := range attributes {
		if a.stored {
			fmt.Fprintf(h, "%q %q\n", a.name, a.value)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hashModel identifies everything that constructs say.
func hashModel(all []construct) string {
	h := sha256.New()
	fmt.Fprintln(h, "asof definitions 1")
	for _, c := range all {
		fmt.Fprintf(h, "%q %q\n", c.kind, c.name)
		for _, a := range c.attributes {
			if a.value != "" {
				fmt.Fprintf(h, "  %q %q\n", a.name, a.value)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

package expr

import (
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
)

// function is one built-in function: how it is called, how its types are checked, how it runs.
type function struct {
	name             string
	usage            string // how it is written, for messages
	argsMin, argsMax int    // argsMax -1: no bound
	// check gives n its type and brings its arguments to theirs.
	check func(c *checker, n *node) error
	plan  func(p *planner, n *node) kernel
}

// functions lists the built-in functions. To add one: a line here, a kernel that plan returns, a sentence in
// docs/expressions.md, a script in testdata and a case in the twin of the tests.
func functions() []function {
	text, times := feature.Scalar(feature.String), feature.Scalar(feature.Timestamp)
	whole, float := feature.Scalar(feature.Int64), feature.Scalar(feature.Float64)
	int32s := feature.Scalar(feature.Int32)
	return []function{
		{"abs", "abs(x)", 1, 1, checkNumber, planAbs},
		{"ceil", "ceil(x)", 1, 1, checkWhole, planCeil},
		{"floor", "floor(x)", 1, 1, checkWhole, planFloor},
		{"round", "round(x) or round(x, 2)", 1, 2, checkRound, planRound},
		{"sqrt", "sqrt(x)", 1, 1, signature(float, float), planFloat(sqrt)},
		{"ln", "ln(x)", 1, 1, signature(float, float), planFloat(ln)},
		{"log10", "log10(x)", 1, 1, signature(float, float), planFloat(log10)},
		{"exp", "exp(x)", 1, 1, signature(float, float), planFloat(exp)},
		{"pow", "pow(x, y)", 2, 2, signature(float, float, float), planPow},
		{"least", "least(a, b, ...)", 2, -1, checkOrdered, planExtreme},
		{"greatest", "greatest(a, b, ...)", 2, -1, checkOrdered, planExtreme},
		{"if", "if(condition, then, else)", 3, 3, checkIf, planIf},
		{"coalesce", "coalesce(a, b, ...)", 1, -1, checkCoalesce, planCoalesce},
		{"nullif", "nullif(a, b)", 2, 2, checkNullif, planNullif},
		{"lower", "lower(s)", 1, 1, signature(text, text), planTexts(lower)},
		{"upper", "upper(s)", 1, 1, signature(text, text), planTexts(upper)},
		{"trim", "trim(s)", 1, 1, signature(text, text), planTrim},
		{"length", "length(s)", 1, 1, checkLength, planLength},
		{"concat", "concat(a, b, ...)", 1, -1, checkConcat, planConcat},
		{"substring", "substring(s, start) or substring(s, start, length)", 2, 3, checkSubstring, planSubstring},
		{"hour", "hour(t)", 1, 1, signature(int32s, times), planInt32OfTime(hours)},
		{"dayofweek", "dayofweek(t)", 1, 1, signature(int32s, times), planInt32OfTime(daysOfWeek)},
		{"date_trunc", "date_trunc('day', t)", 2, 2, checkDateTrunc, planDateTrunc},
		{"unix_micros", "unix_micros(t)", 1, 1, signature(whole, times), planUnixMicros},
		{"array", "array(a, b, ...)", 1, -1, checkArray, planArray},
		{"array_size", "size(list)", 1, 1, checkSize, planSize},
	}
}

// functionNamed returns the function of the lower-case name. size is array_size, whose NULL for a NULL list it shares in
// every setting of Spark.
func functionNamed(name string) (function, bool) {
	if name == "size" {
		name = "array_size"
	}
	for _, f := range functions() {
		if f.name == name {
			return f, true
		}
	}
	return function{}, false
}

func functionHint(name string) string {
	var names []string
	for _, f := range functions() {
		names = append(names, f.name)
	}
	if near := nearest.Name(name, append(names, "size")); near != "" {
		return "did you mean " + near + "?"
	}
	return "functions are " + strings.Join(names, ", ") + ", size"
}

// signature checks arguments of fixed types.
func signature(result feature.Type, args ...feature.Type) func(*checker, *node) error {
	return func(c *checker, n *node) error {
		n.typ = result
		for i, t := range args {
			var err error
			if n.args[i], err = c.want(n.args[i], t, n.name); err != nil {
				return err
			}
		}
		return nil
	}
}

// checkNumber: any number, and the result is of its type.
func checkNumber(_ *checker, n *node) error {
	a := n.args[0]
	if a.untyped() {
		return untypedNull(a)
	}
	if !a.typ.IsNumeric() {
		return errorAt(a.pos, "", "%s needs a number, but %s is %s", n.name, a, a.typ)
	}
	n.typ = a.typ
	return nil
}

// checkWhole: any number, and the result is an int64.
func checkWhole(c *checker, n *node) error {
	err := checkNumber(c, n)
	n.typ = feature.Scalar(feature.Int64)
	return err
}

// roundDigitsMax bounds the second argument of round: a float64 has no digits beyond.
const roundDigitsMax = 400

func checkRound(c *checker, n *node) error {
	if err := checkNumber(c, n); err != nil || len(n.args) == 1 {
		return err
	}
	if d, ok := n.args[1].value.(int32); !ok || d < -roundDigitsMax || d > roundDigitsMax {
		return errorAt(n.args[1].pos, "", "the digits of round must be a whole number between %d and %d", -roundDigitsMax, roundDigitsMax)
	}
	return nil
}

func checkOrdered(c *checker, n *node) error {
	if err := c.comparable(n, n.name, n.args); err != nil {
		return err
	}
	n.typ = n.args[0].typ
	return nil
}

func checkIf(c *checker, n *node) error {
	var err error
	if n.args[0], err = c.want(n.args[0], feature.Scalar(feature.Bool), "if"); err != nil {
		return err
	}
	if err := c.alike(n.args[1:]); err != nil {
		return err
	}
	n.typ = n.args[1].typ
	return nil
}

func checkCoalesce(c *checker, n *node) error {
	if err := c.alike(n.args); err != nil {
		return err
	}
	n.typ = n.args[0].typ
	return nil
}

// checkNullif: the result has the first argument's own type; the comparison may be of a wider one.
func checkNullif(c *checker, n *node) error {
	if n.args[0].untyped() {
		return untypedNull(n.args[0])
	}
	n.typ = n.args[0].typ
	return c.comparable(n, n.name, []*node{n.args[0], n.args[1]})
}

func checkLength(c *checker, n *node) error {
	n.typ = feature.Scalar(feature.Int32)
	if n.args[0].typ == feature.Scalar(feature.Bytes) {
		return nil
	}
	return signature(n.typ, feature.Scalar(feature.String))(c, n)
}

// checkConcat: all texts or all bytes.
func checkConcat(c *checker, n *node) error {
	n.typ = feature.Scalar(feature.String)
	if n.args[0].typ.Kind == feature.Bytes {
		n.typ = feature.Scalar(feature.Bytes)
	}
	return c.wantAll(n, n.typ)
}

func checkSubstring(c *checker, n *node) error {
	of := feature.Scalar(feature.String)
	if n.args[0].typ == feature.Scalar(feature.Bytes) {
		of = n.args[0].typ
	}
	for i, a := range n.args[1:] {
		var err error
		if n.args[i+1], err = c.wantWhole(a, n.name); err != nil {
			return err
		}
	}
	return signature(of, of)(c, n)
}

func checkDateTrunc(c *checker, n *node) error {
	unit, _ := n.args[0].value.(string)
	if n.args[0].op != opLiteral || truncUnitOf(unit) == 0 {
		return errorAt(n.args[0].pos, "units are year, quarter, month, week, day, hour, minute, second, millisecond, microsecond",
			"the first argument of date_trunc must be a unit in quotes")
	}
	return signature(feature.Scalar(feature.Timestamp), feature.Scalar(feature.String), feature.Scalar(feature.Timestamp))(c, n)
}

func checkArray(c *checker, n *node) error {
	if err := c.alike(n.args); err != nil {
		return err
	}
	switch a := n.args[0]; {
	case a.untyped():
		return untypedNull(a)
	case a.typ.List:
		return errorAt(a.pos, "", "a list cannot hold lists, but %s is %s", a, a.typ)
	}
	n.typ = feature.ListOf(n.args[0].typ.Kind)
	return nil
}

func checkSize(_ *checker, n *node) error {
	a := n.args[0]
	if !a.typ.List {
		return errorAt(a.pos, "length(s) gives that of a text", "size needs a list, but %s is %s", a, typeText(a))
	}
	n.typ = feature.Scalar(feature.Int32)
	return nil
}

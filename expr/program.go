package expr

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
)

// The bounds of an expression. They are far above what people write and keep compiling and running it cheap.
const (
	sourceBytesMax  = 16 << 10
	nestingDepthMax = 100 // parentheses, brackets, calls and CASE within each other
)

// Options are what Compile can do without.
type Options struct {
	// Names lists the columns that there are, for "did you mean" hints; nil: unknown columns come without a hint.
	Names func() []string
}

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	source  string
	tree    *node
	plan    *plan
	columns []string
}

// Compile parses and type-checks src. typeOf gives the type of a column, by the name as it is referred to: a.b.c is
// the one name "a.b.c", backquotes removed. Every fault in src is an *[Error] with its position.
func Compile(src string, typeOf func(column string) (feature.Type, bool), opts Options) (*Program, error) {
	parsed, err := parse(src)
	if err != nil {
		return nil, err
	}
	c := &checker{typeOf: typeOf, names: opts.Names, columns: map[string]bool{}}
	tree, err := c.root(parsed)
	if err != nil {
		return nil, err
	}
	plan, err := newPlan(tree)
	if err != nil {
		return nil, err
	}
	p := &Program{source: src, tree: tree, plan: plan}
	for name := range c.columns {
		p.columns = append(p.columns, name)
	}
	slices.Sort(p.columns)
	return p, nil
}

// Type returns the type of the result.
func (p *Program) Type() feature.Type { return p.tree.typ }

// Columns returns the names of the columns that the program reads, sorted and distinct.
func (p *Program) Columns() []string { return slices.Clone(p.columns) }

// Uses reports whether the program reads the named column.
func (p *Program) Uses(column string) bool {
	_, found := slices.BinarySearch(p.columns, column)
	return found
}

// IsColumn reports whether the program is nothing but a column, and which.
func (p *Program) IsColumn() (name string, ok bool) {
	if p.tree.op != opColumn {
		return "", false
	}
	return p.tree.name, true
}

// Source returns the text that was compiled.
func (p *Program) Source() string { return p.source }

// SparkSQL returns the program as an expression of Spark SQL with all implicit conversions that Spark would not make
// alike written out. Compile accepts the result and makes an equal program of it.
func (p *Program) SparkSQL() string { return p.tree.String() }

// Eval computes the program on a batch of columns, each of the Arrow type of the type that Compile was told and with
// the given number of rows. The result has type Type().Arrow() and as many rows; where the program is a plain column it
// is that very array. A value that cannot be computed is a *[RowError].
func (p *Program) Eval(cols func(name string) arrow.Array, rows int) (arrow.Array, error) {
	columns, err := p.plan.bind(cols, rows)
	if err != nil {
		return nil, err
	}
	if p.tree.op == opColumn {
		return columns[0].array, nil
	}
	f := newFrame(p.plan, columns, min(rows, chunkRows))
	out := newSink(p.tree.typ, rows)
	for from := 0; from < rows; from += chunkRows {
		f.move(from, min(rows-from, chunkRows))
		v, err := p.plan.root(f, f.all)
		if err != nil {
			return nil, err
		}
		if err := out.append(v, 0, f.rows); err != nil {
			return nil, err
		}
		f.give(v)
	}
	return array.MakeFromData(out.data()), nil
}

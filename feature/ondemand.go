package feature

import "github.com/apache/arrow-go/v18/arrow"

// OnDemand is a group of features that are computed when they are asked for: from fields of the request, which are columns of the
// spine in training, and from other features.
type OnDemand struct {
	Name     string
	Request  []Field // the fields that its features may take of a request
	Features []OnDemandFeature
}

// OnDemandFeature is a feature that an expression computes.
type OnDemandFeature struct {
	Feature
	Program Program
	Inputs  []Input // what the columns of Program are, in its order
}

// Program is a compiled expression, the same in training and serving; *expr.Program is one. It is safe for concurrent use.
type Program interface {
	// Columns returns the names of the columns that the program reads.
	Columns() []string
	// Eval computes the program on columns of so many rows. A value that cannot be computed is an error that names its row.
	Eval(columns func(name string) arrow.Array, rows int) (arrow.Array, error)
	// SparkSQL returns the program as an expression of Spark SQL.
	SparkSQL() string
}

// Input is a column of an on-demand feature's program: a feature of View or of OnDemand, or, where both are nil, a field of the request.
type Input struct {
	Column string // as the program calls it
	View   *View
	// ViewName is what the expression calls View: its name, or one that the definition gives it.
	ViewName string
	OnDemand *OnDemand
	Feature  int // index into the features of View or OnDemand
}

// Feature returns the index of the named feature, or -1.
func (o *OnDemand) Feature(name string) int {
	for i := range o.Features {
		if o.Features[i].Name == name {
			return i
		}
	}
	return -1
}

// Computed is an on-demand feature's part in a service.
type Computed struct {
	OnDemand *OnDemand
	Feature  int // index into OnDemand.Features
	// Alias takes the group's place in column names; "" when there is none.
	Alias string
	// Sources are where the feature's Inputs come from in the service, in their order.
	Sources []Source
	// Place is that of its column in the service's answers; -1 where it is computed for other features alone.
	Place int
}

// Source is where an input of an on-demand feature comes from in a service.
type Source struct {
	Column  string // key column or request field; "" for a feature
	Ref     int    // index into Service.Refs; -1 for a key column, a request field or an on-demand feature
	Feature int    // index into the ref's Lookups, or into Service.Computed
}

// Definition returns the feature that c computes.
func (c *Computed) Definition() *OnDemandFeature { return &c.OnDemand.Features[c.Feature] }

// Name returns the name under which the feature appears: the alias, or the name of its group.
func (c *Computed) Name() string {
	if c.Alias != "" {
		return c.Alias
	}
	return c.OnDemand.Name
}

// ColumnName returns the output name of the feature: its own, or name__feature when it has an alias or full names are wanted.
func (c *Computed) ColumnName(fullNames bool) string {
	name := c.Definition().Name
	if fullNames || c.Alias != "" {
		return c.Name() + "__" + name
	}
	return name
}

package aggregate

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
)

// Span says that the rows (or tiles) [From, To) belong to a group.
type Span struct{ Group, From, To int32 }

// Times are the times of the rows beside them: what makes one row later than another. Ties in both are broken by value, the
// greater being the later.
type Times struct {
	Events  []int64
	Created []int64 // nil where rows have none; math.MinInt64 where NULL
}

// States are the states of many groups.
type States interface {
	// Reset makes n groups, all empty. It keeps memory for reuse.
	Reset(n int)
	// Add takes in rows: values are those of the aggregation's input, NULLs are skipped; nil where rows are counted.
	Add(values arrow.Array, times Times, spans []Span)
	// Fold takes in tiles, whose columns are those of [Spec.Columns], as Store made them; times are the tiles' own. It
	// fails with ErrCorrupt on what Store cannot have made.
	Fold(tiles []arrow.Array, times Times, spans []Span) error
	// Merge takes what group src of from, which is of the same kind, holds into group dst. The order of merges is of no matter.
	Merge(dst int, from States, src int)
	// Store returns the states as columns of tiles, one row for each group. It fails with an *OverflowError where a state
	// does not fit its column.
	Store() ([]arrow.Array, error)
}

// Remover is States from which groups can be taken out again, exactly.
type Remover interface {
	States
	// Remove undoes Merge(dst, from, src): what src holds must have been merged into dst.
	Remove(dst int, from States, src int)
}

// Spec describes a kind of state over an input: its columns and how to make it.
type Spec struct {
	// Input is the name of the aggregation's input.
	Input string
	// Columns are the stored columns, all nullable; the first one's name identifies the state within a view.
	Columns []feature.Field
	// Timed tells that Add and Fold look at the times of rows and tiles; the others ignore them.
	Timed bool
	New   func() States
}

// Name returns the name that identifies the state within a view.
func (s *Spec) Name() string { return s.Columns[0].Name }

// Call is an aggregation made ready: a function for its input and parameters.
type Call struct {
	// Type is that of the result.
	Type feature.Type
	// Specs are the states that the function is computed from, those of one input. Calls over one input share the states of one name.
	Specs []Spec
	// Empty is the result for an empty window: int64(0) of counts, else nil, which is NULL.
	Empty any
	// Finish returns the results of all groups; states are those of Specs, with equally many groups. It fails with an
	// *OverflowError where a result does not fit its type.
	Finish func(states []States) (arrow.Array, error)
}

// OverflowError tells which group's integer sum does not fit its type.
type OverflowError struct{ Group int }

// Error says what does not fit.
func (e *OverflowError) Error() string { return "an integer sum does not fit into int64" }

// functionEntry is a function as definitions name it.
type functionEntry struct {
	name string
	// call makes the function ready. It fails with feature.ErrInvalid for an input type or a parameter that it does not take; the message goes
	// on from "function NAME".
	call func(a feature.Aggregation) (*Call, error)
	// rows tells whether it counts rows where no input is given; the others need one.
	rows bool
	// parameters are the parameters that it takes, by the names of definitions: n, p, precision, accuracy.
	parameters []string
}

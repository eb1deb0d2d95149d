package expr

import (
	"fmt"

	"github.com/asof-store/asof/feature"
)

// Error is a fault in the text of an expression. It is of kind feature.ErrInvalid.
type Error struct {
	Line, Column int    // 1-based, in the source text; columns count characters
	Message      string // what is wrong
	Hint         string // what to do; "" when there is nothing to say
}

// Error returns the position, the message and the hint.
func (e *Error) Error() string {
	s := fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message)
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Unwrap makes the error one of kind feature.ErrInvalid.
func (e *Error) Unwrap() error { return feature.Errorf(feature.ErrInvalid, "%s", e.Message) }

// RowError is a value that an expression cannot compute, an integer overflow above all. It is of kind
// feature.ErrInvalid.
type RowError struct {
	Row     int    // 0-based, in the batch that Eval was given
	Expr    string // the part of the expression that failed, as Spark SQL
	Message string // what is wrong, and what to do
}

// Error names the row, the expression and the fault.
func (e *RowError) Error() string {
	return fmt.Sprintf("row %d: %s: %s", e.Row, e.Expr, e.Message)
}

// Unwrap makes the error one of kind feature.ErrInvalid.
func (e *RowError) Unwrap() error { return feature.Errorf(feature.ErrInvalid, "%s", e.Message) }

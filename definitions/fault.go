package definitions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
)

// Fault is one mistake in a definitions file.
type Fault struct {
	File         string // as the file was reached from the path given to Load
	Line, Column int    // 1-based, in characters; 0 where the fault has no place of its own
	Message      string
	Hint         string // what to do about it; "" when the message says it all
}

// String returns the fault as "file:line:column: message", with the hint on a line of its own.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": " + f.Message)
	if f.Hint != "" {
		b.WriteString("\n    hint: " + f.Hint)
	}
	return b.String()
}

// Faults is every mistake of all files, ordered by file, line and column. As an error it is of kind
// feature.ErrInvalid.
type Faults []Fault

// Error returns all faults, each beginning on a line of its own.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the faults their kind, feature.ErrInvalid.
func (fs Faults) Unwrap() error {
	return feature.Errorf(feature.ErrInvalid, "the definitions have faults")
}

// sorted returns the faults in order, each once: a node that is reached through two aliases is faulty once.
func (fs Faults) sorted() Faults {
	slices.SortStableFunc(fs, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(fs)
}

// didYouMean returns a hint that names the candidate nearest to name, or else lists the candidates (up to a
// dozen), or "" when there are none.
func didYouMean(name, plural string, candidates []string) string {
	if near := nearest.Name(name, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	if len(candidates) == 0 {
		return ""
	}
	const listedMax = 12
	if len(candidates) > listedMax {
		return fmt.Sprintf("%s are %s and %d more", plural, strings.Join(candidates[:listedMax], ", "), len(candidates)-listedMax)
	}
	return plural + " are " + strings.Join(candidates, ", ")
}

package expr

import (
	"slices"
	"strings"
)

// hintNamesMax is how many columns a hint lists when none is like the one that was asked for.
const hintNamesMax = 12

// columnHint proposes a column for a name that there is none of.
func (c *checker) columnHint(name string) string {
	if c.names == nil {
		return ""
	}
	names := slices.Sorted(slices.Values(c.names()))
	if near := nearest(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	if len(names) == 0 {
		return "there are no columns here"
	}
	shown := min(len(names), hintNamesMax)
	more := ""
	if shown < len(names) {
		more = ", ..."
	}
	return "columns are " + strings.Join(names[:shown], ", ") + more
}

// nearest returns the name that is most like the given one, "" when none is: at most a third of the letters differ. Case
// counts for nothing, and of equals the first in order is taken.
func nearest(name string, names []string) string {
	best, least := "", max(1, len(name)/3)+1
	for _, candidate := range slices.Sorted(slices.Values(names)) {
		if d := editDistance(strings.ToLower(name), strings.ToLower(candidate), least); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// editDistance returns the least number of letters to insert, remove, replace or swap with their neighbour that makes b
// of a (optimal string alignment), or any number of at least limit when it is that large.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := above[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, above[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}

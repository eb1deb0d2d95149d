// Package nearest guesses which name was meant where an unknown one was given.
package nearest

import "strings"

// Name returns the candidate that was probably meant by name, or "" when none is near: the one that is fewest edits away, letter
// case apart and the first of several, within a third of the name's length and at least one edit; else the first path such as
// a.b.name that ends in it.
func Name(name string, candidates []string) string {
	best, limit := "", max(1, len(name)/3)
	for _, c := range candidates {
		if d := edits(strings.ToLower(name), strings.ToLower(c), limit); d <= limit && (best == "" || d < limit) {
			best, limit = c, d
		}
	}
	if best != "" || name == "" {
		return best
	}
	for _, c := range candidates {
		if strings.HasSuffix(strings.ToLower(c), "."+strings.ToLower(name)) {
			return c
		}
	}
	return ""
}

// Hint returns ", did you mean X?" for the nearest candidate, or "" when none is near.
func Hint(name string, candidates []string) string {
	if best := Name(name, candidates); best != "" {
		return ", did you mean " + best + "?"
	}
	return ""
}

// edits returns the least number of bytes to insert, remove, replace or swap with their neighbour that makes b of a (optimal string
// alignment, three rows of its table); what exceeds limit is limit+1.
func edits(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := above[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, row[j-1]+1, above[j]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return min(above[len(b)], limit+1)
}

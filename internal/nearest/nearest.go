// Package nearest guesses which name was meant where an unknown one was given.
package nearest

import "strings"

// Name returns the candidate that is fewest edits from name, letter case apart, or "" when none is near: within a third of the
// name's length, and at least one edit. The first of several wins.
func Name(name string, candidates []string) string {
	best, limit := "", max(1, len(name)/3)
	for _, c := range candidates {
		if d := edits(strings.ToLower(name), strings.ToLower(c), limit); d <= limit && (best == "" || d < limit) {
			best, limit = c, d
		}
	}
	return best
}

// Hint returns ", did you mean X?" for the nearest candidate, or "" when none is near.
func Hint(name string, candidates []string) string {
	if best := Name(name, candidates); best != "" {
		return ", did you mean " + best + "?"
	}
	return ""
}

// edits returns the Levenshtein distance of a and b, by the rows of Wagner and Fischer; what exceeds limit is limit+1.
func edits(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return min(row[len(b)], limit+1)
}

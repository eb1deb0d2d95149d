package expr

import (
	"slices"
	"strings"

	"github.com/asof-store/asof/internal/nearest"
)

// hintNamesMax is how many columns a hint lists when none is like the one that was asked for.
const hintNamesMax = 12

// columnHint proposes a column for a name that there is none of.
func (c *checker) columnHint(name string) string {
	if c.names == nil {
		return ""
	}
	names := slices.Sorted(slices.Values(c.names()))
	if near := nearest.Name(name, names); near != "" {
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

package nearest

import (
	"testing"

	"pgregory.net/rapid"
)

func TestName(t *testing.T) {
	candidates := []string{"customer_spend", "customer_profile", "id", "Age", "merchant.country"}
	for name, want := range map[string]string{
		"customer_spnd": "customer_spend", "customer_profiles": "customer_profile", "CUSTOMER_SPEND": "customer_spend",
		"age": "Age", "ic": "id", "aeg": "Age", "Country": "merchant.country", "untry": "", "xy": "", "terminal": "", "": "",
	} {
		if got := Name(name, candidates); got != want {
			t.Errorf("nearest to %q is %q, want %q", name, got, want)
		}
	}
	if got := Hint("customer_spnd", candidates); got != ", did you mean customer_spend?" {
		t.Errorf("hint %q", got)
	}
	if got := Hint("terminal", nil); got != "" {
		t.Errorf("hint %q", got)
	}
}

// naive is the distance by its definition.
func naive(a, b string) int {
	switch {
	case a == "":
		return len(b)
	case b == "":
		return len(a)
	}
	least := 1 + min(naive(a[1:], b), naive(a, b[1:]), naive(a[1:], b[1:]))
	if a[0] == b[0] {
		least = min(least, naive(a[1:], b[1:]))
	}
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		least = min(least, 1+naive(a[2:], b[2:]))
	}
	return least
}

func TestEditsAgainstTwin(t *testing.T) {
	word := rapid.StringOfN(rapid.SampledFrom([]rune("abc")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b, limit := word.Draw(t, "a"), word.Draw(t, "b"), rapid.IntRange(0, 8).Draw(t, "limit")
		if got, want := edits(a, b, limit), min(naive(a, b), limit+1); got != want {
			t.Errorf("edits(%q, %q, %d) = %d, want %d", a, b, limit, got, want)
		}
	})
}

package definitions

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// planCase is an edit of the example, and whether stored rows change by it.
type planCase struct {
	name, old, new string
	rebuilds       string // the views that are built again
}

func planCases() []planCase {
	return []planCase{
		{"description", "In the currency of the card.", "In euros.", ""},
		{"comment and layout", "where: amount > 0 # only these rows", "where: >-\n      amount   >   0", ""},
		{"parentheses", "amount > 0 #", "(((amount) > 0)) #", ""},
		{"ttl", "ttl: 30d", "ttl: 60d", ""},
		{"ttl written otherwise", "ttl: 30d", "ttl: 720h", ""},
		{"delay", "delay: 5m", "delay: 10m", ""},
		{"schedule", `"*/15 * * * *"`, `"@hourly"`, ""},
		{"default", "default: unrated", "default: none", ""},
		{"online", "online: false", "online: true", ""},
		{"exact", "allow_exact_matches: false", "allow_exact_matches: true", ""},
		{"bad rows", "bad_rows: fail", "bad_rows: skip", ""},
		{"service", "features: [segments]", "features: [segments, birth_year]", ""},
		{"alias", "as: payee", "as: receiver", ""},
		{"on-demand expression", "amount_over_avg > 5", "amount_over_avg > 6", ""},
		{"on-demand expression written otherwise", "amount_over_avg > 5", "(amount_over_avg) > (5)", ""},
		{"on-demand default", "default: 1.0}", "default: 2.0}", ""},
		{"request field", "request: {amount: float64}", "request: {amount: int64}", ""},
		{"on-demand feature gone", "      - {name: richer_payee, expr: payee.income_k > customer_profile.income_k}\n", "", ""},
		{"another view for on-demand features", "- on_demand: payment", "- {on_demand: payment, views: {customer_profile: payee}}", ""},
		{"order of a service", "      - on_demand: payment\n      - {on_demand: alarm, features: [level]}", "      - {on_demand: alarm, features: [level]}\n      - on_demand: payment", ""},
		{"type of a view's feature beneath on-demand features", "      - {name: income_k, expr: income / 1000, default: 0}", "      - {name: income_k, expr: cast(income as bigint), default: 0}", "customer_profile"},
		{"glob", "data/customers/*.parquet", "data/customers/**/*.parquet", "customer_profile"},
		{"where", "amount > 0", "amount >= 0", "customer_last_payment"},
		{"expression", "income / 1000", "income / 1000.0 + 1", "customer_profile"},
		{"type", "type: int64 # widened from int32; anything else is cast in an expr", "type: float64", "customer_profile"},
		{"feature order", "      - {name: lat, type: float64}\n      - {name: lon, type: float64}", "      - {name: lon, type: float64}\n      - {name: lat, type: float64}", "terminal_profile"},
		{"new feature", "      - {name: eur_usd}", "      - {name: eur_usd}\n      - {name: usd_eur, expr: 1 / eur_usd}", "market_mood"},
		{"created time", "    event_time: updated_at\n    created_time: loaded_at", "    event_time: updated_at", "customer_profile"},
		{"key order", "{customer_id: int64, terminal_id: int64}", "{terminal_id: int64, customer_id: int64}", "last_visit"},
		{"another window", "- {function: count, windows: [1d, 7d, 30d]} # count_1d", "- {function: count, windows: [1d, 7d, 14d, 30d]} # count_1d", ""},
		{"a function of stored states", "- {function: stddev_samp, column: amount", "- {function: var_samp, column: amount", ""},
		{"order of aggregations", "      - {function: count, windows: [1d, 7d, 30d]}\n      - {function: avg, column: amount, windows: [1d, 7d, 30d]}\n\n", "      - {function: avg, column: amount, windows: [1d, 7d, 30d]}\n      - {function: count, windows: [1d, 7d, 30d]}\n\n", ""},
		{"delay of windows", "delay: 7d #", "delay: 8d #", ""},
		{"exact matches of exact windows", "    delay: 7d #", "    allow_exact_matches: false\n    delay: 7d #", ""},
		{"a function of another state", "- {function: max, column: amount, windows: [30d]}", "- {function: min, column: amount, windows: [30d]}", "customer_spend"},
		{"another precision", "precision: 12", "precision: 10", "customer_spend"},
		{"other percentiles", "p: [0.5, 0.95]", "p: [0.5, 0.99]", ""},
		{"where of an aggregation", "where: merchant.country <> 'DE', windows", "where: merchant.country <> 'FR', windows", "customer_spend"},
		{"granularity", "granularity: 1h #", "granularity: 2h #", "terminal_traffic"},
		{"exact matches of tiles", "    granularity: 1h #", "    allow_exact_matches: false\n    granularity: 1h #", "terminal_traffic"},
		{"new view", "views:\n", "views:\n  - {name: extra, entity: market, source: market_days, features: [{name: eur_usd}]}\n", ""},
		{"view gone", "services:\n", "services:\n", ""},
	}
}

// TestPlan shows the plan for each edit; testdata/plan.txt is what a person reads.
func TestPlan(t *testing.T) {
	example := read(t, "../features.example.yaml")
	before := mustLoad(t, "f.yaml", example)
	var b strings.Builder
	fmt.Fprintf(&b, "== first apply\n%s", NewPlan(nil, before))
	for _, c := range planCases() {
		text := strings.Replace(example, c.old, c.new, 1)
		if c.name == "view gone" {
			from, to := strings.Index(text, "  - name: last_visit"), strings.Index(text, "  - name: market_mood")
			text = text[:from] + text[to:]
			text = strings.Replace(text, "      - view: last_visit\n", "", 1)
		} else if text == example {
			t.Fatalf("%s: the example does not hold %q", c.name, c.old)
		}
		after := mustLoad(t, "f.yaml", text)
		p := NewPlan(before, after)
		fmt.Fprintf(&b, "== %s\n%s", c.name, p)
		if got := strings.Join(p.Rebuilds(), " "); got != c.rebuilds {
			t.Errorf("%s: rebuilds %q, want %q", c.name, got, c.rebuilds)
		}
		if p.Empty() != (before.Hash == after.Hash) {
			t.Errorf("%s: the plan is empty: %t, and the hashes are %s and %s", c.name, p.Empty(), before.Hash, after.Hash)
		}
		for _, v := range before.Views {
			if w, err := after.View(v.Name); err == nil && (v.Hash != w.Hash) != strings.Contains(" "+c.rebuilds+" ", " "+v.Name+" ") {
				t.Errorf("%s: view %s: its hash changes: %t", c.name, v.Name, v.Hash != w.Hash)
			}
		}
		if back := NewPlan(after, before); back.Empty() != p.Empty() || len(back.Changes) != len(p.Changes) {
			t.Errorf("%s: the way back is\n%s", c.name, back)
		}
	}
	golden(t, "testdata/plan.txt", b.String())
}

func TestPlanJSON(t *testing.T) {
	example := read(t, "../features.example.yaml")
	p := NewPlan(mustLoad(t, "f.yaml", example), mustLoad(t, "f.yaml", strings.Replace(example, "ttl: 30d", "ttl: 60d", 1)))
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"changes":[{"action":"change","kind":"view","name":"customer_last_payment","details":[{"name":"ttl","old":"30d","new":"60d"}]}]}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

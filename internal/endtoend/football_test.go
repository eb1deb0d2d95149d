package endtoend

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/material"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/pointintime"
)

const footballYAML = `
entities:
  - {name: team, keys: {team: string}}
sources:
  - {name: results, parquet: team_results.parquet, event_time: event_timestamp, created_time: created_timestamp}
views:
  - name: form            # matches are stamped at the midnight of their day: exact matches would be the result itself
    entity: team
    source: results
    allow_exact_matches: false
    features: [{name: goal_diff, type: int64}, {name: points, type: int64}, {name: scored, expr: "goals_for > 0"}]
  - name: leaky_form      # the same, with the leak
    entity: team
    source: results
    features: [{name: goal_diff, type: int64}]
services:
  - name: match
    features:
      - {view: form, as: home, keys: {team: home_team}}
      - {view: form, as: away, keys: {team: away_team}}
  - name: leaky
    features: [{view: leaky_form, as: home, keys: {team: home_team}}]
`

// TestFootball joins all international football matches, home and away team being two roles of one entity, with the
// teams' form as of the match's day, and compares it with looking at all of a team's results for each match.
func TestFootball(t *testing.T) {
	data := material.Path(t, "data/football")
	w := newWorld(t, t.TempDir(), worldOptions{})
	defer w.close()
	w.now = feature.TimeOf(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	for _, name := range []string{"team_results.parquet", "matches.parquet"} {
		if err := os.Symlink(filepath.Join(data, name), w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	w.must(w.define(footballYAML))
	if _, err := w.materialize(materialize.Request{}); err != nil {
		t.Fatal(err)
	}
	w.must(w.export("match", "matches.parquet", "set.parquet", pointintime.ExportOptions{TimeColumn: "kickoff"}))
	if w.last.Rows != 49520 {
		t.Fatalf("exported %d rows, want all 49,520 matches", w.last.Rows)
	}
	if w.last.Leaks.ExactTime != 0 {
		t.Fatalf("%d rows took a value of their own time, in spite of allow_exact_matches: false", w.last.Leaks.ExactTime)
	}
	compareWithBruteForce(t, readTable(t, w.path("team_results.parquet")), readTable(t, w.path("set.parquet")))

	w.must(w.export("leaky", "matches.parquet", "leaky.parquet", pointintime.ExportOptions{TimeColumn: "kickoff"}))
	if w.last.Leaks.ExactTime != 49520 {
		t.Fatalf("the leak report counts %d rows, want all 49,520: each match's own result is stamped at its own time", w.last.Leaks.ExactTime)
	}
}

// readTable reads a whole file as columns by name.
func readTable(t tester, path string) map[string][]arrow.Array {
	t.Helper()
	r, err := tabular.OpenReader(path, tabular.ReaderOptions{BatchRows: 1 << 20})
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer func() { _ = r.Close() }()
	columns := map[string][]arrow.Array{}
	for {
		batch, err := r.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return columns
		}
		if err != nil {
			t.Fatalf("%v", err)
		}
		for i, f := range batch.Schema().Fields() {
			columns[f.Name] = append(columns[f.Name], batch.Column(i))
		}
	}
}

// values returns a column in plain form: NULL as nil, timestamps as feature.Time rounded down.
func values(t testing.TB, pieces []arrow.Array) []any {
	t.Helper()
	var out []any
	for _, a := range pieces {
		for i := range a.Len() {
			switch c := a.(type) {
			case *array.Timestamp:
				unit := c.DataType().(*arrow.TimestampType).Unit
				out = append(out, feature.TimeOf(c.Value(i).ToTime(unit)))
			case *array.String:
				out = append(out, c.Value(i))
			case *array.Int64:
				out = append(out, c.Value(i))
			case *array.Int32:
				out = append(out, int64(c.Value(i)))
			case *array.Int16:
				out = append(out, int64(c.Value(i)))
			case *array.Int8:
				out = append(out, int64(c.Value(i)))
			case *array.Boolean:
				out = append(out, c.Value(i))
			default:
				t.Fatalf("column of %s", a.DataType())
			}
			if a.IsNull(i) {
				out[len(out)-1] = nil
			}
		}
	}
	return out
}

func compareWithBruteForce(t *testing.T, results, set map[string][]arrow.Array) {
	t.Helper()
	r := map[string][]any{}
	for _, name := range []string{"team", "event_timestamp", "goal_diff", "points", "goals_for"} {
		r[name] = values(t, results[name])
	}
	byTeam := map[any][]int{}
	for i, team := range r["team"] {
		byTeam[team] = append(byTeam[team], i)
	}
	times := values(t, set["kickoff"])
	for _, role := range []string{"home", "away"} {
		got := map[string][]any{}
		for _, f := range []string{"goal_diff", "points", "scored"} {
			got[f] = values(t, set[role+"__"+f])
		}
		found := 0
		for i, team := range values(t, set[role+"_team"]) {
			best := -1
			for _, j := range byTeam[team] {
				at := r["event_timestamp"][j].(feature.Time)
				if at < times[i].(feature.Time) && (best < 0 || at >= r["event_timestamp"][best].(feature.Time)) {
					best = j
				}
			}
			want := map[string]any{"goal_diff": nil, "points": nil, "scored": nil}
			if best >= 0 {
				found++
				want = map[string]any{"goal_diff": r["goal_diff"][best], "points": r["points"][best], "scored": r["goals_for"][best].(int64) > 0}
			}
			for f, v := range want {
				if got[f][i] != v {
					t.Fatalf("match %d, %s team %v: %s is %v, want %v", i, role, team, f, got[f][i], v)
				}
			}
		}
		if found < 40000 {
			t.Fatalf("only %d of the %s teams have a form: the comparison says little", found, role)
		}
	}
}

package endtoend

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/material"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/pointintime"
)

// footballWindows has the same windows over matches, which are stamped at the midnight of their day, in the four ways in which a
// midnight can be in a window, or not.
const footballWindows = `
entities:
  - {name: team, keys: {team: string}}
sources:
  - {name: results, parquet: team_results.parquet, event_time: event_timestamp}
views:
  - {name: exact, entity: team, source: results, aggregations: &all [{function: count, windows: [365d]}, {function: sum, column: goals_for, windows: [365d]}]}
  - {name: before, entity: team, source: results, allow_exact_matches: false, aggregations: *all}
  - {name: daily, entity: team, source: results, granularity: 1d, aggregations: *all}
  - {name: daily_before, entity: team, source: results, granularity: 1d, allow_exact_matches: false, aggregations: *all}
services:
  - name: match
    features:
      - {view: exact, as: exact, keys: {team: home_team}}
      - {view: before, as: before, keys: {team: home_team}}
      - {view: daily, as: daily, keys: {team: home_team}}
      - {view: daily_before, as: daily_before, keys: {team: home_team}}
`

// TestFootballWindows counts each home team's matches and goals of a year for all international matches, and compares with looking at
// all of a team's results. The windows that admit equal times hold the match itself, the others do not.
func TestFootballWindows(t *testing.T) {
	data := material.Path(t, "data/football")
	w := newWorld(t, t.TempDir(), worldOptions{})
	defer w.close()
	w.now = feature.TimeOf(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
	for _, name := range []string{"team_results.parquet", "matches.parquet"} {
		if err := os.Symlink(filepath.Join(data, name), w.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	w.must(w.define(footballWindows))
	if _, err := w.materialize(materialize.Request{}); err != nil {
		t.Fatal(err)
	}
	w.must(w.export("match", "matches.parquet", "set.parquet", pointintime.ExportOptions{TimeColumn: "kickoff"}))
	results, set := readTable(t, w.path("team_results.parquet")), readTable(t, w.path("set.parquet"))
	teams, events, goals := values(t, results["team"]), values(t, results["event_timestamp"]), values(t, results["goals_for"])
	byTeam := map[any][]int{}
	for i, team := range teams {
		byTeam[team] = append(byTeam[team], i)
	}
	kickoffs, homes := values(t, set["kickoff"]), values(t, set["home_team"])
	for _, view := range []string{"exact", "before", "daily", "daily_before"} {
		counts, sums := values(t, set[view+"__count_365d"]), values(t, set[view+"__goals_for_sum_365d"])
		strict, found := view == "before" || view == "daily_before", int64(0)
		for i, team := range homes {
			count, sum := int64(0), any(nil)
			end := kickoffs[i].(feature.Time) // a midnight, and so a multiple of a day
			begin := end.Add(-365 * 24 * time.Hour)
			for _, j := range byTeam[team] {
				at := events[j].(feature.Time)
				if strict && (at < begin || at >= end) || !strict && (at <= begin || at > end) {
					continue
				}
				count++
				before, _ := sum.(int64)
				sum = before + goals[j].(int64)
			}
			if fmt.Sprint(counts[i], sums[i]) != fmt.Sprint(count, sum) {
				t.Fatalf("match %d, %s at %s, view %s: %v matches and %v goals, want %d and %v", i, team, end, view, counts[i], sums[i], count, sum)
			}
			found += count
		}
		if found < 300_000 {
			t.Fatalf("view %s: only %d matches in all windows: the comparison says little", view, found)
		}
	}
}

package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/asof-store/asof/internal/stages"
	"github.com/asof-store/asof/materialize"
)

// TestMaterializeStats has a run tell where its time went, on the spot and in the history of runs, with the rows that it read, stored and published.
func TestMaterializeStats(t *testing.T) {
	inProject(t, "apply")
	if got := ok(t, "materialize", "last_payment"); strings.Contains(got, "stage") {
		t.Errorf("without --stats: %s", got)
	}
	got := ok(t, "materialize", "profile", "--stats")
	for _, want := range []string{`(?m)^stage +seconds +rows +bytes$`, `(?m)^read +\d+\.\d{3} +- +[0-9.]+ (bytes|[kM]B)$`, `(?m)^decode +\d+\.\d{3} +[1-9][0-9,]* +-$`,
		`(?m)^sort +\d+\.\d{3} +[1-9][0-9,]* +[0-9.]+ (bytes|[kM]B)$`, `(?m)^write +\d+\.\d{3} +[1-9]`, `(?m)^commit +\d+\.\d{3} +[1-9]`, `(?m)^publish +\d+\.\d{3} +[1-9]`} {
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	var runs []materialize.RunRecord
	if err := json.Unmarshal([]byte(ok(t, "runs", "profile", "--json")), &runs); err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	rows := map[stages.Stage]int64{}
	for _, w := range runs[0].Stages {
		rows[w.Stage] = w.Rows
		if w.Seconds < 0 {
			t.Errorf("%+v", w)
		}
	}
	if rows[stages.Write] != runs[0].Rows || rows[stages.Commit] != runs[0].Rows || rows[stages.Publish] != runs[0].Keys || rows[stages.Decode] < runs[0].Rows {
		t.Errorf("stages %+v of %+v", runs[0].Stages, runs[0])
	}
}

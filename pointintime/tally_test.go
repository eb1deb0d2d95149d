package pointintime

import (
	"context"
	"reflect"

	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
)

// checkTally asks q once more, counted, and holds what is counted against the answer that it had, row by row.
func checkTally(t *rapid.T, q Question, runs []Run, o Options, a *Answer) {
	rows := q.Times.Len()
	q.tally = &tally{withTimes: rapid.Bool().Draw(t, "counted with times"), leaked: make([]leak, rows), columns: make([]*counted, len(q.Features))}
	again, err := Join(context.Background(), q, runs, o)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again.Rows, a.Rows) {
		t.Fatalf("a question that is counted finds %v, not %v", again.Rows, a.Rows)
	}
	if (again.EventTimes != nil) != q.tally.withTimes || (again.Known != nil) != (q.tally.withTimes && q.View.HasCreatedTime) {
		t.Fatalf("with times %v, and has %v and %v", q.tally.withTimes, again.EventTimes, again.Known)
	}
	want := &tally{withTimes: q.tally.withTimes, leaked: make([]leak, rows), columns: make([]*counted, len(q.Features))}
	for c := range want.columns {
		want.columns[c] = &counted{}
	}
	for i, status := range a.Rows {
		if status != feature.NotFound {
			want.rows.rows[status]++
		}
		if status == feature.Present {
			want.rows.ages.note(int64(q.Times.Value(i)) - int64(a.EventTimes[i]))
		}
		if status == feature.Present && a.EventTimes[i] == feature.Time(q.Times.Value(i)) {
			want.exactTime++
			want.leaked[i] |= exactTime
		}
		if status == feature.Present && q.View.HasCreatedTime && !a.Known[i] {
			want.notKnown++
			want.leaked[i] |= notKnown
		}
		for c := range want.columns {
			status := a.Columns[c].Statuses[i]
			if status != feature.NotFound {
				want.columns[c].rows[status]++
			}
			if status == feature.Present {
				want.columns[c].ages.note(int64(q.Times.Value(i)) - int64(a.EventTimes[i]))
			}
		}
	}
	if !reflect.DeepEqual(q.tally, want) {
		t.Fatalf("counted are %d at their exact time, %d not known, marks %v, want %d, %d, %v\n%v", q.tally.exactTime, q.tally.notKnown, q.tally.leaked,
			want.exactTime, want.notKnown, want.leaked, rowsCounted(q.tally, want))
	}
}

// rowsCounted puts the statuses that were counted beside those that are wanted, by column.
func rowsCounted(got, want *tally) (all [][2][feature.Expired + 1]int64) {
	for c := range got.columns {
		all = append(all, [2][feature.Expired + 1]int64{got.columns[c].rows, want.columns[c].rows})
	}
	return all
}

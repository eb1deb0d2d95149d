package endtoend

import (
	"context"
	"errors"
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
)

// checkHistory fails the test when a check of the offline store finds anything: faults, or files that belong to nobody.
func (w *world) checkHistory() {
	w.t.Helper()
	for _, v := range w.model.Views {
		rows, err := materialize.CheckTiles(v.View)
		w.must(err)
		_, err = w.offline.Check(context.Background(), v.View, offline.CheckOptions{Rows: rows}, func(f offline.Finding) {
			w.t.Helper()
			if f.Remark && strings.Contains(f.What, "has died") {
				return // the next run clears up
			}
			w.t.Fatalf("view %s: %s: %s", v.Name, f.Where, f.What)
		})
		if !errors.Is(err, feature.ErrNotFound) {
			w.must(err)
		}
	}
}

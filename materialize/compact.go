package materialize

import (
	"context"
	"errors"

	"github.com/asof-store/asof/definitions"
)

// compact merges data files of a view that has just been materialized, and notes in the online store, of which nothing changes, the snapshot
// that this makes. A run has done what it should before: where this fails it does not, and the next one tries again.
func (e *Engine) compact(ctx context.Context, view *definitions.View, memory int64, result *Result) {
	o := e.Compact
	o.Memory = memory / 2 // the other half: a row group being written
	var err error
	if result.Compacted, err = e.Offline.Compact(ctx, view.Name, o); result.Compacted.Commits > 0 {
		err = errors.Join(err, e.publishResult(ctx, view, result, nil))
	}
	result.Uncompacted = err
}

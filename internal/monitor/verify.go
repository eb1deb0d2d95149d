package monitor

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// publication names what a view's online values were made of.
type publication struct {
	watermark feature.Time
	snapshot  int64
}

// verifier remembers of which publication a difference was told last.
type verifier struct {
	*Monitor
	told map[string]publication
}

// verify verifies a sample of each view that is served. Views that were never published, or are published meanwhile, have their turn the
// next time.
func (v *verifier) verify(ctx context.Context) {
	views, err := v.Views()
	v.Fault("verifying: the definitions cannot be read", "", err)
	if err != nil {
		return
	}
	for _, view := range views {
		if !view.Online {
			continue
		}
		request := materialize.VerifyRequest{Sample: v.VerifySample, Seed: rand.Uint64()}
		result, err := v.Verify(ctx, view.View, request)
		if ctx.Err() != nil {
			return
		}
		if kind := feature.KindOf(err); kind == feature.ErrNotFound || kind == feature.ErrConflict {
			continue
		}
		v.Fault("a view could not be verified", view.Name, err)
		if err != nil {
			v.metrics.verifyFailures.WithLabelValues(view.Name).Inc()
			continue
		}
		v.metrics.verifiedView(&result)
		if !result.OK() {
			v.differs(&result, request.Seed)
		}
	}
}

// differs tells of a difference, once for each publication.
func (v *verifier) differs(r *materialize.Verification, seed uint64) {
	of := publication{r.Watermark, r.Snapshot}
	if last, ok := v.told[r.View]; ok && last == of || len(r.Differences) == 0 {
		return
	}
	v.told[r.View] = of
	d := r.Differences[0]
	v.Log.Error("what is served is not what training would see: asof sync "+r.View+" --full publishes it anew", "view", r.View, "key", d.Key, "feature", d.Feature,
		"online", d.Online, "offline", d.Offline, "watermark", r.Watermark, "different", r.Different, "missing", r.Missing, "keys", r.Keys, "sample", v.VerifySample, "seed", seed)
	v.tell(Event{Kind: ValuesDiffer, View: r.View,
		Message:    fmt.Sprintf("view %s: of %d keys %d differ online from what training would see, and %d are missing", r.View, r.Keys, r.Different, r.Missing),
		Difference: &EventDifference{Key: d.Key, Feature: d.Feature, Online: d.Online, Offline: d.Offline}})
}

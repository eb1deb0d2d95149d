package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/materialize"
)

// sampleDefault is how many keys of a view are verified where nothing else is asked for.
const sampleDefault = 1000

// newVerifyCommand compares what is served with what training would see.
func newVerifyCommand(a *app) *cobra.Command {
	var request materialize.VerifyRequest
	var all bool
	c := &cobra.Command{
		Use:   "verify [VIEW...]",
		Short: "Compare what is served with what training would see",
		Long: `Compare the online values of views, all that are published without names, with the point-in-time join at the time as of which
they are: value by value, to the bit. A sample of keys is drawn from the history; --all compares every key, and looks for keys that are online and not in the
history. Exit code 5 tells that something differs.

The online store belongs to one process: stop asof serve meanwhile, or give --online a copy.`,
		Example:           "  asof verify\n  asof verify customer_spend --all",
		GroupID:           groupFeatures,
		ValidArgsFunction: completeViews(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			if request.Sample < 1 {
				return feature.Errorf(feature.ErrInvalid, "--sample %d: draw at least one key, or compare --all", request.Sample)
			}
			if all {
				request.Sample = 0
			}
			return a.verify(cmd, args, request)
		},
	}
	c.Flags().IntVar(&request.Sample, "sample", sampleDefault, "keys of each view to compare")
	c.Flags().Uint64Var(&request.Seed, "seed", 0, "of the draw: another one draws other keys")
	c.Flags().BoolVar(&all, "all", false, "compare all keys")
	return c
}

func (a *app) verify(cmd *cobra.Command, names []string, request materialize.VerifyRequest) error {
	return a.withEngine(cmd, names, func(views []*definitions.View, engine *materialize.Engine) error {
		var done []materialize.Verification
		for _, v := range views {
			if !v.Online && len(names) == 0 {
				continue
			}
			result, err := engine.Verify(cmd.Context(), v.View, request)
			if err != nil {
				return errors.Join(a.printVerified(done), err)
			}
			done = append(done, result)
		}
		return errors.Join(a.printVerified(done), faultOf(done))
	})
}

// faultOf is the error of views whose values differ.
func faultOf(done []materialize.Verification) error {
	var errs []error
	for i := range done {
		if v := &done[i]; !v.OK() {
			errs = append(errs, feature.Errorf(feature.ErrCorrupt, "view %s: %d keys of %d differ online from what training would see, %d are missing online, %d are online alone: asof sync %s --full publishes it anew",
				v.View, v.Different, v.Keys, v.Missing, v.Extra, v.View))
		}
	}
	return errors.Join(errs...)
}

func (a *app) printVerified(done []materialize.Verification) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	if len(done) > 0 {
		fmt.Fprintf(w, "view\tas of\tkeys\tequal\tdifferent\tmissing\textra\n")
	}
	for _, v := range done {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\n", v.View, v.Watermark, progress.Count(v.Keys), progress.Count(v.Equal), v.Different, v.Missing, v.Extra)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, v := range done {
		for _, d := range v.Differences {
			what := d.Key
			if d.Feature != "" {
				what += ", " + d.Feature
			}
			if err := a.printf("%s, %s: online %s (%s), offline %s (%s)\n", v.View, what, d.Online, eventText(d.OnlineEvent), d.Offline, eventText(d.OfflineEvent)); err != nil {
				return err
			}
		}
	}
	return nil
}

func eventText(t feature.Time) string {
	if t == feature.MinTime {
		return "no event"
	}
	return "event " + t.String()
}

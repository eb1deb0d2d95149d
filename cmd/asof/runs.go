package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/materialize"
)

// runsDefault is how many runs are shown where nothing else is asked for: a screen.
const runsDefault = 20

// newRunsCommand shows the history of runs.
func newRunsCommand(a *app) *cobra.Command {
	var failed, asJSON bool
	limit := runsDefault
	c := &cobra.Command{
		Use:   "runs [VIEW...]",
		Short: "Show the runs of views: when, what range, rows, outcome, error",
		Long: `Show the runs of views, all views without names, the newest first: those of asof serve and of asof materialize, in every process on the
warehouse. A run is ok, failed, retried (it failed in a way that may pass, and the scheduler tries again), timeout, interrupted, died (its process did),
or running.`,
		Example:           "  asof runs customer_spend --limit 5\n  asof runs --failed",
		GroupID:           groupFeatures,
		ValidArgsFunction: completeViews(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return feature.Errorf(feature.ErrInvalid, "--limit %d: show at least one run", limit)
			}
			runs, err := a.runs(cmd, args, failed)
			if err != nil {
				return err
			}
			runs = runs[:min(limit, len(runs))]
			if asJSON {
				text, err := json.MarshalIndent(append([]materialize.RunRecord{}, runs...), "", "  ")
				if err != nil {
					return err
				}
				return a.printf("%s\n", text)
			}
			return a.printRuns(runs)
		},
	}
	c.Flags().BoolVar(&failed, "failed", false, "only runs that failed, took too long or died")
	c.Flags().IntVar(&limit, "limit", limit, "runs to show, the newest")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// runs returns the runs of the named views, of all without names.
func (a *app) runs(cmd *cobra.Command, names []string, failed bool) ([]materialize.RunRecord, error) {
	p, err := a.project(cmd)
	if err != nil {
		return nil, err
	}
	if err := checkDirectory("warehouse", "warehouse", p.settings.Warehouse); err != nil {
		return nil, err
	}
	all, damaged, err := p.runLog(nil).Runs()
	if err != nil {
		return nil, err
	}
	if damaged > 0 {
		fmt.Fprintf(a.progress, "note: the history of runs has %s torn or damaged, which are left out\n", counted(damaged, "line"))
	}
	for _, name := range names { // one that is defined no more may still have runs
		if !slices.ContainsFunc(all, func(r materialize.RunRecord) bool { return r.View == name }) {
			model, err := p.applied()
			if err != nil {
				return nil, err
			}
			if _, err := model.View(name); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(all, func(r materialize.RunRecord) bool {
		return failed && !r.Outcome.Bad() || len(names) > 0 && !slices.Contains(names, r.View)
	}), nil
}

func (a *app) printRuns(runs []materialize.RunRecord) error {
	if len(runs) == 0 {
		return a.printf("no runs\n")
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "started\tview\toutcome\ttook\trows\tkeys\trange\tby\terror\n")
	for _, r := range runs {
		took, by := "-", string(r.By)
		if r.Outcome != materialize.RunRunning && r.Outcome != materialize.RunDied {
			took = progress.Took(time.Duration(r.Seconds * float64(time.Second)))
		}
		if r.Attempt > 1 {
			by += fmt.Sprintf(", attempt %d", r.Attempt)
		}
		message, _, more := strings.Cut(r.Error, "\n")
		if more {
			message += " ..."
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Started.Format(time.RFC3339), r.View, r.Outcome, took,
			progress.Count(r.Rows), progress.Count(r.Keys), rangeText(r), by, message)
	}
	return w.Flush()
}

// rangeText is the range of event times that a run computed.
func rangeText(r materialize.RunRecord) string {
	if r.To == nil {
		return "-"
	}
	text := "to " + r.To.Truncate(time.Second).Format(time.RFC3339)
	if r.From != nil {
		text = r.From.Truncate(time.Second).Format(time.RFC3339) + " " + text
	}
	return text
}

package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/materialize"
)

// newMaterializeCommand brings views up to date.
func newMaterializeCommand(a *app) *cobra.Command {
	var from, to, chunk, server string
	var newestFirst, dryRun, stats bool
	c := &cobra.Command{
		Use:   "materialize [VIEW...]",
		Short: "Compute features into the offline store and publish the latest values online",
		Long: `Compute the views' features into the offline store, all views without names, and publish the latest values online.
Without flags a run goes on from where the last one ended, up to now, and computes again what source files that came late, changed
or went have made stale (asof status shows it).

With --from and --to (both inclusive) a range of event times is computed, again if need be: a backfill. It says beforehand how
much there is to do, and goes chunk by chunk, each replaced as a whole. One that was interrupted goes on where it
stopped when it is asked for again, or with the next run. --dry-run says what a run would do, and ends.

--stats prints for each stage of the runs the seconds that goroutines spent in it, which are more than the run took where several worked at
once, the rows that passed through it, and the bytes. asof runs --json has the same of earlier runs.

The online store belongs to one process. While asof serve holds it, name the server with --server: it does the run then.`,
		Example:           "  asof materialize\n  asof materialize customer_profile --from 2026-01-01 --to 2026-01-31T23:59:59.999999Z\n  asof materialize --server 127.0.0.1:7878",
		GroupID:           groupFeatures,
		ValidArgsFunction: completeViews(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			var request materialize.Request
			var err error
			if request.From, err = timeFlag("from", from); err != nil {
				return err
			}
			if request.To, err = timeFlag("to", to); err != nil {
				return err
			}
			if chunk != "" {
				if request.Chunk, err = definitions.ParseDuration(chunk); err != nil {
					return feature.Errorf(feature.ErrInvalid, "--chunk: %w", err)
				}
			}
			request.NewestFirst = newestFirst
			if dryRun {
				return a.estimate(cmd, args, request)
			}
			if server != "" {
				return a.materializeAt(cmd.Context(), server, args, request)
			}
			return a.materialize(cmd, args, request, stats)
		},
	}
	c.Flags().StringVar(&from, "from", "", "first event time, inclusive (default just after the last run)")
	c.Flags().StringVar(&to, "to", "", "last event time, inclusive (default now)")
	c.Flags().StringVar(&chunk, "chunk", "", "longest stretch of event time that is computed at once: 12h, 30d (default as much as has some 64 M rows)")
	c.Flags().BoolVar(&newestFirst, "newest-first", false, "compute later chunks before earlier ones")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be computed and how much that is, and end")
	c.Flags().BoolVar(&stats, "stats", false, "print where the time went, by stage")
	serverFlag(c, &server, "is to do it")
	return c
}

func timeFlag(name, text string) (*feature.Time, error) {
	if text == "" {
		return nil, nil
	}
	t, ok := tabular.ParseTime(text)
	if !ok {
		return nil, feature.Errorf(feature.ErrInvalid, "--%s %q: write 2006-01-02 or 2006-01-02T15:04:05Z", name, text)
	}
	return &t, nil
}

func (a *app) materialize(cmd *cobra.Command, names []string, request materialize.Request, stats bool) (err error) {
	ctx := cmd.Context()
	p, views, err := a.projectViews(cmd, names)
	if err != nil {
		return err
	}
	p.noteEdits()
	store, err := p.openOnline()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	engine, err := p.engine(ctx, store)
	if err != nil {
		return err
	}
	if request.From != nil || request.Chunk > 0 {
		estimates, _ := engine.Estimate(ctx, views, request) // what is wrong, the run says too, and the history of runs with it
		for _, e := range estimates {
			fmt.Fprintln(a.progress, estimateText(e))
		}
	}
	engine.Runs = p.runLog(nil).By(materialize.ByCommand, 1)
	results, err := engine.Run(ctx, views, request)
	for _, r := range results {
		a.noteUncompacted(r)
		if printErr := a.printf("%s\n", resultText(r)); printErr != nil {
			return printErr
		}
		if !stats {
			continue
		}
		if printErr := a.printStages(r.Stages); printErr != nil {
			return printErr
		}
	}
	return err
}

// estimate prints what a run would do.
func (a *app) estimate(cmd *cobra.Command, names []string, request materialize.Request) error {
	p, views, err := a.projectViews(cmd, names)
	if err != nil {
		return err
	}
	engine, err := p.engine(cmd.Context(), nil)
	if err != nil {
		return err
	}
	estimates, err := engine.Estimate(cmd.Context(), views, request)
	for _, e := range estimates {
		if err := a.printf("%s\n", estimateText(e)); err != nil {
			return err
		}
		for _, s := range e.Stale {
			if err := a.printf("  stale: %s, %s\n", s.Range(), s.Why); err != nil {
				return err
			}
		}
	}
	return err
}

// estimateText says what a run will do to a view.
func estimateText(e materialize.Estimate) string {
	if len(e.Ranges) == 0 {
		return e.View + ": up to date"
	}
	whole := feature.Range{From: feature.MaxTime, To: feature.MinTime}
	for _, r := range e.Ranges {
		whole = feature.Range{From: min(whole.From, r.From), To: max(whole.To, r.To)}
	}
	text := fmt.Sprintf("%s: to compute %s, about %s rows (%s of source files)", e.View, whole, progress.Count(e.Rows), sizeText(e.Bytes))
	if e.Rebuild {
		text += ", a rebuild, for its definition has changed"
	}
	if n := len(e.Ranges); n > 1 {
		text += fmt.Sprintf(", in %d commits", n)
	}
	if e.Took > 0 {
		return text + ", in about " + progress.Took(e.Took) + " if it goes as the last run did"
	}
	return text + "; no earlier run tells how long that takes"
}

// sizeText shows a number of bytes.
func sizeText(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.size), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// resultText says what a run has done for a view.
func resultText(r materialize.Result) string {
	line := fmt.Sprintf("%s: ", r.View)
	switch {
	case r.Range.Empty():
		line += "up to date"
	case r.Rebuilt:
		line += "rebuilt, " + progress.Count(r.Rows) + " rows"
	default:
		line += progress.Count(r.Rows) + " rows"
	}
	line += " to " + r.Watermark.Std().Truncate(time.Second).Format(time.RFC3339)
	if len(r.Stale) > 0 && r.Commits > 0 && !r.Rebuilt {
		line += ", history that was stale among them"
	}
	if r.Filtered > 0 {
		line += ", " + progress.Count(r.Filtered) + " left out by where"
	}
	if r.Skipped > 0 {
		line += ", " + progress.Count(r.Skipped) + " bad rows skipped"
	}
	if r.Published.Keys > 0 {
		line += ", " + progress.Count(r.Published.Keys) + " keys published"
	}
	return line + " (" + progress.Took(r.Duration) + ")"
}

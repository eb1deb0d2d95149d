package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
)

// newCompactCommand merges small data files.
func newCompactCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "compact [VIEW...]",
		Short: "Merge the small data files of views",
		Long: `Merge data files of the offline store that lie next to each other in time, all views' without names. Each run adds some, and does this by itself afterwards: by hand
it is needed where that has failed, or where another asof has written the history. No value changes, in training or online, and
older snapshots keep their files.

A run of a view that comes meanwhile fails, and the scheduler tries it again. The online store is not needed: asof serve may hold it.`,
		Example:           "  asof compact\n  asof compact customer_spend",
		GroupID:           groupFeatures,
		ValidArgsFunction: completeViews(a),
		RunE:              a.compact,
	}
}

func (a *app) compact(cmd *cobra.Command, names []string) error {
	p, views, err := a.projectViews(cmd, names)
	if err != nil {
		return err
	}
	engine, err := p.engine(cmd.Context(), nil)
	if err != nil {
		return err
	}
	var errs []error
	for _, v := range views {
		text, err := compactView(cmd.Context(), engine, v.Name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := a.printf("%s: %s\n", v.Name, text); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

// compactView merges the files of a view and says what that has done.
func compactView(ctx context.Context, engine *materialize.Engine, view string) (string, error) {
	done, err := engine.Offline.Compact(ctx, view, offline.CompactOptions{Memory: engine.Memory / 2})
	switch {
	case errors.Is(err, feature.ErrNotFound):
		return "never materialized", nil
	case err != nil:
		return "", err
	case done.Commits == 0:
		return "nothing to merge", nil
	}
	return fmt.Sprintf("%d files merged into %d, %s rows", done.Files, done.Merged, progress.Count(done.Rows)), nil
}

// noteUncompacted logs why data files were not merged after a run.
func (a *app) noteUncompacted(r materialize.Result) {
	if r.Uncompacted != nil {
		a.log.Warn("data files were not merged; the next run tries again", "view", r.View, "error", r.Uncompacted)
	}
}

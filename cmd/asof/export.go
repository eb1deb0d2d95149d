package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/memlimit"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// newExportCommand writes training sets.
func newExportCommand(a *app) *cobra.Command {
	var spine, out string
	var stats bool
	var o pointintime.ExportOptions
	c := &cobra.Command{
		Use:   "export SERVICE --spine FILE --out FILE",
		Short: "Write a training set: each spine row with the features as they were at its time",
		Long: `Write a training set: one row for each row of the spine, in its order, with the service's features as they were at the
row's time. The formats of spine and output are those of their endings: .parquet, .csv, .arrow, .ipc, .feather. Beside the output
stands a manifest (FILE.manifest.json) of what it was made of and what it holds. Nothing is left of an export that fails.`,
		Example:           "  asof export fraud_v1 --spine training.parquet --out training_set.parquet",
		GroupID:           groupFeatures,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeService(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			manifest, err := a.export(cmd, args[0], spine, out, o)
			if err != nil || !stats {
				return err
			}
			if err := a.printf("\n"); err != nil {
				return err
			}
			return a.printStages(manifest.Stages)
		},
	}
	flags := c.Flags()
	flags.StringVar(&spine, "spine", "", "file of the rows to find features for: keys, times, labels")
	flags.StringVar(&out, "out", "", "file to write")
	flags.StringVar(&o.TimeColumn, "time-column", pointintime.TimeColumnDefault, "the spine's column of as-of times")
	flags.BoolVar(&o.AsKnown, "as-known", false, "leave out rows that were not known yet at a row's time")
	flags.BoolVar(&o.AsServed, "as-served", false, "move each row's time back to the view's last scheduled run")
	flags.BoolVar(&o.FullNames, "full-names", false, "call columns view__feature")
	flags.BoolVar(&o.WithFeatureTimes, "with-feature-times", false, "add the event time of each view's row")
	flags.BoolVar(&stats, "stats", false, "show where the time went")
	for _, name := range []string{"spine", "out"} {
		if err := c.MarkFlagRequired(name); err != nil {
			panic("asof: " + err.Error()) // the flag is declared above
		}
	}
	return c
}

func (a *app) export(cmd *cobra.Command, service, spine, out string, o pointintime.ExportOptions) (manifest *pointintime.Manifest, err error) {
	ctx := cmd.Context()
	if sameFile(spine, out) {
		return nil, feature.Errorf(feature.ErrInvalid, "--out %s is the spine itself, which would be lost: name another file", out)
	}
	p, err := a.project(cmd)
	if err != nil {
		return nil, err
	}
	model, err := p.applied()
	if err != nil {
		return nil, err
	}
	svc, err := model.Service(service)
	if err != nil {
		return nil, err
	}
	p.noteEdits()
	memlimit.Set(p.settings.Memory)
	snapshots, err := p.snapshots(ctx, svc)
	defer func() {
		for _, s := range snapshots {
			err = errors.Join(err, s.Close())
		}
	}()
	if err != nil {
		return nil, err
	}
	o.Memory, o.Workers, o.DefinitionHash, o.Version = p.settings.Memory, p.settings.Workers, model.Hash, version()
	start := a.now()
	var task *progress.Task
	o.Progress = func(rows, total int64) {
		if task == nil {
			task = a.progress.Start(service, total)
		}
		task.Add(rows)
	}
	manifest, err = pointintime.Export(ctx, svc.Service, snapshots, spine, out, o)
	if task != nil {
		task.Fail() // ends the bar; what follows is the summary
	}
	if err != nil {
		return nil, err
	}
	p.tag(ctx, manifest, snapshots)
	return manifest, a.printManifest(manifest, out, a.now().Sub(start))
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// tag marks the snapshots that a training set was made of with a name made of its manifest's hash, so that they are kept as long as
// it matters. The training set is whole without, so a warehouse that cannot be written to is worth no more than a warning.
func (p *project) tag(ctx context.Context, m *pointintime.Manifest, snapshots map[string]*offline.Snapshot) {
	same := *m
	same.Seconds, same.Stages = 0, nil // the same training set gets the same name, however long it took
	text, err := same.JSON()
	if err != nil {
		p.a.log.Warn("the snapshots that were read could not be tagged", "error", err)
		return
	}
	name := fmt.Sprintf("export-%x", sha256.Sum256(text))[:len("export-")+16]
	for view, s := range snapshots {
		if err := s.Tag(ctx, name); err != nil {
			p.a.log.Warn("the snapshot that was read could not be tagged", "view", view, "snapshot", s.ID(), "error", err)
		}
	}
}

// snapshots opens the current history of the service's views. Views without history are left out.
func (p *project) snapshots(ctx context.Context, svc *definitions.Service) (map[string]*offline.Snapshot, error) {
	history, err := offline.Open(ctx, p.settings.Warehouse, offline.Options{})
	if err != nil {
		return nil, err
	}
	snapshots := map[string]*offline.Snapshot{}
	for _, ref := range svc.Refs {
		if snapshots[ref.View.Name] != nil {
			continue
		}
		s, err := history.Snapshot(ctx, ref.View.Name)
		if errors.Is(err, feature.ErrNotFound) {
			continue // the export says that the view has to be materialized
		}
		if err != nil {
			return snapshots, err
		}
		snapshots[ref.View.Name] = s
	}
	return snapshots, nil
}

// printManifest shows what an export gave.
func (a *app) printManifest(m *pointintime.Manifest, out string, took time.Duration) error {
	if err := a.printf("%s: %s rows, %d features (%s)\n\n", out, progress.Count(m.Rows), len(m.Features), progress.Took(took)); err != nil {
		return err
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "feature\tpresent\tNULL\tnot found\texpired\tmedian age\t99%% age\n")
	for _, f := range m.Features {
		age, oldest := "-", "-"
		if f.Age != nil {
			age, oldest = ageText(f.Age.P50), ageText(f.Age.P99)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Column, progress.Count(f.Present), progress.Count(f.Null), progress.Count(f.NotFound), progress.Count(f.Expired), age, oldest)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := a.printf("\nleak report:\n"); err != nil {
		return err
	}
	if err := m.Leaks.Print(a.stdout, m.Rows); err != nil {
		return err
	}
	for _, v := range m.Leaks.Views {
		if m.Options.AsKnown && v.AsKnown == nil {
			if err := a.printf("  view %s has no created time, so --as-known cannot tell when its rows were known\n", v.View); err != nil {
				return err
			}
		}
	}
	return nil
}

// ageText renders an age in seconds, to two digits' worth of the largest unit.
func ageText(seconds float64) string {
	switch {
	case seconds >= 2*24*3600:
		return fmt.Sprintf("%.1fd", seconds/(24*3600))
	case seconds >= 2*3600:
		return fmt.Sprintf("%.1fh", seconds/3600)
	case seconds >= 120:
		return fmt.Sprintf("%.1fm", seconds/60)
	}
	return fmt.Sprintf("%.1fs", seconds)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// viewStatus is how far a view is.
type viewStatus struct {
	View      string        `json:"view"`
	State     string        `json:"state"`               // ready, never materialized, or definition changed
	Watermark string        `json:"watermark,omitempty"` // of the offline store
	Freshness string        `json:"freshness,omitempty"` // how long the watermark is past
	Rows      int64         `json:"rows"`
	Files     int           `json:"files"`
	Bytes     int64         `json:"bytes"`
	Online    string        `json:"online"` // the online watermark, or why there is none
	Stale     []staleStatus `json:"stale,omitempty"`
}

// staleStatus is a part of the history that the next run computes again.
type staleStatus struct {
	From string `json:"from"`
	To   string `json:"to"`
	Why  string `json:"why"`
}

// newStatusCommand shows how far the views are.
func newStatusCommand(a *app) *cobra.Command {
	var asJSON bool
	var server string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how far each view is: watermark, rows, files, freshness, online watermark",
		Long: `Show how far each view is, and which parts of its history are stale, and why: a source file has come late, changed or gone, or
a backfill was interrupted. The next run computes them again. The online store belongs to one process: while asof serve holds it, its watermarks are asked of the
server that --server names.`,
		GroupID: groupFeatures,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.status(cmd, server)
			if err != nil {
				return err
			}
			if asJSON {
				text, err := json.MarshalIndent(all, "", "  ")
				if err != nil {
					return err
				}
				return a.printf("%s\n", text)
			}
			return a.printStatus(all)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	serverFlag(c, &server, "holds the online store")
	return c
}

func (a *app) status(cmd *cobra.Command, server string) ([]viewStatus, error) {
	p, err := a.project(cmd)
	if err != nil {
		return nil, err
	}
	model, err := p.applied()
	if err != nil {
		return nil, err
	}
	p.noteEdits()
	engine, err := p.engine(cmd.Context(), nil)
	if err != nil {
		return nil, err
	}
	published, err := p.onlineStatus(cmd, server)
	if err != nil {
		return nil, err
	}
	all := make([]viewStatus, 0, len(model.Views))
	for _, v := range model.Views {
		s := viewStatus{View: v.Name, State: "never materialized", Online: published(v)}
		snapshot, err := engine.Offline.Snapshot(cmd.Context(), v.Name)
		if errors.Is(err, feature.ErrNotFound) {
			all = append(all, s)
			continue
		}
		if err != nil {
			return nil, err
		}
		done := snapshot.Progress()
		s.State = "ready"
		if done.Hash != v.Hash {
			s.State = "definition changed: materialize"
		}
		s.Watermark, s.Freshness = seconds(done.Watermark), progress.Took(a.now().Sub(done.Watermark.Std()))
		s.Rows, s.Files, s.Bytes = snapshot.Rows(), len(snapshot.Files()), snapshot.Bytes()
		if err := snapshot.Close(); err != nil {
			return nil, err
		}
		if done.Hash == v.Hash {
			s.Stale, s.State = p.staleOf(cmd.Context(), engine, v, s.State)
		}
		all = append(all, s)
	}
	return all, nil
}

// staleOf returns what of a view's history is stale, and its state, which says so, or that the source cannot be looked at.
func (p *project) staleOf(ctx context.Context, engine *materialize.Engine, v *definitions.View, state string) ([]staleStatus, string) {
	stale, err := engine.Stale(ctx, v)
	if err != nil {
		return nil, state + ", source unreadable: " + err.Error()
	}
	var out []staleStatus
	for _, s := range stale {
		out = append(out, staleStatus{From: s.From.String(), To: s.To.String(), Why: s.Why})
	}
	if len(out) > 0 {
		state = "stale"
	}
	return out, state
}

func seconds(t feature.Time) string { return t.Std().Truncate(time.Second).Format(time.RFC3339) }

// onlineStatus returns what to say of a view's online values.
func (p *project) onlineStatus(cmd *cobra.Command, server string) (func(*definitions.View) string, error) {
	states := map[string]online.State{}
	switch {
	case server != "":
		c, err := dial(server)
		if err != nil {
			return nil, err
		}
		defer func() { _ = c.close() }() // the answer has been read
		answer, err := asofv1.NewFeatureStoreClient(c.conn).GetStatus(cmd.Context(), &asofv1.GetStatusRequest{})
		if err != nil {
			return nil, c.fault("the status", err)
		}
		for _, v := range answer.GetViews() {
			if v.GetPublished() {
				states[v.GetView()] = online.State{Watermark: feature.Time(v.GetWatermarkMicros())}
			}
		}
	case exists(p.settings.Online):
		store, err := p.openOnline()
		if errors.Is(err, feature.ErrUnavailable) {
			return func(*definitions.View) string { return "held by another process: --server" }, nil
		}
		if err != nil {
			return nil, err
		}
		states, err = store.States()
		if err := errors.Join(err, store.Close()); err != nil {
			return nil, err
		}
	}
	return func(v *definitions.View) string {
		state, known := states[v.Name]
		switch {
		case !v.Online:
			return "not served"
		case !known:
			return "never published"
		}
		return seconds(state.Watermark)
	}, nil
}

func (a *app) printStatus(all []viewStatus) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "view\tstate\twatermark\tfreshness\trows\tfiles\tonline\n")
	for _, s := range all {
		watermark, freshness := s.Watermark, s.Freshness
		if watermark == "" {
			watermark, freshness = "-", "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", s.View, s.State, watermark, freshness, progress.Count(s.Rows), s.Files, s.Online)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, s := range all {
		for i, part := range s.Stale {
			if i == staleShown {
				if err := a.printf("%s: and %d more; --json shows all\n", s.View, len(s.Stale)-i); err != nil {
					return err
				}
				break
			}
			if err := a.printf("%s: stale from %s to %s: %s\n", s.View, part.From, part.To, part.Why); err != nil {
				return err
			}
		}
	}
	return nil
}

// staleShown is how many stale parts of a view are shown.
const staleShown = 10

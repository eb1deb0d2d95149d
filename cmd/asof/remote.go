package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/materialize"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// Verbs that a server does for its clients, with asof.v1.Admin.

// withAdmin calls do with the admin service of a server.
func withAdmin(address string, do func(*client, asofv1.AdminClient) error) error {
	c, err := dial(address)
	if err != nil {
		return err
	}
	return errors.Join(do(c, asofv1.NewAdminClient(c.conn)), c.close())
}

// applyAt has the server at address apply the definitions that lie here, or say what that would change.
func (a *app) applyAt(cmd *cobra.Command, address string, dryRun bool) (answer *asofv1.ApplyResponse, err error) {
	s, err := a.settings(cmd)
	if err != nil {
		return nil, err
	}
	texts, err := definitions.Texts(s.Definitions)
	if err != nil {
		return nil, err
	}
	request := &asofv1.ApplyRequest{DryRun: dryRun}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		request.Files = append(request.Files, &asofv1.DefinitionsFile{Name: name, Text: texts[name]})
	}
	return answer, withAdmin(address, func(c *client, admin asofv1.AdminClient) error {
		if answer, err = admin.Apply(cmd.Context(), request); err != nil {
			return c.fault("applying", err)
		}
		return nil
	})
}

// materializeAt has the server at address run views, and shows its progress.
func (a *app) materializeAt(ctx context.Context, address string, views []string, r materialize.Request) error {
	request := &asofv1.MaterializeRequest{Views: views, ChunkMicros: int64(r.Chunk / time.Microsecond), NewestFirst: r.NewestFirst}
	request.FromMicros, request.ToMicros = (*int64)(r.From), (*int64)(r.To)
	return withAdmin(address, func(c *client, admin asofv1.AdminClient) error {
		run, err := admin.Materialize(ctx, request)
		if err != nil {
			return c.fault("materializing", err)
		}
		tasks := remoteTasks{display: a.progress, bars: map[string]*remoteTask{}}
		defer tasks.end()
		for {
			event, err := run.Recv()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return c.fault("materializing", err)
			case event.GetProgress() != nil:
				tasks.show(event.GetProgress())
			case event.GetResult() != nil:
				if err := a.printf("%s\n", event.GetResult().GetSummary()); err != nil {
					return err
				}
			}
		}
	})
}

// remoteTasks shows the progress of a run on a server.
type remoteTasks struct {
	display *progress.Display
	bars    map[string]*remoteTask
}

type remoteTask struct {
	bar  *progress.Task
	rows int64
}

func (t *remoteTasks) show(p *asofv1.Progress) {
	shown := t.bars[p.GetTask()]
	if shown == nil {
		shown = &remoteTask{bar: t.display.Start(p.GetTask(), p.GetTotal())}
		t.bars[p.GetTask()] = shown
	}
	shown.bar.Add(p.GetRows() - shown.rows)
	shown.rows = p.GetRows()
	if p.GetDone() {
		shown.bar.Done("")
		delete(t.bars, p.GetTask())
	}
}

// end takes away what is left of a run that has failed.
func (t *remoteTasks) end() {
	for _, shown := range t.bars {
		shown.bar.Fail()
	}
}

// publishAt has the server at address publish views, all without names.
func (a *app) publishAt(ctx context.Context, address string, views []string, rebuild bool) error {
	return withAdmin(address, func(c *client, admin asofv1.AdminClient) error {
		answer, err := admin.Publish(ctx, &asofv1.PublishRequest{Views: views, Rebuild: rebuild})
		if err != nil {
			return c.fault("publishing", err)
		}
		for _, v := range answer.GetViews() {
			text := progress.Count(v.GetKeys()) + " keys published"
			switch {
			case v.GetWaits():
				text = "waits for asof materialize"
			case v.GetKeys() == 0:
				text = "up to date"
			}
			if err := a.printf("%s: %s\n", v.GetView(), text); err != nil {
				return err
			}
		}
		return nil
	})
}

// serverFlag adds the flag that names a server.
func serverFlag(c *cobra.Command, server *string, does string) {
	c.Flags().StringVar(server, "server", "", "host:port of the asof serve that "+does)
}

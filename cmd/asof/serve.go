package main

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/memlimit"
	"github.com/asof-store/asof/internal/monitor"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/server"
)

// newServeCommand serves features.
func newServeCommand(a *app) *cobra.Command {
	schedule := true
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the latest values over gRPC and HTTP",
		Long: `Serve the latest values over gRPC: asof.v1.FeatureStore, with health and reflection; with --http-listen as JSON over HTTP too: docs/serving.md.
It holds the online store meanwhile; the verbs that take --server reach it. Definitions that are applied meanwhile are taken up without a restart. What an interrupted run has left unpublished is published first.

Views are materialized when their schedules say so; what was missed is caught up in one run. What fails in a way that may pass is tried
again, ever later. --schedule=false leaves runs to others. Of several servers on one warehouse one starts runs; the others publish what it has
materialized, and one of them takes over when it dies.

--metrics serves Prometheus metrics, --webhook is told of failures and stale views, and --verify-every compares what is served with what training would see:
docs/scheduling.md.
An interrupt lets requests under way end.`,
		Example: "  asof serve --listen 127.0.0.1:7878",
		GroupID: groupFeatures,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd, schedule)
		},
	}
	addServeFlags(c)
	c.Flags().BoolVar(&schedule, "schedule", schedule, "materialize views when their schedules say so")
	return c
}

func (a *app) serve(cmd *cobra.Command, schedule bool) (err error) {
	ctx := cmd.Context()
	p, err := a.project(cmd)
	if err != nil {
		return err
	}
	s := &serving{p: p}
	model, err := p.applied()
	if err != nil {
		return err
	}
	p.noteEdits()
	store, err := p.openServing()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if s.engine, err = p.engine(ctx, store); err != nil {
		return err
	}
	memlimit.SetServing(p.settings.Memory)
	if err := s.refit(ctx); err != nil {
		return err
	}
	if schedule {
		s.scheduler = s.newScheduler()
	}
	s.monitor = s.newMonitor()
	// One view that cannot be published does not keep the others from being served; its values stay as they were.
	for _, view := range model.Views {
		s.monitor.Fault("at the start: the view cannot be published", view.Name, s.sync(ctx, []*definitions.View{view}))
	}
	s.engine.Report = nil // a log has no use for bars
	srv, err := server.New(store, s.model, server.Options{Now: a.now, Logger: a.log, Version: version(), Refit: s.refit, Admin: admin{serving: s}})
	if err != nil {
		return err
	}
	return s.run(ctx, srv)
}

// run serves until ctx ends.
func (s *serving) run(ctx context.Context, srv *server.Server) error {
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	if l.metrics != nil {
		s.p.a.log.Info("serving metrics", "url", "http://"+l.metrics.Addr().String()+"/metrics")
		group.Go(func() error { return s.monitor.ServeMetrics(groupCtx, l.metrics) })
	}
	if l.http != nil {
		s.p.a.log.Info("serving HTTP", "url", "http://"+l.http.Addr().String())
		group.Go(func() error { return srv.RunHTTP(groupCtx, l.http) })
	}
	s.p.a.log.Info("serving", "address", l.grpc.Addr().String(), "services", len(s.model().Services), "views", len(s.model().Views))
	if s.scheduler != nil {
		group.Go(func() error { return s.scheduler.Serve(groupCtx) })
	}
	group.Go(func() error { return s.monitor.Run(groupCtx) })
	group.Go(func() error { return s.watchApplied(groupCtx) })
	group.Go(func() error { return srv.Run(groupCtx, l.grpc) })
	return group.Wait()
}

// listeners are where a server is reached; those that the settings leave out are nil.
type listeners struct{ grpc, http, metrics net.Listener }

// listen listens on the addresses that the settings give, all of them or none.
func (s *serving) listen(ctx context.Context) (l listeners, err error) {
	var config net.ListenConfig
	var open []net.Listener
	for _, each := range []struct {
		flag, address string
		into          *net.Listener
	}{
		{"listen", s.p.settings.Listen, &l.grpc}, {"http-listen", s.p.settings.HTTPListen, &l.http}, {"metrics", s.p.settings.Watching.Metrics, &l.metrics},
	} {
		if each.address == "" {
			continue
		}
		if *each.into, err = config.Listen(ctx, "tcp", each.address); err != nil {
			err = feature.Errorf(feature.ErrUnavailable, "serving on %s: %w: is another server there? choose another address with --%s", each.address, err, each.flag)
			for _, o := range open {
				err = errors.Join(err, o.Close())
			}
			return l, err
		}
		open = append(open, *each.into)
	}
	return l, nil
}

// serving is what a running server goes by. Definitions that are applied meanwhile come into force at once, save for
// what has to be published first (server.Fit).
type serving struct {
	p         *project
	engine    *materialize.Engine
	scheduler *materialize.Scheduler // nil: runs are left to others
	monitor   *monitor.Monitor
	mu        sync.Mutex      // one publication at a time
	running   sync.Mutex      // one run at a time that a client has asked for
	fitting   sync.Mutex      // of applied
	applied   []*server.Model // the definitions that were applied last, the newest first
	served    atomic.Pointer[server.Model]
}

// sync publishes what the offline history of views is ahead of their online values, and then goes by the definitions of that.
func (s *serving) sync(ctx context.Context, views []*definitions.View) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	published, err := s.engine.Sync(ctx, views)
	changed := false
	for view, done := range published {
		s.monitor.Published(view, done.Keys)
		if changed = changed || done.Keys > 0 || done.Rebuilt; done.Keys > 0 {
			s.p.a.log.Info("published what another process has materialized, or an earlier one", "view", view, "keys", progress.Count(done.Keys))
		}
	}
	if changed {
		err = errors.Join(err, s.refit(ctx))
	}
	return err
}

// follow publishes what the leading scheduler has materialized.
func (s *serving) follow(ctx context.Context) {
	views, err := s.views()
	s.monitor.Fault("standing by: the definitions cannot be read", "", err)
	for _, view := range views {
		if err := s.sync(ctx, []*definitions.View{view}); ctx.Err() == nil {
			s.monitor.Fault("standing by: the view cannot be published", view.Name, err)
		}
	}
}

// views returns the views that are applied now.
func (s *serving) views() ([]*definitions.View, error) {
	m, err := s.p.applied()
	if err != nil {
		return nil, err
	}
	return m.Views, nil
}

// newScheduler returns what materializes views beside the server.
func (s *serving) newScheduler() *materialize.Scheduler {
	settings, a := s.p.settings, s.p.a
	runs := s.p.runLog(func(r materialize.RunRecord) { s.monitor.Ran(r) })
	return &materialize.Scheduler{
		Now: a.now, Log: a.log, Parallel: settings.Scheduling.RunsMax, Jitter: settings.Scheduling.Jitter, Timeout: settings.Scheduling.Timeout,
		Views: s.views, Watermarks: s.engine.Watermarks, Follow: s.follow,
		Lead: func() (func() error, error) { return materialize.Lead(settings.Warehouse) },
		Run: func(ctx context.Context, view *definitions.View, attempt int) error {
			engine := *s.engine
			engine.Runs = runs.By(materialize.ByScheduler, attempt)
			engine.Memory /= int64(settings.Scheduling.RunsMax)
			results, err := engine.Run(ctx, []*definitions.View{view}, materialize.Request{})
			if err != nil {
				return err
			}
			r := results[0]
			a.noteUncompacted(r)
			a.log.Info("materialized", "view", r.View, "to", r.Watermark, "rows", r.Rows, "keys", r.Published.Keys, "took", r.Duration)
			return s.refit(ctx)
		},
	}
}

// newMonitor returns what watches the server.
func (s *serving) newMonitor() *monitor.Monitor {
	host, err := os.Hostname()
	if err != nil {
		host = "(unknown)"
	}
	settings := s.p.settings
	watching := settings.Watching
	return monitor.New(monitor.Options{
		Views: s.views, Watermarks: s.engine.Watermarks, Verify: s.engine.Verify, Now: s.p.a.now, Log: s.p.a.log,
		Leads: func() bool { return s.scheduler != nil && s.scheduler.Leads() },
		Host:  host, Listen: settings.Listen, Version: version(), Webhook: watching.Webhook,
		StaleAfter: watching.StaleAfter, VerifyEvery: watching.VerifyEvery, VerifySample: watching.VerifySample,
	})
}

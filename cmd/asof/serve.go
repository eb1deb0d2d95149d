package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/server"
)

// newServeCommand serves features.
func newServeCommand(a *app) *cobra.Command {
	schedule := true
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the latest values over gRPC",
		Long: `Serve the latest values over gRPC: asof.v1.FeatureStore, with health and reflection. It holds the online store meanwhile;
asof materialize --server and asof get --server reach it. What an interrupted run has left unpublished is published first.

Views are materialized when their schedules say so; what was missed is caught up in one run. What fails in a way that may pass is tried
again, ever later. --schedule=false leaves runs to others.
An interrupt lets requests under way end.`,
		Example: "  asof serve --listen 127.0.0.1:7878",
		GroupID: groupFeatures,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serve(cmd, schedule)
		},
	}
	addListenFlag(c)
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
	if err := s.load(); err != nil {
		return err
	}
	p.noteEdits()
	store, err := p.openOnline()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if s.engine, err = p.engine(ctx, store); err != nil {
		return err
	}
	if err := s.catchUp(ctx); err != nil {
		return err
	}
	srv, err := server.New(store, s.model, server.Options{Now: a.now, Logger: a.log, Version: version(), Publish: s.publish})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", p.settings.Listen)
	if err != nil {
		return feature.Errorf(feature.ErrUnavailable, "serving on %s: %w: is another server there? choose another address with --listen", p.settings.Listen, err)
	}
	a.log.Info("serving", "address", listener.Addr().String(), "services", len(s.model().Services), "views", len(s.model().Views))
	group, ctx := errgroup.WithContext(ctx)
	if schedule {
		group.Go(func() error { return s.scheduler().Serve(ctx) })
	}
	group.Go(func() error { return srv.Run(ctx, listener) })
	return group.Wait()
}

// serving is what a running server goes by. Definitions that are applied meanwhile come into force with the next
// publication, since their values are not there before.
type serving struct {
	p       *project
	engine  *materialize.Engine
	mu      sync.Mutex // one publication at a time
	current *definitions.Model
	served  atomic.Pointer[server.Model]
}

func (s *serving) model() *server.Model { return s.served.Load() }

// load goes by the definitions that were applied last.
func (s *serving) load() error {
	m, err := s.p.applied()
	if err != nil {
		return err
	}
	served := &server.Model{Services: map[string]*feature.Service{}, Views: map[string]*feature.View{}}
	for _, svc := range m.Services {
		served.Services[svc.Name] = svc.Service
	}
	for _, v := range m.Views {
		served.Views[v.Name] = v.View
	}
	s.current = m
	s.served.Store(served)
	return nil
}

// catchUp publishes what the offline store is ahead of the online one.
func (s *serving) catchUp(ctx context.Context) error {
	published, err := s.engine.Sync(ctx, s.current.Views)
	for view, done := range published {
		if done.Keys > 0 {
			s.p.a.log.Info("published what an earlier run had left", "view", view, "keys", progress.Count(done.Keys))
		}
	}
	return err
}

// publish serves Admin.Publish.
func (s *serving) publish(ctx context.Context, names []string, rebuild bool) ([]server.Published, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return nil, err
	}
	views, err := viewsOf(s.current, names)
	if err != nil {
		return nil, err
	}
	var published []server.Published
	for _, v := range views {
		if !v.Online {
			continue
		}
		publish := s.engine.Publish
		if rebuild {
			publish = s.engine.Republish
		}
		done, err := publish(ctx, v.View)
		if err != nil {
			return published, err
		}
		published = append(published, server.Published{View: v.Name, Keys: done.Keys, Rebuilt: done.Rebuilt})
	}
	return published, nil
}

// scheduler materializes views beside the server.
func (s *serving) scheduler() *materialize.Scheduler {
	quiet := *s.engine
	quiet.Report = nil // a log has no use for bars
	return &materialize.Scheduler{
		Now: s.p.a.now,
		Log: s.p.a.log,
		Views: func() ([]*definitions.View, error) {
			m, err := s.p.applied()
			if err != nil {
				return nil, err
			}
			return m.Views, nil
		},
		Watermark: quiet.Watermark,
		Run: func(ctx context.Context, view *definitions.View, _ int) error {
			results, err := quiet.Run(ctx, []*definitions.View{view}, materialize.Request{})
			if err != nil {
				return err
			}
			r := results[0]
			s.p.a.log.Info("materialized", "view", r.View, "to", r.Watermark, "rows", r.Rows, "keys", r.Published.Keys, "took", r.Duration)
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.load() // its values are those of the definitions that are applied now
		},
	}
}

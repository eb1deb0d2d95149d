package main

import (
	"context"
	"slices"
	"time"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/server"
)

const (
	appliedPoll = time.Second // how often a server looks whether definitions have been applied
	appliedKept = 16          // versions of the definitions that it keeps, for values that were published by an earlier one
)

// model returns the definitions to serve by.
func (s *serving) model() *server.Model { return s.served.Load() }

// refit goes by the definitions that were applied, as far as their values are published.
func (s *serving) refit(context.Context) error {
	s.fitting.Lock()
	defer s.fitting.Unlock()
	if err := s.loadApplied(); err != nil {
		return err
	}
	states, err := s.engine.Online.States()
	if err != nil {
		return err
	}
	s.served.Store(server.Fit(s.applied, states))
	return nil
}

// loadApplied loads the versions of the definitions that are newer than those that are kept: at first the last ones, since a server may
// start while values of an earlier version are published.
func (s *serving) loadApplied() error {
	current, err := s.p.registry.Current()
	if err != nil {
		return err
	}
	// A record that was removed takes the registry back to the version before.
	s.applied = slices.DeleteFunc(s.applied, func(m *server.Model) bool { return m.Version > current.Version })
	known := 0
	if len(s.applied) > 0 {
		known = s.applied[0].Version
	}
	for version := max(known+1, current.Version-appliedKept+1); version < current.Version; version++ {
		// An earlier version that does not load, for it is damaged or of another asof, is none to fall back on.
		if older, err := s.p.registry.At(version); err == nil {
			if model, err := older.Model(); err == nil {
				s.keep(servedModel(model, version))
			}
		}
	}
	if known == current.Version {
		return nil
	}
	model, err := current.Model()
	if err != nil {
		return err
	}
	s.keep(servedModel(model, current.Version))
	return nil
}

// keep puts a model before those that were applied before it.
func (s *serving) keep(m *server.Model) {
	s.applied = slices.Insert(s.applied, 0, m)
	s.applied = s.applied[:min(len(s.applied), appliedKept)]
}

// servedModel is what a server has to know of definitions.
func servedModel(m *definitions.Model, version int) *server.Model {
	served := &server.Model{Services: map[string]*feature.Service{}, Views: map[string]*feature.View{}, OnDemand: map[string]*feature.OnDemand{},
		Descriptions: map[string]string{}, Version: version}
	for _, svc := range m.Services {
		served.Services[svc.Name], served.Descriptions[svc.Name] = svc.Service, svc.Description
	}
	for _, v := range m.Views {
		served.Views[v.Name] = v.View
	}
	for _, o := range m.OnDemand {
		served.OnDemand[o.Name] = o.OnDemand
	}
	return served
}

// watchApplied takes up definitions that other processes apply, until ctx ends.
func (s *serving) watchApplied(ctx context.Context) error {
	tick := time.NewTicker(appliedPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			versions, err := s.p.registry.Versions()
			if before := s.model().Version; err == nil && len(versions) > 0 && versions[len(versions)-1] != before {
				if err = s.refit(ctx); err == nil {
					m := s.model()
					s.p.a.log.Info("took up definitions", "version", m.Version, "services", len(m.Services), "views", len(m.Views))
				}
			}
			s.monitor.Fault("the definitions that are applied now cannot be read", "", err)
		}
	}
}

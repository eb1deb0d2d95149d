package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/memlimit"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
)

// project is what a verb works on: the definitions that were applied, and the stores.
type project struct {
	a        *app
	settings *settings
	registry *definitions.Registry
}

func (a *app) project(cmd *cobra.Command) (*project, error) {
	s, err := a.settings(cmd)
	if err != nil {
		return nil, err
	}
	registry := definitions.OpenRegistry(s.Warehouse, definitions.RegistryOptions{AsofVersion: version(), Now: a.now})
	return &project{a: a, settings: s, registry: registry}, nil
}

// checkDirectory says what is wrong with a store's directory that is there and cannot be used; what is not there is made by who
// needs it.
func checkDirectory(store, flag, path string) error {
	fault := func(format string, args ...any) error {
		return feature.Errorf(feature.ErrUnavailable, "%s %s "+format+": name another directory with %s in asof.yaml, or --%s",
			append(append([]any{store, path}, args...), flag, flag)...)
	}
	link, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && link.Mode()&fs.ModeSymlink != 0 {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fault("is a symbolic link to a place that does not exist")
		}
	}
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return fault("is not a directory")
	}
	if _, err = os.ReadDir(path); err != nil {
		return fault("is a directory that cannot be read (%w)", err)
	}
	return nil
}

// applied returns the definitions that were applied last.
func (p *project) applied() (*definitions.Model, error) {
	if err := checkDirectory("warehouse", "warehouse", p.settings.Warehouse); err != nil {
		return nil, err
	}
	current, err := p.registry.Current()
	if err != nil {
		return nil, err
	}
	return current.Model()
}

// noteEdits tells on stderr when the definitions on disk are not those that were applied: what the verb does goes by the latter.
func (p *project) noteEdits() {
	if current, err := p.registry.Current(); err == nil && current.Edited(p.settings.Definitions) {
		fmt.Fprintf(p.a.progress, "note: %s is not as it was applied (version %d), which is what counts: asof plan shows what differs, asof apply records it\n",
			p.settings.Definitions, current.Version)
	}
}

// appliedOrNone is applied, with nil and version 0 where nothing was applied yet. A version that this program refuses, unlike the one that applied it, is
// nil too: a plan then has nothing to compare with, and what comes next can be applied all the same.
func (p *project) appliedOrNone() (*definitions.Model, int, error) {
	if err := checkDirectory("warehouse", "warehouse", p.settings.Warehouse); err != nil {
		return nil, 0, err
	}
	current, err := p.registry.Current()
	if errors.Is(err, feature.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	model, err := current.Model()
	if feature.KindOf(err) == feature.ErrInvalid {
		fmt.Fprintf(p.a.progress, "note: everything is new, since %v\n", err)
		return nil, current.Version, nil
	}
	return model, current.Version, err
}

// openOnline opens the online store, which this process then holds alone.
func (p *project) openOnline() (*online.Store, error) {
	return p.openWith(online.Options{Logger: p.a.log})
}

// openServing is openOnline for a server, whose lookups have a cache, and the processors first.
func (p *project) openServing() (*online.Store, error) {
	return p.openWith(online.Options{Logger: p.a.log, CacheBytes: p.settings.Cache, Rest: online.RestServing()})
}

func (p *project) openWith(o online.Options) (*online.Store, error) {
	if err := checkDirectory("online store", "online", p.settings.Online); err != nil {
		return nil, err
	}
	return online.Open(p.settings.Online, o)
}

// engine returns an engine on the offline store and, where it is not nil, an online one.
func (p *project) engine(ctx context.Context, store *online.Store) (*materialize.Engine, error) {
	memlimit.Set(p.settings.Memory)
	history, err := offline.Open(ctx, p.settings.Warehouse, offline.Options{})
	if err != nil {
		return nil, err
	}
	return &materialize.Engine{Offline: history, Online: store, Now: p.a.now, Memory: p.settings.Memory, Workers: p.settings.Workers,
		TempDir: os.TempDir(), Version: version(), Report: reporter{p.a}}, nil
}

// runLog returns the warehouse's history of runs; ended is told of those of this process, unless it is nil.
func (p *project) runLog(ended func(materialize.RunRecord)) *materialize.RunLog {
	return materialize.OpenRunLog(p.settings.Warehouse, materialize.RunLogOptions{Now: p.a.now, Log: p.a.log, Ended: ended})
}

// projectViews returns the project of a call and the views of it that are named, all of them without names.
func (a *app) projectViews(cmd *cobra.Command, names []string) (*project, []*definitions.View, error) {
	p, err := a.project(cmd)
	if err != nil {
		return nil, nil, err
	}
	model, err := p.applied()
	if err != nil {
		return nil, nil, err
	}
	views, err := viewsOf(model, names)
	return p, views, err
}

// withEngine calls do with the named views (all of them without names) and an engine that holds the online store meanwhile.
func (a *app) withEngine(cmd *cobra.Command, names []string, do func(views []*definitions.View, engine *materialize.Engine) error) error {
	return a.withEngineOn(cmd, (*project).openOnline, names, do)
}

// withEngineOn is withEngine on the online store that open opens.
func (a *app) withEngineOn(cmd *cobra.Command, open func(*project) (*online.Store, error), names []string,
	do func(views []*definitions.View, engine *materialize.Engine) error) (err error) {
	p, views, err := a.projectViews(cmd, names)
	if err != nil {
		return err
	}
	store, err := open(p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	engine, err := p.engine(cmd.Context(), store)
	if err != nil {
		return err
	}
	return do(views, engine)
}

// reporter shows an engine's progress.
type reporter struct{ a *app }

func (r reporter) Start(task string, rows int64) materialize.Progress {
	return r.a.progress.Start(task, rows)
}

// viewsOf returns the named views of a model, all of them without names.
func viewsOf(m *definitions.Model, names []string) ([]*definitions.View, error) {
	if len(names) == 0 {
		return m.Views, nil
	}
	var views []*definitions.View
	seen := map[string]bool{}
	for _, name := range names {
		v, err := m.View(name)
		if err != nil {
			return nil, err
		}
		if !seen[name] {
			seen[name], views = true, append(views, v)
		}
	}
	return views, nil
}

// completeViews proposes the applied views' names.
func completeViews(a *app) cobra.CompletionFunc {
	return completeNames(a, func(m *definitions.Model) (names []string) {
		for _, v := range m.Views {
			names = append(names, v.Name)
		}
		return names
	})
}

// completeService proposes the applied services' names for the first argument.
func completeService(a *app) cobra.CompletionFunc {
	names := completeNames(a, func(m *definitions.Model) (names []string) {
		for _, s := range m.Services {
			names = append(names, s.Name)
		}
		return names
	})
	return func(cmd *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd, args, toComplete)
	}
}

func completeNames(a *app, namesOf func(*definitions.Model) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		p, err := a.project(cmd)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		m, err := p.applied()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return namesOf(m), cobra.ShellCompDirectiveNoFileComp
	}
}

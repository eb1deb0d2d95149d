package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/online"
)

// newSyncCommand publishes what the offline store is ahead of the online one.
func newSyncCommand(a *app) *cobra.Command {
	var full bool
	var server string
	c := &cobra.Command{
		Use:   "sync [VIEW...]",
		Short: "Bring the online store up to the offline store",
		Long: `Publish what the offline store is ahead of the online one: after an interruption, after another process has materialized, or, with --full, everything anew,
as into an online store that was lost or is damaged: what is left of a damaged one is set aside, in a directory within its own. Nothing is computed; views that were never materialized, or whose definition has changed since, wait for asof materialize.

While asof serve holds the online store it does this by itself when it starts, and when --server asks it to.`,
		Example:           "  asof sync\n  asof sync --full",
		GroupID:           groupFeatures,
		ValidArgsFunction: completeViews(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			if server != "" {
				return a.publishAt(cmd.Context(), server, args, full)
			}
			return a.sync(cmd, args, full)
		},
	}
	c.Flags().BoolVar(&full, "full", false, "publish all values anew, whatever is there")
	serverFlag(c, &server, "is to do it")
	return c
}

func (a *app) sync(cmd *cobra.Command, names []string, full bool) error {
	open := (*project).openOnline
	if full && len(names) == 0 { // so that all that was in the store comes back
		open = (*project).openOnlineAnyway
	}
	return a.withEngineOn(cmd, open, names, func(views []*definitions.View, engine *materialize.Engine) error {
		sync := engine.Sync
		if full {
			sync = engine.SyncFull
		}
		published, err := sync(cmd.Context(), views)
		return errors.Join(a.printSynced(views, published), err)
	})
}

// openOnlineAnyway is openOnline, with a new store in place of one that is damaged. A crash on the way leaves a damaged store or an empty one,
// which the next sync, or the next start of a server, fills.
func (p *project) openOnlineAnyway() (*online.Store, error) {
	store, err := p.openOnline()
	if feature.KindOf(err) != feature.ErrCorrupt {
		return store, err
	}
	p.a.log.Warn("the online store cannot be used", "error", err)
	aside, err := online.SetAside(p.settings.Online, p.a.now())
	if err != nil {
		return nil, err
	}
	if err := p.a.printf("online store %s: made anew; what was there is in %s, which may be removed\n", p.settings.Online, aside); err != nil {
		return nil, err
	}
	return p.openOnline()
}

func (a *app) printSynced(views []*definitions.View, published map[string]materialize.Published) error {
	for _, v := range views {
		done, ok := published[v.Name]
		text := progress.Count(done.Keys) + " keys published"
		switch {
		case !v.Online:
			text = "not served: it says online: false"
		case !ok:
			text = "waits for asof materialize"
		case done.Keys == 0:
			text = "up to date"
		}
		if err := a.printf("%s: %s\n", v.Name, text); err != nil {
			return err
		}
	}
	return nil
}

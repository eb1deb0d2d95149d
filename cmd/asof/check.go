package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
)

// checkFinding is something that a check has found.
type checkFinding struct {
	Store  string `json:"store"` // offline, online or registry
	View   string `json:"view,omitempty"`
	Where  string `json:"where"`
	What   string `json:"what"`
	Remark bool   `json:"remark"` // nothing is broken
}

// checkedView is how much of a view's history was checked.
type checkedView struct {
	View      string `json:"view"`
	Snapshots int    `json:"snapshots"`
	Files     int    `json:"files"`
	Rows      int64  `json:"rows"`
	Bytes     int64  `json:"bytes"`
	Faults    int    `json:"faults"`
	Remarks   int    `json:"remarks"`
}

// check is a call of asof check.
type check struct {
	a        *app
	asJSON   bool
	Views    []checkedView  `json:"views"`
	Findings []checkFinding `json:"findings"`
	faults   []error        // what is broken in a store, and what to do about it
}

// newCheckCommand derives again from the stored bytes what must hold of them.
func newCheckCommand(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "check [VIEW...]",
		Short: "Check that what is stored is whole and holds together",
		Long: `Derive again from the stored bytes of views what must hold of them: checksums of all files, the lineage of snapshots, rows, counts, bounds, order, event times
within what is materialized, states of tiles. Whatever does not hold is named, and the check goes on. Files that belong to nobody are remarked on: a crash or
another engine has left them. Nothing is changed. Without names all views are checked, and the registry and the online store too.

All of the history is read, that of tagged snapshots included. Others may read and write it meanwhile; the online store belongs to one process, and is not
checked while asof serve holds it. Exit code 5 tells that something is broken.`,
		Example:           "  asof check\n  asof check customer_spend --json",
		GroupID:           groupFeatures,
		ValidArgsFunction: completeViews(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.check(cmd, args, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) check(cmd *cobra.Command, names []string, asJSON bool) error {
	p, err := a.project(cmd)
	if err != nil {
		return err
	}
	c := &check{a: a, asJSON: asJSON, Views: []checkedView{}, Findings: []checkFinding{}}
	if len(names) == 0 {
		if err := c.registry(p); err != nil {
			return err
		}
	}
	model, err := p.applied()
	if err != nil {
		return err
	}
	views, err := viewsOf(model, names)
	if err != nil {
		return err
	}
	err = c.offline(cmd, p, views)
	if err == nil && len(names) == 0 {
		err = c.online(cmd, p, model)
	}
	return errors.Join(c.print(), err, errors.Join(c.faults...))
}

// note takes a finding in, and shows it unless all are to be JSON.
func (c *check) note(f checkFinding) error {
	c.Findings = append(c.Findings, f)
	if c.asJSON {
		return nil
	}
	kind := ""
	if f.Remark {
		kind = "remark: "
	}
	if f.View != "" {
		kind += f.View + ", "
	}
	return c.a.printf("%s%s: %s\n", kind, f.Where, f.What)
}

// registry checks the records of what was applied. That an earlier version does not load with this program is a remark: nothing goes by it.
func (c *check) registry(p *project) error {
	damaged := 0
	for _, fault := range p.registry.Check() {
		kind := feature.KindOf(fault)
		if kind == feature.ErrUnavailable {
			return fault
		}
		if kind == feature.ErrCorrupt {
			damaged++
		}
		if err := c.note(checkFinding{Store: "registry", Where: "registry of " + p.settings.Warehouse, What: fault.Error(), Remark: kind != feature.ErrCorrupt}); err != nil {
			return err
		}
	}
	if damaged > 0 {
		c.faults = append(c.faults, feature.Errorf(feature.ErrCorrupt, "the registry has %s: restore its files from a backup, or apply the definitions again to a new warehouse", counted(damaged, "fault")))
	}
	return nil
}

// online checks the online store, if there is one.
func (c *check) online(cmd *cobra.Command, p *project, model *definitions.Model) (err error) {
	if !exists(p.settings.Online) {
		return nil
	}
	where := "online store " + p.settings.Online
	faults := 0
	store, err := p.openOnline()
	switch {
	case errors.Is(err, feature.ErrUnavailable):
		return c.note(checkFinding{Store: "online", Where: where, What: "it was not checked: " + err.Error(), Remark: true})
	case errors.Is(err, feature.ErrCorrupt):
		faults, err = 1, c.note(checkFinding{Store: "online", Where: where, What: err.Error()})
	case err == nil:
		faults, err = c.values(cmd, store, model)
	}
	if faults > 0 {
		c.faults = append(c.faults, feature.Errorf(feature.ErrCorrupt, "the online store has %s: asof sync --full makes it anew from the history", counted(faults, "fault")))
	}
	return err
}

// values checks an open online store, and closes it.
func (c *check) values(cmd *cobra.Command, store *online.Store, model *definitions.Model) (faults int, err error) {
	defer func() { err = errors.Join(err, store.Close()) }()
	var views []*feature.View
	for _, v := range model.Views {
		views = append(views, v.View)
	}
	var printing error
	err = store.Check(cmd.Context(), views, func(f online.Finding) {
		if !f.Remark {
			faults++
		}
		printing = errors.Join(printing, c.note(checkFinding{Store: "online", Where: f.Where, What: f.What, Remark: f.Remark}))
	})
	return faults, errors.Join(err, printing)
}

// offline checks the history of views.
func (c *check) offline(cmd *cobra.Command, p *project, views []*definitions.View) error {
	store, err := offline.Open(cmd.Context(), p.settings.Warehouse, offline.Options{})
	if err != nil {
		return err
	}
	for _, v := range views {
		if err := c.history(cmd, store, v.View); err != nil && !errors.Is(err, feature.ErrNotFound) { // never materialized
			return err
		}
	}
	return nil
}

func (c *check) history(cmd *cobra.Command, store *offline.Store, view *feature.View) error {
	rows, err := materialize.CheckTiles(view)
	if err != nil {
		return err
	}
	bar := c.a.progress.Start(view.Name+": checking", 0)
	defer bar.Fail()
	var printing error
	done, err := store.Check(cmd.Context(), view, offline.CheckOptions{Rows: rows, Progress: bar.Add}, func(f offline.Finding) {
		printing = errors.Join(printing, c.note(checkFinding{Store: "offline", View: view.Name, Where: f.Where, What: f.What, Remark: f.Remark}))
	})
	if done.Faults > 0 {
		c.faults = append(c.faults, feature.Errorf(feature.ErrCorrupt, "view %s: its history has %s: %s", view.Name, counted(done.Faults, "fault"), store.Remedy(view.Name)))
	}
	if err := errors.Join(err, printing); err != nil {
		return err
	}
	bar.Done("")
	c.Views = append(c.Views, checkedView{View: view.Name, Snapshots: done.Snapshots, Files: done.Files, Rows: done.Rows, Bytes: done.Bytes, Faults: done.Faults, Remarks: done.Remarks})
	return nil
}

// print shows the summary, or all that was found as JSON.
func (c *check) print() error {
	if c.asJSON {
		text, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return err
		}
		return c.a.printf("%s\n", text)
	}
	w := tabwriter.NewWriter(c.a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join([]string{"view", "snapshots", "files", "rows", "faults", "remarks"}, "\t"))
	for _, v := range c.Views {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%d\t%d\n", v.View, v.Snapshots, v.Files, progress.Count(v.Rows), v.Faults, v.Remarks)
	}
	return w.Flush()
}

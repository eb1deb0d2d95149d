package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/online"
)

// explainRequest is what the command line of asof explain asks for.
type explainRequest struct {
	service, server, at string
	keys, fields        []string
	rows                int
}

// newExplainCommand tells where values come from.
func newExplainCommand(a *app) *cobra.Command {
	var r explainRequest
	var asJSON bool
	c := &cobra.Command{
		Use:   "explain SERVICE --key NAME=VALUE... [--field NAME=VALUE...]",
		Short: "Tell where each value of a key comes from: rows or tiles, source rows, the rule that applied",
		Long: `Tell of each feature of a service, for one key, where its value comes from: the row of the history, or the tiles of its window, the rows of the
source files behind them, the rule that applied, and the rows that are not visible yet. Beside what a training set gives as of --at stand what is served online,
and what a training set gives as of the online watermark: the two should be equal. Of on-demand features it tells the expression and the values of what they are
computed from, and their own where the fields of the request that they take are given by --field.

It reads the online store itself, or asks the server that --server names. Where another process holds the store and no server is named, it says so and explains the
offline side alone. Source files are read as they are now; what has changed in them since they were materialized is noted.`,
		Example:           "  asof explain fraud_v1 --key customer_id=7 --key payee_id=8 --key terminal_id=3\n  asof explain fraud_v1 --key customer_id=7 --at 2026-01-31T12:00:00Z --json",
		GroupID:           groupFeatures,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeService(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.service = args[0]
			shown, err := a.explain(cmd, r)
			if err != nil {
				return err
			}
			if !asJSON {
				return a.printf("%s", shown.text())
			}
			text, err := json.MarshalIndent(shown, "", "  ")
			if err != nil {
				return err
			}
			return a.printf("%s\n", text)
		},
	}
	c.Flags().StringArrayVar(&r.keys, "key", nil, "a key column and its value, such as customer_id=7; repeat it for each")
	c.Flags().StringArrayVar(&r.fields, "field", nil, "a field of the request and its value, such as amount=12.5; repeat it for each")
	c.Flags().StringVar(&r.at, "at", "", "the as-of time (default now)")
	c.Flags().StringVar(&r.server, "server", "", "host:port of the asof serve that holds the online store")
	c.Flags().IntVar(&r.rows, "rows", materialize.ExplainRows, "rows, tiles and source rows to show, of each at most")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (a *app) explain(cmd *cobra.Command, r explainRequest) (shown *explained, err error) {
	if r.rows < 1 {
		return nil, feature.Errorf(feature.ErrInvalid, "--rows %d: show at least one", r.rows)
	}
	at, err := timeFlag("at", r.at)
	if err != nil {
		return nil, err
	}
	if at == nil {
		now := feature.TimeOf(a.now())
		at = &now
	}
	p, err := a.project(cmd)
	if err != nil {
		return nil, err
	}
	model, err := p.applied()
	if err != nil {
		return nil, err
	}
	svc, err := model.Service(r.service)
	if err != nil {
		return nil, err
	}
	columns, err := requestColumns(svc.Service, r.keys, r.fields)
	if err != nil {
		return nil, err
	}
	p.noteEdits()
	shown = newExplained(svc.Name, r.keys, r.fields, *at)
	looked := make([][]arrow.Array, len(svc.Refs))
	err = p.withServed(cmd.Context(), r.server, func(engine *materialize.Engine, served materialize.Served, why string) error {
		if served == nil {
			shown.Notes = append(shown.Notes, why)
		}
		for i := range svc.Refs {
			view, err := model.View(svc.Refs[i].View.Name)
			if err != nil {
				return err
			}
			request := materialize.ExplainRequest{At: *at, Served: served, Rows: r.rows}
			x, err := explainRef(cmd.Context(), engine, view, &svc.Refs[i], columns, request)
			if err != nil {
				return err
			}
			shown.Views = append(shown.Views, newExplainedView(&svc.Refs[i], &x))
			for _, f := range x.Features {
				looked[i] = append(looked[i], f.Value)
			}
		}
		shown.explainOnDemand(svc.Service, columns, looked)
		return nil
	})
	return shown, err
}

// explainRef explains what is looked up of a ref's view.
func explainRef(ctx context.Context, engine *materialize.Engine, view *definitions.View, ref *feature.Ref, columns map[string]arrow.Array, r materialize.ExplainRequest) (materialize.Explanation, error) {
	r.Features = ref.Lookups()
	for i, name := range ref.KeyColumns {
		column := columns[name]
		if want := ref.View.Keys[i].Type; !arrow.TypeEqual(column.DataType(), want.Arrow()) { // several views may share a key column
			return materialize.Explanation{}, feature.Errorf(feature.ErrInvalid, "key column %s holds %s, view %s needs %s: map its key to another column", name, column.DataType(), ref.Name(), want)
		}
		r.Key = append(r.Key, column)
	}
	return engine.Explain(ctx, view, r)
}

// withServed calls do with an engine and what is served: by the server at an address, or by the online store, which is held meanwhile. Where
// that cannot be had, served is nil and why says so.
func (p *project) withServed(ctx context.Context, address string, do func(engine *materialize.Engine, served materialize.Served, why string) error) (err error) {
	if address != "" {
		c, err := dial(address)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, c.close()) }()
		engine, err := p.engine(ctx, nil)
		if err != nil {
			return err
		}
		return do(engine, c, "")
	}
	var store *online.Store
	why := fmt.Sprintf("nothing is served: there is no online store %s", p.settings.Online)
	if exists(p.settings.Online) {
		store, err = p.openOnline()
		switch {
		case errors.Is(err, feature.ErrUnavailable):
			why = err.Error()
		case err != nil:
			return err
		default:
			defer func() { err = errors.Join(err, store.Close()) }()
		}
	}
	engine, err := p.engine(ctx, store)
	if err != nil {
		return err
	}
	if store == nil {
		return do(engine, nil, why)
	}
	return do(engine, engine.Serves(), "")
}

// given returns the NAME=VALUE texts of --key or --field by name.
func given(texts []string) map[string]string {
	values := map[string]string{}
	for _, text := range texts {
		name, value, _ := strings.Cut(text, "=")
		values[name] = value
	}
	return values
}

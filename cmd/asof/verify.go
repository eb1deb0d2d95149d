package main

import (
	"context"
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
)

// sampleDefault is how many keys of a view are verified where nothing else is asked for.
const sampleDefault = 1000

// newVerifyCommand compares what is served with what training would see.
func newVerifyCommand(a *app) *cobra.Command {
	var request materialize.VerifyRequest
	var all, asJSON bool
	var server string
	c := &cobra.Command{
		Use:   "verify [VIEW...]",
		Short: "Compare what is served with what training would see",
		Long: `Compare the online values of views, all that are published without names, with the point-in-time join at the time as of which
they are: value by value, to the bit. A sample of keys is drawn from the history; --all compares every key, and looks for keys that are online and not in the
history. What differs is shown with the rows behind it. Exit code 5 tells that something differs.

The online store belongs to one process: while asof serve holds it, what that answers is compared with --server. It does not list its keys, so that keys which are
online alone are not found then.`,
		Example:           "  asof verify\n  asof verify customer_spend --all\n  asof verify --server 127.0.0.1:7878 --json",
		GroupID:           groupFeatures,
		ValidArgsFunction: completeViews(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			if request.Sample < 1 {
				return feature.Errorf(feature.ErrInvalid, "--sample %d: draw at least one key, or compare --all", request.Sample)
			}
			if all {
				request.Sample = 0
			}
			done, err := a.verify(cmd, args, request, server)
			print := a.printVerified
			if asJSON {
				print = a.printVerifiedJSON
			}
			return errors.Join(print(done), err, faultOf(done))
		},
	}
	c.Flags().IntVar(&request.Sample, "sample", sampleDefault, "keys of each view to compare")
	c.Flags().Uint64Var(&request.Seed, "seed", 0, "of the draw: another one draws other keys")
	c.Flags().BoolVar(&all, "all", false, "compare all keys")
	c.Flags().StringVar(&server, "server", "", "host:port of a server whose answers to compare")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// verified is what asof verify prints of a view.
type verified struct {
	View        string                `json:"view"`
	Watermark   string                `json:"watermark"`
	Keys        int64                 `json:"keys"`
	Equal       int64                 `json:"equal"`
	Different   int64                 `json:"different"`
	Missing     int64                 `json:"missing"`
	Extra       *int64                `json:"extra"` // null where it was not looked for
	Features    []verifiedFeature     `json:"features"`
	Differences []*verifiedDifference `json:"differences"` // the first of them

	ok bool
}

// verifiedFeature counts the keys of a feature.
type verifiedFeature struct {
	Name      string `json:"feature"`
	Equal     int64  `json:"equal"`
	Different int64  `json:"different"`
	Missing   int64  `json:"missing"`
}

// verifiedDifference is a value that differs. Rows are those behind the value that training would see.
type verifiedDifference struct {
	Key          string         `json:"key"`
	Feature      string         `json:"feature,omitempty"`
	Online       string         `json:"online"`
	OnlineEvent  *string        `json:"online_event_time"`
	Offline      string         `json:"offline"`
	OfflineEvent *string        `json:"offline_event_time"`
	Behind       *explainedView `json:"behind,omitempty"`
}

// verify compares views, and returns those that were before the first error.
func (a *app) verify(cmd *cobra.Command, names []string, r materialize.VerifyRequest, server string) (done []*verified, err error) {
	compare := func(views []*definitions.View, engine *materialize.Engine) error {
		for _, v := range views {
			if !v.Online && len(names) == 0 {
				continue
			}
			result, err := engine.Verify(cmd.Context(), v.View, r)
			if err != nil {
				return err
			}
			shown, err := newVerified(cmd.Context(), engine, v, r, &result)
			if err != nil {
				return err
			}
			done = append(done, shown)
		}
		return nil
	}
	if server == "" {
		return done, a.withEngine(cmd, names, compare)
	}
	p, err := a.project(cmd)
	if err != nil {
		return nil, err
	}
	model, err := p.applied()
	if err != nil {
		return nil, err
	}
	views, err := viewsOf(model, names)
	if err != nil {
		return nil, err
	}
	return done, p.withServed(cmd.Context(), server, func(engine *materialize.Engine, served materialize.Served, _ string) error {
		r.Served = served
		return compare(views, engine)
	})
}

// newVerified adds to a verification the rows behind each difference.
func newVerified(ctx context.Context, engine *materialize.Engine, view *definitions.View, r materialize.VerifyRequest, result *materialize.Verification) (*verified, error) {
	v := &verified{View: result.View, Watermark: result.Watermark.String(), Keys: result.Keys, Equal: result.Equal, Different: result.Different, Missing: result.Missing,
		Differences: []*verifiedDifference{}, ok: result.OK()}
	if r.Sample <= 0 && r.Served == nil {
		v.Extra = &result.Extra
	}
	for _, f := range result.Features {
		v.Features = append(v.Features, verifiedFeature(f))
	}
	for i := range result.Differences {
		d := &result.Differences[i]
		ref := feature.Ref{View: view.View}
		for f := range view.Features {
			if d.Feature == "" || d.Feature == view.Features[f].Name {
				ref.Features = append(ref.Features, f)
			}
		}
		x, err := engine.Explain(ctx, view, materialize.ExplainRequest{Key: d.Parts, Features: ref.Features, At: d.Watermark, Snapshot: d.Snapshot})
		if err != nil {
			return nil, err
		}
		v.Differences = append(v.Differences, &verifiedDifference{Key: d.Key, Feature: d.Feature, Online: d.Online, Offline: d.Offline,
			OnlineEvent: timeOrNil(d.OnlineEvent), OfflineEvent: timeOrNil(d.OfflineEvent), Behind: newExplainedView(&ref, &x)})
	}
	return v, nil
}

// faultOf is the error of views whose values differ.
func faultOf(done []*verified) error {
	var errs []error
	for _, v := range done {
		if v.ok {
			continue
		}
		extra := int64(0)
		if v.Extra != nil {
			extra = *v.Extra
		}
		errs = append(errs, feature.Errorf(feature.ErrCorrupt, "view %s: %d keys of %d differ online from what training would see, %d are missing online, %d are online alone: asof sync %s --full publishes it anew",
			v.View, v.Different, v.Keys, v.Missing, extra, v.View))
	}
	return errors.Join(errs...)
}

func (a *app) printVerifiedJSON(done []*verified) error {
	text, err := json.MarshalIndent(append([]*verified{}, done...), "", "  ")
	if err != nil {
		return err
	}
	return a.printf("%s\n", text)
}

func (a *app) printVerified(done []*verified) error {
	if len(done) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "view\tas of\tkeys\tequal\tdifferent\tmissing\textra\n")
	for _, v := range done {
		extra := "-"
		if v.Extra != nil {
			extra = progress.Count(*v.Extra)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", v.View, v.Watermark, progress.Count(v.Keys), progress.Count(v.Equal), v.Different, v.Missing, extra)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nview\tfeature\tequal\tdifferent\tmissing\n")
	for _, v := range done {
		for _, f := range v.Features {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", v.View, f.Name, progress.Count(f.Equal), f.Different, f.Missing)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	var b strings.Builder
	for _, v := range done {
		for _, d := range v.Differences {
			d.print(&b, v.View)
		}
	}
	return a.printf("%s", b.String())
}

// print writes a difference with the rows behind it.
func (d *verifiedDifference) print(b *strings.Builder, view string) {
	what := d.Key
	if d.Feature != "" {
		what += ", " + d.Feature
	}
	fmt.Fprintf(b, "\n%s, %s: online %s (%s), offline %s (%s)\n", view, what, d.Online, eventText(d.OnlineEvent), d.Offline, eventText(d.OfflineEvent))
	var l lines
	d.Behind.rowLines(&l)
	if d.Feature != "" {
		l = append(l, d.Behind.featureLines(&d.Behind.Features[0])...)
	}
	for _, note := range d.Behind.Notes {
		l.add("note", "%s", note)
	}
	l.print(b, "  ")
}

func eventText(t *string) string {
	if t == nil {
		return "no event"
	}
	return "event " + *t
}

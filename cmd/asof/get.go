package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/spf13/cobra"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
)

// newGetCommand looks features up.
func newGetCommand(a *app) *cobra.Command {
	var keys, fields []string
	var server string
	var asJSON bool
	c := &cobra.Command{
		Use:   "get SERVICE --key NAME=VALUE... [--field NAME=VALUE...]",
		Short: "Look up a service's latest values for a key",
		Long: `Look up the latest values of a service's features for one key, whose parts and roles are given by one --key each. What its on-demand
features take of a request is given by one --field each; a list is written as JSON, and nothing behind the = is NULL.
It reads the online store itself, which no server may hold meanwhile, or asks the server that --server names.`,
		Example:           "  asof get fraud_v1 --key customer_id=7 --key payee_id=8 --key terminal_id=3\n  asof get fraud_live --key customer_id=7 --key payee_id=8 --field amount=12.5\n  asof get fraud_v1 --key customer_id=7 --server 127.0.0.1:7878 --json",
		GroupID:           groupFeatures,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeService(a),
		RunE: func(cmd *cobra.Command, args []string) error {
			values, service, err := a.get(cmd, args[0], keys, fields, server)
			if err != nil {
				return err
			}
			if asJSON {
				return a.printJSON(service, keys, fields, values)
			}
			return a.printValues(values)
		},
	}
	c.Flags().StringArrayVar(&keys, "key", nil, "a key column and its value, such as customer_id=7; repeat it for each")
	c.Flags().StringArrayVar(&fields, "field", nil, "a field of the request and its value, such as amount=12.5; repeat it for each")
	c.Flags().StringVar(&server, "server", "", "host:port of a server to ask")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// gotValue is one feature's answer for the key that was asked for.
type gotValue struct {
	Name      string         `json:"-"`
	Value     any            `json:"value"`
	Status    string         `json:"status"`
	EventTime *string        `json:"event_time"`
	status    feature.Status // as it came
}

func newGotValue(name string, column arrow.Array, status feature.Status, found bool, event feature.Time) gotValue {
	v := gotValue{Name: name, Status: status.String(), status: status}
	if !column.IsNull(0) {
		v.Value = column.GetOneForMarshal(0)
		if t, ok := column.(*array.Timestamp); ok {
			v.Value = feature.Time(t.Value(0)).String()
		}
	}
	if found {
		text := event.String()
		v.EventTime = &text
	}
	return v
}

func (a *app) get(cmd *cobra.Command, name string, keys, fields []string, server string) ([]gotValue, *feature.Service, error) {
	p, err := a.project(cmd)
	if err != nil {
		return nil, nil, err
	}
	model, err := p.applied()
	if err != nil {
		return nil, nil, err
	}
	svc, err := model.Service(name)
	if err != nil {
		return nil, nil, err
	}
	columns, err := requestColumns(svc.Service, keys, fields)
	if err != nil {
		return nil, nil, err
	}
	if err := fieldsOf(svc.Service).complete(svc.Name, columns); err != nil {
		return nil, nil, err
	}
	if server != "" {
		values, err := p.getFrom(cmd.Context(), server, svc.Service, columns)
		return values, svc.Service, err
	}
	values, err := p.getHere(cmd.Context(), svc.Service, columns)
	return values, svc.Service, err
}

// requestColumns makes one-row columns of the NAME=VALUE texts of --key, which must be there for all keys, and of --field.
func requestColumns(svc *feature.Service, keys, fields []string) (map[string]arrow.Array, error) {
	columns := map[string]arrow.Array{}
	if err := keysOf(svc).read(svc.Name, keys, columns); err != nil {
		return nil, err
	}
	if err := fieldsOf(svc).read(svc.Name, fields, columns); err != nil {
		return nil, err
	}
	return columns, keysOf(svc).complete(svc.Name, columns)
}

// flagged are columns that are given one by one on the command line.
type flagged struct {
	flag, noun, plural string
	fields             []feature.Field
}

func keysOf(svc *feature.Service) flagged { return flagged{"--key", "key", "keys", svc.KeyFields()} }

func fieldsOf(svc *feature.Service) flagged {
	return flagged{"--field", "request field", "request fields", svc.RequestFields()}
}

// names lists them for messages.
func (f flagged) names() string {
	var names []string
	for _, field := range f.fields {
		names = append(names, field.Name)
	}
	if len(names) == 0 {
		return "it takes no " + f.plural
	}
	return "its " + f.plural + " are " + strings.Join(names, ", ")
}

// read makes one-row columns of NAME=VALUE texts, which are for a service.
func (f flagged) read(service string, texts []string, columns map[string]arrow.Array) error {
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return feature.Errorf(feature.ErrInvalid, "%s %q: write NAME=VALUE, such as customer_id=7", f.flag, text)
		}
		i := slices.IndexFunc(f.fields, func(field feature.Field) bool { return field.Name == name })
		if i < 0 {
			return feature.Errorf(feature.ErrInvalid, "%s %s: service %s has no %s %q; %s", f.flag, text, service, f.noun, name, f.names())
		}
		if columns[name] != nil {
			return feature.Errorf(feature.ErrInvalid, "%s %s: %s is given twice", f.flag, text, name)
		}
		column, err := flagColumn(f.flag+" "+text, name, value, f.fields[i].Type)
		if err != nil {
			return err
		}
		columns[name] = column
	}
	return nil
}

// complete tells which of them is missing.
func (f flagged) complete(service string, columns map[string]arrow.Array) error {
	for _, field := range f.fields {
		if columns[field.Name] == nil {
			return feature.Errorf(feature.ErrInvalid, "service %s needs %s %s=...; %s", service, f.flag, field.Name, f.names())
		}
	}
	return nil
}

// flagColumn returns a value as a column of one row; a list is written as JSON.
func flagColumn(where, name, value string, t feature.Type) (arrow.Array, error) {
	if t.List && value != "" {
		list, _, err := array.FromJSON(memory.DefaultAllocator, t.Arrow(), strings.NewReader("["+value+"]"))
		if err != nil || list.Len() != 1 {
			return nil, feature.Errorf(feature.ErrInvalid, "%s: write a %s as JSON, such as %s=[1, 2]", where, t, name)
		}
		return list, nil
	}
	if t.List {
		b := array.NewBuilder(memory.DefaultAllocator, t.Arrow())
		b.AppendNull()
		return b.NewArray(), nil
	}
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.Append(value)
	return tabular.Convert(b.NewArray(), name, t, func(int) string { return where })
}

// getHere reads the online store.
func (p *project) getHere(ctx context.Context, svc *feature.Service, columns map[string]arrow.Array) (values []gotValue, err error) {
	store, err := p.openOnline()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	answer, err := store.Lookup(ctx, svc, columns, feature.TimeOf(p.a.now()), false)
	if err != nil {
		return nil, err
	}
	for _, c := range answer.Columns {
		values = append(values, newGotValue(c.Name, c.Values(), c.Statuses[0], c.Found[0], c.EventTimes[0]))
	}
	states, err := store.States()
	if err != nil {
		return nil, err
	}
	p.noteUnpublished(svc, func(view string) bool { _, known := states[view]; return known })
	return values, nil
}

// noteUnpublished tells on stderr why nothing is found in views that have no values online yet.
func (p *project) noteUnpublished(svc *feature.Service, published func(view string) bool) {
	told := map[string]bool{}
	for _, ref := range svc.Refs {
		if name := ref.View.Name; !published(name) && !told[name] {
			told[name] = true
			fmt.Fprintf(p.a.progress, "note: view %s has no values online yet: run asof materialize %s\n", name, name)
		}
	}
}

func (a *app) printValues(values []gotValue) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "feature\tvalue\tstatus\tevent time\n")
	for _, v := range values {
		at := "-"
		if v.EventTime != nil {
			at = *v.EventTime
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Name, valueText(v.Value), v.Status, at)
	}
	return w.Flush()
}

// printJSON prints the answer with a line for each feature, in the service's order.
func (a *app) printJSON(svc *feature.Service, keys, fields []string, values []gotValue) error {
	head, err := json.Marshal(given(keys))
	if err != nil {
		return err
	}
	if len(fields) > 0 {
		text, err := json.Marshal(given(fields))
		if err != nil {
			return err
		}
		head = append(append(head, ",\n  \"fields\": "...), text...)
	}
	lines := make([]string, len(values))
	for i, v := range values {
		text, err := json.Marshal(v)
		if err != nil {
			return feature.Errorf(feature.ErrInvalid, "%s: JSON cannot hold its value %v: leave --json out", v.Name, v.Value)
		}
		lines[i] = fmt.Sprintf("    %q: %s", v.Name, text)
	}
	return a.printf("{\n  \"service\": %q,\n  \"keys\": %s,\n  \"features\": {\n%s\n  }\n}\n", svc.Name, head, strings.Join(lines, ",\n"))
}

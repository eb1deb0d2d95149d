package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/parquet-go/parquet-go"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
)

// explainJSON explains the service fraud, and returns what is printed as JSON and the features by name.
func explainJSON(t *testing.T, args ...string) (e explained, features map[string]explainedFeature) {
	t.Helper()
	text := ok(t, append([]string{"explain", "fraud", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		t.Fatalf("asof explain --json printed %s: %v", text, err)
	}
	features = map[string]explainedFeature{}
	for _, v := range e.Views {
		for _, f := range v.Features {
			features[f.Name] = f
		}
	}
	return e, features
}

// TestExplain explains a customer's features: they are those that asof get prints, and the source row that is named holds them.
func TestExplain(t *testing.T) {
	inProject(t, "apply")
	keys := []string{"--key", "customer_id=7", "--key", "payee_id=8"}
	fails(t, 3, []string{"view last_payment has never been materialized: run asof materialize last_payment"}, append([]string{"explain", "fraud"}, keys...)...)
	ok(t, "materialize")
	e, features := explainJSON(t, keys...)
	got, order := getJSON(t, append([]string{"fraud"}, keys...)...)
	if len(features) != len(order) || len(e.Notes) != 0 || e.At != "2024-05-17T09:30:00Z" || len(e.Views) != 3 || e.Views[2].Alias != "payee" {
		t.Errorf("%+v, and asof get has %q", e, order)
	}
	for name, f := range features {
		if want := got.Features[name]; f.Value != want.Value || f.Status != want.Status || *f.EventTime != *want.EventTime || !*f.Equal || f.Online.Value != want.Value {
			t.Errorf("%s is explained as %+v, and asof get has %+v", name, f, want)
		}
	}
	row := e.Views[0].Rows[0]
	type payment struct {
		Amount float64 `parquet:"amount"`
	}
	payments, err := parquet.ReadFile[payment](filepath.FromSlash(row.Source.File))
	if err != nil {
		t.Fatal(err)
	}
	if amount := payments[row.Source.Row].Amount; amount != features["last_amount"].Value || row.Source.Event != *features["last_amount"].EventTime {
		t.Errorf("row %d of %s has the amount %v, the feature is %+v", row.Source.Row, row.Source.File, amount, features["last_amount"])
	}
	if _, err := os.Stat(row.File); err != nil {
		t.Errorf("the history's file: %v", err)
	}

	text := ok(t, append([]string{"explain", "fraud", "--at", "2024-04-01"}, keys...)...)
	for _, want := range []string{"fraud of customer_id=7, payee_id=8 as of 2024-04-01T00:00:00Z\n", "\nview last_payment, customer_id=7\n", "\nview profile as payee, customer_id=8\n",
		"2024-03-31T23:50:00Z: the as-of time less the delay of 10m\n", "hidden    event ", ", visible from ", "later ones\n", "\n  payee__home_country = ", ": equal\n", "  in warehouse/features/profile/data/"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if got := newExplained("market", nil, nil, 0).text(); got != "market as of 1970-01-01T00:00:00Z\n" {
		t.Errorf("a service without keys: %q", got)
	}
	unknown, features := explainJSON(t, "--key", "customer_id=999999", "--key", "payee_id=")
	if f := features["home_country"]; f.Status != "NOT_FOUND" || f.Rule != "the key has never been seen; its default stands in the place of NULL" || len(unknown.Views[0].Rows) != 0 {
		t.Errorf("a customer whom nobody knows: %+v", f)
	}
	if f := features["payee__home_country"]; f.Rule != "a part of the key is NULL, which matches nothing; its default stands in the place of NULL" || !*f.Equal {
		t.Errorf("a NULL key: %+v", f)
	}
}

// TestExplainErrors gives what is wrong on the command line, and stores that are not as they should be.
func TestExplainErrors(t *testing.T) {
	inProject(t, "apply", "materialize")
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"fruad", 3, `no service "fruad": did you mean fraud?`},
		{"fraud --key customer_id=7", 2, "service fraud needs --key payee_id=...; its keys are customer_id, payee_id"},
		{"fraud --key customer_id=seven --key payee_id=8", 2, "--key customer_id=seven"},
		{"fraud --key customer_id=7 --key payee_id=8 --at soon", 2, `--at "soon": write 2006-01-02`},
		{"fraud --key customer_id=7 --key payee_id=8 --rows 0", 2, "--rows 0: show at least one"},
		{"fraud --key customer_id=7 --key payee_id=8 --server nowhere", 2, "write host:port"},
		{"fraud --key customer_id=7 --key payee_id=8 --server 127.0.0.1:1", 6, "is asof serve running there?"},
	} {
		fails(t, c.code, []string{c.want}, append([]string{"explain"}, strings.Fields(c.args)...)...)
	}
	keys := []string{"--key", "customer_id=7", "--key", "payee_id=8"}
	notes := func(what string) {
		t.Helper()
		e, _ := explainJSON(t, keys...)
		if all := strings.Join(append(slices.Concat(e.Views[0].Notes, e.Views[1].Notes), e.Notes...), "\n"); !strings.Contains(all, what) {
			t.Errorf("no note says %q:\n%s", what, all)
		}
	}
	edit(t, "delay: 10m", "delay: 20m")
	ok(t, "apply")
	notes("nothing to compare is served: view last_payment: its definition has changed since it was published: run asof materialize last_payment")
	if err := os.Remove("data/transactions/month=2024-05/part-0.parquet"); err != nil {
		t.Fatal(err)
	}
	notes("the source does not give every row of the history any more: data/transactions/month=2024-05/part-0.parquet (gone)")
	if text := ok(t, append([]string{"explain", "fraud"}, keys...)...); !strings.Contains(text, "from a row that its source does not have now\n") {
		t.Errorf("a row that is gone:\n%s", text)
	}
	writeFile(t, "data/customers/customers.parquet", "rubbish")
	notes("the source cannot be read: source customers: ")
	if err := os.RemoveAll("online"); err != nil {
		t.Fatal(err)
	}
	notes("nothing is served: there is no online store online")
	if exists("online") {
		t.Error("explaining has made an online store")
	}
	edit(t, "income / 1000", "income / 100")
	writeFile(t, "data/customers/customers.parquet", "")
	if got := asof(t, append([]string{"explain", "fraud"}, keys...)...); got.code != 0 || !strings.Contains(got.stderr, "note: features.yaml is not as it was applied") {
		t.Errorf("beside definitions that were not applied: %+v", got)
	}
}

// falsify puts another value in the place of a customer's last amount online.
func falsify(t *testing.T, customer int64) {
	t.Helper()
	current, err := definitions.OpenRegistry("warehouse", definitions.RegistryOptions{}).Current()
	if err != nil {
		t.Fatal(err)
	}
	model, err := current.Model()
	if err != nil {
		t.Fatal(err)
	}
	view, err := model.View("last_payment")
	if err != nil {
		t.Fatal(err)
	}
	store, err := online.Open("online", online.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	state, _, err := store.State(view.Name)
	if err != nil {
		t.Fatal(err)
	}
	columns, err := store.Get(t.Context(), view.View, []int{0, 1, 2}, []feature.Key{feature.AppendKeyInt64(nil, customer)}, state.Watermark)
	if err != nil {
		t.Fatal(err)
	}
	wrong := array.NewFloat64Builder(memory.DefaultAllocator)
	wrong.Append(-1)
	row := online.Row{Event: columns[0].EventTimes[0], Created: feature.MaxTime, AsOf: state.Watermark, Values: []arrow.Array{wrong.NewArray(), columns[1].Values(), columns[2].Values()}}
	p, err := store.Begin(view.View, false)
	if err == nil {
		err = p.Replace(feature.AppendKeyInt64(nil, customer), row)
	}
	if err == nil {
		err = p.Commit(state)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestVerifyShowsWhatDiffers changes one value online: it is found, with the row behind it, and counted for its feature.
func TestVerifyShowsWhatDiffers(t *testing.T) {
	inProject(t, "apply", "materialize")
	falsify(t, 7)
	got := fails(t, 5, []string{"view last_payment: 1 keys of 50 differ online"}, "verify", "--all")
	for _, want := range []string{"last_payment, key customer_id=7, last_amount: online -1 (event ", ", row ", "  in warehouse/features/last_payment/data/"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("lacks %q:\n%s", want, got.stdout)
		}
	}
	got = fails(t, 5, nil, "verify", "--all", "--json")
	checkDifference(t, got.stdout, true)
	if e, features := explainJSON(t, "--key", "customer_id=7", "--key", "payee_id=8"); *features["last_amount"].Equal || !*features["last_abroad"].Equal {
		t.Errorf("%+v", e)
	}
	if text := ok(t, "explain", "fraud", "--key", "customer_id=7", "--key", "payee_id=8"); strings.Count(text, ": NOT equal\n") != 1 {
		t.Error(text)
	}
	ok(t, "sync", "--full")
	ok(t, "verify", "--all")
}

// checkDifference reads what asof verify --all --json prints where falsify has been at work.
func checkDifference(t *testing.T, text string, own bool) {
	t.Helper()
	var views []verified
	if err := json.Unmarshal([]byte(text), &views); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	v := views[0]
	if len(views) != 2 || v.View != "last_payment" || v.Keys != 50 || v.Different != 1 || v.Equal != 49 || (v.Extra != nil) != own || len(v.Differences) != 1 {
		t.Fatalf("%+v", views)
	}
	if f := v.Features[0]; f != (verifiedFeature{Name: "last_amount", Equal: 49, Different: 1}) || v.Features[1].Equal != 50 {
		t.Errorf("by feature: %+v", v.Features)
	}
	d := v.Differences[0]
	if d.Key != "key customer_id=7" || d.Online != "-1" || *d.OnlineEvent != *d.OfflineEvent || len(d.Behind.Rows) != 1 || d.Behind.Rows[0].Source == nil || d.Behind.Rows[0].Event != *d.OfflineEvent {
		t.Errorf("%+v", d)
	}
}

package main

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/asof-store/asof/pointintime"
)

// onDemand is put into the definitions of a new project.
const onDemand = `on_demand:
  - name: payment
    request: {amount: float64, basket: list<int64>}
    views: {payee: profile}
    features:
      - {name: times, expr: amount / last_payment.last_amount, default: 1.0}
      - {name: items, expr: size(basket)}
      - {name: gap, expr: payee.income_k - profile.income_k}
  - name: count
    features:
      - {name: next, expr: "9223372036854775807L - 2L + payment.items"}
services:
  - name: live
    features: [{on_demand: payment}, {view: profile, features: [home_country]}, {view: profile, as: payee, keys: {customer_id: payee_id}, features: [home_country]}]
  - {name: counted, features: [{on_demand: count}]}
`

// withOnDemand makes a project whose service live has on-demand features.
func withOnDemand(t *testing.T) {
	t.Helper()
	inProject(t)
	edit(t, "services:\n", onDemand)
	ok(t, "apply")
	ok(t, "materialize")
}

// TestGetOnDemand looks up what is computed from fields on the command line, and explains it: the values agree with each other and with an export.
func TestGetOnDemand(t *testing.T) {
	withOnDemand(t)
	flags := []string{"--key", "customer_id=7", "--key", "payee_id=8", "--field", "amount=12.5", "--field", "basket=[3, null, 5]"}
	got, order := getJSON(t, append([]string{"live"}, flags...)...)
	if want := "times items gap home_country payee__home_country"; strings.Join(order, " ") != want {
		t.Errorf("the features are %q, not %s", order, want)
	}
	if items := got.Features["items"]; items.Value != 3.0 || items.Status != "PRESENT" || items.EventTime != nil {
		t.Errorf("items: %+v", items)
	}
	if text := ok(t, append([]string{"get", "live", "--json"}, flags...)...); !strings.Contains(text, `"fields": {"amount":"12.5","basket":"[3, null, 5]"}`) {
		t.Errorf("the fields are not in %s", text)
	}
	null, _ := getJSON(t, "live", "--key", "customer_id=7", "--key", "payee_id=8", "--field", "amount=", "--field", "basket=")
	if times, items := null.Features["times"], null.Features["items"]; times.Value != 1.0 || times.Status != "NULL" || items.Value != nil || items.Status != "NULL" {
		t.Errorf("of fields that are NULL: %+v and %+v", times, items)
	}

	var e explained
	if err := json.Unmarshal([]byte(ok(t, append([]string{"explain", "live", "--json"}, flags...)...)), &e); err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	for _, v := range e.Views {
		for _, f := range v.Features {
			values[f.Name] = f.Value
		}
	}
	if len(e.OnDemand) != 3 || e.Fields["amount"] != "12.5" || len(e.Notes) > 0 {
		t.Fatalf("explained: %+v", e)
	}
	for _, o := range e.OnDemand {
		if o.Answer == nil || o.Answer.Value != got.Features[o.Name].Value {
			t.Errorf("%s is explained as %+v, and asof get has %+v", o.Name, o.Answer, got.Features[o.Name])
		}
	}
	gap := e.OnDemand[2]
	if gap.Expr != "payee.income_k - profile.income_k" || gap.Inputs[0].Is != "payee.income_k" || gap.Inputs[1].Value != values["profile.income_k"] ||
		gap.Answer.Value != values["payee.income_k"].(float64)-values["profile.income_k"].(float64) {
		t.Errorf("gap is explained as %+v, and the views' values are %v", gap, values)
	}

	writeFile(t, "spine.csv", "event_timestamp,customer_id,payee_id,amount\n2024-05-17T09:30:00Z,7,8,12.5\n")
	edit(t, "{name: items, expr: size(basket)}", "{name: items, expr: cast(amount as int)}") // a CSV holds no lists
	ok(t, "apply")
	ok(t, "export", "live", "--spine", "spine.csv", "--out", "set.csv")
	_, rows := readCSV(t, "set.csv")
	for _, name := range []string{"times", "gap"} {
		if value, err := strconv.ParseFloat(rows[0][name], 64); err != nil || value != got.Features[name].Value {
			t.Errorf("the export has %s %s, asof get %v", name, rows[0][name], got.Features[name].Value)
		}
	}
	var m pointintime.Manifest
	if err := json.Unmarshal(readFile(t, "set.csv.manifest.json"), &m); err != nil {
		t.Fatal(err)
	}
	if run := m.OnDemand[2]; run.Column != "gap" || run.Expr != gap.Expr || run.Inputs["payee.income_k"] != "payee.income_k" || m.Features[2].OnDemand != "payment" || m.Features[2].Present != 1 {
		t.Errorf("the manifest has %+v and %+v", run, m.Features[2])
	}
}

// TestOnDemandErrors gives what is wrong with fields on the command line, and what cannot be computed.
func TestOnDemandErrors(t *testing.T) {
	withOnDemand(t)
	keys := "--key customer_id=7 --key payee_id=8"
	for _, c := range []struct {
		args string
		want string
	}{
		{"live " + keys, "service live needs --field amount=...; its request fields are amount, basket"},
		{"live " + keys + " --field amount=1 --field basket=[1", "--field basket=[1: write a list<int64> as JSON, such as basket=[1, 2]"},
		{"live " + keys + " --field amount=1 --field basket=[1],[2]", "write a list<int64> as JSON"},
		{"live " + keys + " --field amount=1 --field basket=[\"x\"]", "write a list<int64> as JSON"},
		{"live " + keys + " --field amount=much", "--field amount=much"},
		{"live " + keys + " --field amount", `--field "amount": write NAME=VALUE`},
		{"live " + keys + " --field amount=1 --field amount=2", "--field amount=2: amount is given twice"},
		{"live " + keys + " --field customer_id=1", `service live has no request field "customer_id"; its request fields are amount, basket`},
		{"fraud " + keys + " --field amount=1", `service fraud has no request field "amount"; it takes no request fields`},
		{"counted --field basket=[1,2,3]", "service counted, on-demand feature count.next: row 0: 9223372036854775807L - 2L + payment.items: integer overflow"},
	} {
		fails(t, 2, []string{c.want}, append([]string{"get"}, strings.Fields(c.args)...)...)
	}
	ok(t, "get", "counted", "--field", "basket=[1,2]")

	text := ok(t, append([]string{"explain", "live"}, strings.Fields(keys)...)...)
	for _, want := range []string{"note: on-demand features are not computed: service live needs --field amount=...", "\non_demand payment.gap\n", "inputs    amount is not known\n", "last_payment.last_amount = "} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if text := ok(t, "explain", "counted", "--field", "basket=[1,2,3]"); !strings.Contains(text, "integer overflow") || !strings.Contains(text, "counted of basket=[1,2,3] as of ") {
		t.Errorf("%s", text)
	}
	writeFile(t, "spine.csv", "event_timestamp,customer_id,payee_id\n2024-05-17T09:30:00Z,7,8\n")
	fails(t, 2, []string{`spine spine.csv has no column "amount"`, "add it"}, "export", "live", "--spine", "spine.csv", "--out", "set.csv")
}

// TestPlanOnDemand: a change of on-demand features acts at once, with nothing to materialize.
func TestPlanOnDemand(t *testing.T) {
	withOnDemand(t)
	edit(t, "default: 1.0", "default: 2.0")
	if got := ok(t, "plan"); !strings.Contains(got, "~ on_demand payment\n    feature times default: 1 -> 2\n") || strings.Contains(got, "rebuild") {
		t.Errorf("plan: %s", got)
	}
	ok(t, "apply")
	got, _ := getJSON(t, "live", "--key", "customer_id=999999", "--key", "payee_id=8", "--field", "amount=1", "--field", "basket=")
	if times := got.Features["times"]; times.Value != 2.0 || times.Status != "NULL" {
		t.Errorf("times: %+v", times)
	}
}

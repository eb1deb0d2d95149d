package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/online"
	"github.com/asof-store/asof/pointintime"
)

func TestValidateNamesAllFaultsAtOnce(t *testing.T) {
	inProject(t)
	if got := ok(t, "validate"); got != "features.yaml: 1 entities, 2 sources, 2 views, 1 services: no faults\n" {
		t.Errorf("got %q", got)
	}
	edit(t, "column: amount", "column: amonut")
	edit(t, "keys: {customer_id: int64}", "keys: {customer_id: integer}")
	edit(t, "schedule: \"@daily\"", "schedule: daily")
	got := fails(t, 2, []string{"column amonut\n    hint: did you mean amount?", `"integer"`, "schedule", "asof: the definitions have 3 faults\n"}, "validate")
	faults := 0
	for _, line := range strings.Split(got.stderr, "\n") {
		if strings.HasPrefix(line, "features.yaml:") {
			faults++
		}
	}
	if faults != 3 {
		t.Errorf("%d lines begin with a place:\n%s", faults, got.stderr)
	}
}

func TestPlanAndApply(t *testing.T) {
	inProject(t)
	fails(t, 3, []string{"nothing has been applied", "asof apply"}, "materialize")
	before := tree(t, ".")
	if got := ok(t, "plan"); !strings.Contains(got, "+ view profile\n") || !strings.Contains(got, "6 to create, 0 to change, 0 to remove.\n") {
		t.Errorf("plan: %s", got)
	}
	sameFiles(t, ".", before)
	if got := ok(t, "apply"); !strings.Contains(got, "Applied as version 1.\n") {
		t.Errorf("apply: %s", got)
	}
	if got := ok(t, "apply"); got != "Nothing changes.\nVersion 1 stays.\n" {
		t.Errorf("apply again: %s", got)
	}
	edit(t, "ttl: 30d", "ttl: 20d")
	if got := ok(t, "plan"); !strings.Contains(got, "~ view last_payment") || !strings.Contains(got, "ttl: 30d -> 20d\n") {
		t.Errorf("plan of a change: %s", got)
	}
	var plan definitions.Plan
	if err := json.Unmarshal([]byte(ok(t, "plan", "--json")), &plan); err != nil {
		t.Errorf("plan --json: %v", err)
	}
	if got := asof(t, "status"); got.code != 0 || !strings.Contains(got.stderr, "note: features.yaml is not as it was applied (version 1)") {
		t.Errorf("status beside a definition that was not applied: %+v", got)
	}
	if got := ok(t, "apply"); !strings.Contains(got, "Applied as version 2.\n") {
		t.Errorf("apply of a change: %s", got)
	}
}

// TestTwoApplies lets two apply different definitions to one warehouse at once, until both have planned before either was recorded.
func TestTwoApplies(t *testing.T) {
	inProject(t, "apply")
	project, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for round := range 50 {
		var outcomes [2]outcome
		var wait sync.WaitGroup
		for i, ttl := range []string{"ttl: 1d", "ttl: 2d"} {
			text := strings.Replace(string(readFile(t, "features.yaml")), "ttl: 30d", ttl+strings.Repeat(" ", round), 1)
			file := filepath.Join(project, []string{"one.yaml", "two.yaml"}[i])
			writeFile(t, file, text)
			wait.Go(func() { outcomes[i] = asof(t, "apply", "--definitions", file) })
		}
		wait.Wait()
		for i, got := range outcomes {
			if got.code != 0 && got.code != 4 {
				t.Fatalf("code %d: %s", got.code, got.stderr)
			}
			if got.code == 4 {
				if !strings.Contains(got.stderr, "plan again") || outcomes[1-i].code != 0 {
					t.Fatalf("the loser: %+v, the winner: %+v", got, outcomes[1-i])
				}
				return
			}
		}
	}
	t.Fatal("the two never met")
}

func TestMaterializeFlags(t *testing.T) {
	inProject(t, "apply")
	if got := ok(t, "materialize", "profile", "--to", "2024-03-01"); !strings.Contains(got, "profile: ") || strings.Contains(got, "last_payment") || !strings.Contains(got, "to 2024-03-01T00:00:00Z") {
		t.Errorf("one view to a time: %s", got)
	}
	fails(t, 2, []string{"already materialized to 2024-03-01", "give --from"}, "materialize", "profile", "--to", "2024-02-01")
	fails(t, 2, []string{"--from 2024-04-01", "would leave a hole", "start there or earlier"}, "materialize", "profile", "--from", "2024-04-01")
	fails(t, 2, []string{"--to 2030-01-01", "lies in the future"}, "materialize", "--to", "2030-01-01")
	fails(t, 2, []string{"--from 2024-02-02", "is after --to"}, "materialize", "--from", "2024-02-02", "--to", "2024-02-01")
	fails(t, 2, []string{`--from "soon"`, "write 2006-01-02"}, "materialize", "--from", "soon")
	fails(t, 3, []string{`no view "profil"`, "did you mean profile?"}, "materialize", "profil")
	if got := ok(t, "materialize", "--workers", "1", "--memory", "1MiB"); !strings.Contains(got, "last_payment: ") || !strings.Contains(got, "keys published") || !strings.Contains(got, "left out by where") {
		t.Errorf("all: %s", got)
	}
	onlineEqualsOffline(t, 12)
	ok(t, "materialize", "--from", "2024-04-01", "--to", "2024-04-10")
	if got := ok(t, "materialize"); strings.Count(got, "up to date") != 2 {
		t.Errorf("again: %s", got)
	}
	onlineEqualsOffline(t, 3)
}

func TestExportFormats(t *testing.T) {
	inProject(t, "apply", "materialize")
	fails(t, 2, []string{"required flag(s)", `"out"`}, "export", "fraud", "--spine", "training.csv")
	var manifests []pointintime.Manifest
	for _, ending := range []string{"csv", "parquet", "arrow"} {
		out := "set." + ending
		got := ok(t, "export", "fraud", "--spine", "training.csv", "--out", out)
		if !strings.Contains(got, out+": 1,000 rows, 6 features") || !strings.Contains(got, "leak report:\n") {
			t.Errorf("%s: %s", ending, got)
		}
		var m pointintime.Manifest
		if err := json.Unmarshal(readFile(t, out+pointintime.ManifestSuffix), &m); err != nil {
			t.Fatal(err)
		}
		manifests = append(manifests, m)
		reader, err := tabular.OpenReader(out, tabular.ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if rows, known := reader.Rows(); known && rows != 1000 {
			t.Errorf("%s has %d rows", out, rows)
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		ok(t, "export", "fraud", "--spine", "training.csv", "--out", "again.csv", "--full-names", "--with-feature-times")
		if header, rows := readCSV(t, "again.csv"); len(rows) != 1000 || !slices.Contains(header, "last_payment__last_amount") || !slices.Contains(header, "payee__event_time") {
			t.Errorf("%s with full names: %d rows of %q", out, len(rows), header)
		}
	}
	for i, m := range manifests {
		if m.Rows != 1000 || m.Service != "fraud" || m.Spine.File != "training.csv" || len(m.Spine.SHA256) != 64 || m.DefinitionHash == "" || len(m.Snapshots) != 2 || len(m.Features) != 6 {
			t.Errorf("manifest %d: %+v", i, m)
		}
		for _, f := range m.Features {
			if f.Present+f.Null+f.NotFound+f.Expired != 1000 {
				t.Errorf("the counts of %s make no 1000: %+v", f.Column, f)
			}
		}
		if m.Leaks.AsKnown != manifests[0].Leaks.AsKnown || m.Spine.SHA256 != manifests[0].Spine.SHA256 {
			t.Errorf("manifest %d differs: %+v", i, m)
		}
	}
}

func TestGet(t *testing.T) {
	inProject(t, "apply")
	keys := []string{"--key", "customer_id=7", "--key", "payee_id=8"}
	get := func(more ...string) []string { return append(append([]string{"get", "fraud"}, keys...), more...) }
	if got := asof(t, get()...); got.code != 0 || !strings.Contains(got.stderr, "note: view profile has no values online yet: run asof materialize profile\n") {
		t.Errorf("before the first run: %+v", got)
	}
	ok(t, "materialize")
	table := ok(t, get()...)
	if lines := strings.Split(table, "\n"); len(lines) != 8 || !strings.HasPrefix(lines[0], "feature ") || !strings.HasPrefix(lines[6], "payee__home_country ") || !strings.Contains(table, "PRESENT") {
		t.Errorf("got %s", table)
	}
	got, order := getJSON(t, append([]string{"fraud"}, keys...)...)
	if want := []string{"last_amount", "last_category", "last_abroad", "home_country", "income_k", "payee__home_country"}; !slices.Equal(order, want) {
		t.Errorf("the features came as %q, want %q", order, want)
	}
	if got.Service != "fraud" || got.Keys["customer_id"] != "7" || got.Features["home_country"].EventTime == nil {
		t.Errorf("got %+v", got)
	}
	unknown, _ := getJSON(t, "fraud", "--key", "customer_id=999999", "--key", "payee_id=")
	if f := unknown.Features["home_country"]; f.Status != "NOT_FOUND" || f.Value != "unknown" || f.EventTime != nil {
		t.Errorf("a customer whom nobody knows: %+v", f)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"fraud --key customer_id=7", 2, "service fraud needs --key payee_id=...; its keys are customer_id, payee_id"},
		{"fraud --key customer_id=seven --key payee_id=8", 2, "--key customer_id=seven"},
		{"fraud --key customer_id=7 --key customer_id=8", 2, "customer_id is given twice"},
		{"fraud --key customer=7", 2, `service fraud has no key "customer"; its keys are customer_id, payee_id`},
		{"fraud --key customer_id", 2, "write NAME=VALUE"},
		{"fruad", 3, `no service "fruad": did you mean fraud?`},
		{"fraud --key customer_id=7 --key payee_id=8 --server nowhere", 2, "write host:port"},
		{"fraud --key customer_id=7 --key payee_id=8 --server 127.0.0.1:1", 6, "is asof serve running there?"},
	} {
		fails(t, c.code, []string{c.want}, append([]string{"get"}, strings.Fields(c.args)...)...)
	}
}

func TestStatus(t *testing.T) {
	inProject(t, "apply")
	if got := ok(t, "status"); strings.Count(got, "never materialized") != 2 || strings.Count(got, "never published") != 2 {
		t.Errorf("before the first run: %s", got)
	}
	ok(t, "materialize", "--to", "2024-05-17")
	edit(t, "ttl: 30d", "ttl: 20d")
	edit(t, "income / 1000", "income / 100")
	ok(t, "apply")
	var all []viewStatus
	if err := json.Unmarshal([]byte(ok(t, "status", "--json")), &all); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"ready", "definition changed: materialize"} {
		if s := all[i]; s.State != want || s.Watermark != "2024-05-17T00:00:00Z" || s.Online != s.Watermark || s.Freshness != "9h30m0s" && s.Freshness != "9h30m" || s.Rows == 0 || s.Files != 1 {
			t.Errorf("view %d: %+v, want %s", i, s, want)
		}
	}
	fails(t, 2, []string{"view profile: its definition has changed", "run asof materialize profile"}, "export", "fraud", "--spine", "training.csv", "--out", "set.csv")
}

func TestSchema(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(ok(t, "schema")), &schema); err != nil || schema["$schema"] == nil {
		t.Errorf("asof schema: %v, %v", schema, err)
	}
}

func TestVerifyAndSync(t *testing.T) {
	inProject(t)
	ok(t, "apply")
	if got := ok(t, "sync"); strings.Count(got, ": waits for asof materialize\n") != 2 {
		t.Errorf("sync before any run: %s", got)
	}
	fails(t, 3, []string{"never been published", "asof materialize"}, "verify")
	ok(t, "materialize")
	for _, args := range [][]string{{"verify"}, {"verify", "--all"}, {"verify", "profile", "--sample", "3", "--seed", "9"}} {
		got := ok(t, args...)
		if !strings.HasPrefix(got, "view ") || strings.Contains(got, "online ") {
			t.Errorf("%v: %s", args, got)
		}
	}
	fails(t, 2, []string{"--sample 0"}, "verify", "--sample", "0")
	fails(t, 3, []string{"profle", "profile"}, "verify", "profle")
	if got := ok(t, "sync"); strings.Count(got, ": up to date\n") != 2 {
		t.Errorf("sync after a run: %s", got)
	}
	if err := os.RemoveAll("online"); err != nil {
		t.Fatal(err)
	}
	if got := ok(t, "sync", "--full"); strings.Count(got, " keys published\n") != 2 {
		t.Errorf("sync --full into nothing: %s", got)
	}
	ok(t, "verify", "--all")
	edit(t, "delay: 10m", "delay: 20m")
	ok(t, "apply")
	fails(t, 6, []string{"definition has changed", "asof materialize"}, "verify", "last_payment")
}

// TestCheckOnline damages the online store, and asks while another process holds it.
func TestCheckOnline(t *testing.T) {
	inProject(t, "apply", "materialize --to 2024-03-01")
	if got := ok(t, "check"); strings.Contains(got, "online") {
		t.Errorf("of a sound store it says\n%s", got)
	}
	store, err := online.Open("online", online.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := ok(t, "check")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got, "remark: online store online: ") || !strings.Contains(got, "it was not checked: ") {
		t.Errorf("of a store that is held it says\n%s", got)
	}
	path := flip(t, "online/*.sst")
	bad := fails(t, 5, []string{"the online store has 1 fault: asof sync --full makes it anew"}, "check")
	if !strings.Contains(bad.stdout, "online store online: ") || !strings.Contains(bad.stdout, filepath.Base(path)) {
		t.Errorf("of a damaged table it says\n%s", bad.stdout)
	}
	ok(t, "check", "profile")
}

// flip damages a bit of the first file that a pattern matches, and returns its path.
func flip(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	content := readFile(t, paths[0])
	content[100] ^= 4
	writeFile(t, paths[0], string(content))
	return paths[0]
}

func TestCheck(t *testing.T) {
	inProject(t, "apply", "materialize --to 2024-03-01")
	got := ok(t, "check")
	for _, want := range []string{"view          snapshots  files", "last_payment  1          1      ", "  0       0\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	if strings.Contains(got, "remark:") {
		t.Errorf("of a sound warehouse it says\n%s", got)
	}
	path := flip(t, "warehouse/features/profile/data/*.parquet")
	writeFile(t, "warehouse/features/last_payment/data/stray.parquet", "left by somebody")
	bad := fails(t, 5, []string{"view profile: its history has 1 fault: restore the file from a backup, or remove ", "run asof materialize profile"}, "check")
	for _, want := range []string{"profile, data/" + filepath.Base(path) + ": bytes [0, ", "do not match their checksum (row group 0, column customer_id",
		"remark: last_payment, data/stray.parquet: no snapshot refers to it", "profile       1          1      "} {
		if !strings.Contains(bad.stdout, want) {
			t.Errorf("%q is missing in\n%s", want, bad.stdout)
		}
	}
	ok(t, "check", "last_payment")
	bad = fails(t, 5, nil, "check", "profile", "--json")
	var all struct {
		Views []struct {
			View   string
			Faults int
		}
		Findings []struct{ Store, View, Where, What string }
	}
	if err := json.Unmarshal([]byte(bad.stdout), &all); err != nil || len(all.Views) != 1 || all.Views[0].Faults != 1 || len(all.Findings) != 1 ||
		all.Findings[0].Store != "offline" || all.Findings[0].Where != "data/"+filepath.Base(path) {
		t.Errorf("%v: %s", err, bad.stdout)
	}
	fails(t, 3, []string{"nothing"}, "check", "nothing")
	writeFile(t, "warehouse/registry/v000001.json", "{}")
	bad = fails(t, 5, nil, "check")
	if !strings.Contains(bad.stdout, "registry of warehouse: ") {
		t.Errorf("of a damaged registry it says\n%s", bad.stdout)
	}
}

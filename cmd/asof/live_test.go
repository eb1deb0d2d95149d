//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// web returns the URL at which s serves HTTP.
func (s *served) web() string {
	s.t.Helper()
	found := regexp.MustCompile(`msg="serving HTTP" url=(http://\S+)`).FindStringSubmatch(s.said.String())
	if found == nil {
		s.t.Fatalf("the server serves no HTTP:\n%s", &s.said)
	}
	return found[1]
}

// awaitServing asks until the service has so many columns.
func (s *served) awaitServing(columns int) {
	s.t.Helper()
	var last any
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		answer, err := postJSON(s.web(), askFraud)
		if err == nil && len(answer.Columns) == columns {
			return
		}
		last = fmt.Sprintf("%d columns, %v", len(answer.Columns), err)
	}
	s.t.Fatalf("the server does not come to serve %d columns: %s\n%s", columns, last, &s.said)
}

// awaitCurrent asks until the values of all views are published by the definitions that were applied last.
func (s *served) awaitCurrent() {
	s.t.Helper()
	last := ""
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		r, err := http.Get(s.web() + "/v1/status")
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(r.Body)
		if err := errors.Join(err, r.Body.Close()); err != nil {
			s.t.Fatal(err)
		}
		if last = string(text); strings.Contains(last, "true") && !regexp.MustCompile(`"(current|published)": ?false`).MatchString(last) {
			return
		}
	}
	s.t.Fatalf("the server does not come up to date: %s\n%s", last, &s.said)
}

const askFraud = `{"service": "fraud", "keys": {"customer_id": [7], "payee_id": [8]}}`

// postJSON asks a server for features over HTTP, and fails unless they are answered.
func postJSON(url, body string) (answer struct {
	Columns []struct {
		Name     string
		Values   []any
		Statuses []string
	}
}, err error) {
	r, err := http.Post(url+"/v1/features:get", "application/json", strings.NewReader(body))
	if err != nil {
		return answer, err
	}
	text, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return answer, err
	}
	if r.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("HTTP %d: %s", r.StatusCode, text)
	}
	return answer, json.Unmarshal(text, &answer)
}

// ask sends requests to s over gRPC and HTTP until done is closed; each must be answered, with the country that the customer has all the time.
func (s *served) ask(group *errgroup.Group, done chan struct{}, asked *atomic.Int64) {
	url, address := s.web(), s.address
	loop := func(request func() error) {
		group.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				if err := request(); err != nil {
					return err
				}
				asked.Add(1)
			}
		})
	}
	loop(func() error {
		answer, err := postJSON(url, askFraud)
		if err != nil {
			return err
		}
		for _, c := range answer.Columns {
			if c.Name == "home_country" && c.Statuses[0] == "PRESENT" {
				return nil
			}
		}
		return fmt.Errorf("%s: no country in %v", url, answer)
	})
	loop(func() error {
		c, err := dial(address)
		if err != nil {
			return err
		}
		defer func() { _ = c.close() }()
		answer, err := asofv1.NewFeatureStoreClient(c.conn).GetFeatures(context.Background(), &asofv1.GetFeaturesRequest{
			Features: []string{"profile.birth_year", "last_payment.last_amount"},
			Keys:     map[string]*asofv1.Values{"customer_id": {Kind: &asofv1.Values_Int64S{Int64S: &asofv1.Int64Values{Values: []int64{7}}}}}})
		if err == nil && answer.GetColumns()[0].GetStatuses()[0] != byte(asofv1.Status_STATUS_PRESENT) {
			err = fmt.Errorf("%s: no birth year in %v", address, answer)
		}
		return err
	})
}

// TestServeTakesUpDefinitions applies definitions again and again, here and through a server, while two servers, one that leads and one that stands by, are asked
// all the time: no request fails, and both end up with the last version.
func TestServeTakesUpDefinitions(t *testing.T) {
	inProject(t, "apply", "materialize")
	first := startServer(t, "--online", "online-1", "--http-listen", "127.0.0.1:0")
	second := startServer(t, "--online", "online-2", "--http-listen", "127.0.0.1:0")
	var group errgroup.Group
	var asked atomic.Int64
	done := make(chan struct{})
	first.ask(&group, done, &asked)
	second.ask(&group, done, &asked)

	const spare = "\n  - name: spare\n    entity: customer\n    source: customers\n    features:\n      - {name: spare_country, column: home_country}\n\n# The features that one model"
	version := 1
	apply := func(args ...string) {
		t.Helper()
		version++
		prints(t, ok(t, append([]string{"apply"}, args...)...), "Applied as version "+strconv.Itoa(version))
		first.await(`definitions.* version=` + strconv.Itoa(version))
		second.await(`definitions.* version=` + strconv.Itoa(version))
	}
	edit(t, "      - {name: income_k", "      - {name: income_m, expr: income / 1000000}\n      - {name: income_k")
	edit(t, "features: [home_country, income_k]", "features: [home_country, income_k, income_m]")
	apply("--server", first.address) // the service waits for the feature
	first.awaitServing(6)
	prints(t, ok(t, "materialize", "profile", "--server", first.address), "profile: rebuilt")
	first.awaitServing(7)
	second.awaitServing(7)
	edit(t, "\n# The features that one model", spare)
	apply()
	prints(t, ok(t, "materialize", "spare", "--server", first.address), "spare: ")
	edit(t, spare, "\n# The features that one model")
	apply()
	edit(t, "\n# The features that one model", spare)
	edit(t, "where: amount > 0", "where: amount > 1")
	edit(t, "      - {name: income_m, expr: income / 1000000}\n", "")
	edit(t, ", income_m]", "]")
	apply("--server", second.address)
	ok(t, "materialize", "--server", first.address)
	for _, s := range []*served{first, second} {
		s.awaitServing(6)
		s.awaitCurrent()
	}

	close(done)
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d requests", asked.Load())
	for _, s := range []*served{first, second} {
		if code := s.stop(os.Interrupt); code != 0 {
			t.Errorf("the server ends with code %d\n%s", code, &s.said)
		}
	}
	ok(t, "verify", "--all", "--online", "online-2")
}

// TestServeRestartsBetween: a server that starts after definitions were applied, and before their values are there, serves those of the version before.
func TestServeRestartsBetween(t *testing.T) {
	inProject(t, "apply", "materialize")
	edit(t, "expr: income / 1000,", "expr: income / 1001,")
	edit(t, "where: amount > 0", "where: amount > 1")
	ok(t, "apply")
	s := startServer(t, "--schedule=false")
	got, _ := getJSON(t, "fraud", "--server", s.address, "--key", "customer_id=7", "--key", "payee_id=8")
	if country := got.Features["home_country"]; country.Status != "PRESENT" {
		t.Errorf("between two versions the server answers %+v", got)
	}
	s.stop(os.Interrupt)
}

// TestRemote: verbs with --server do their work where the server runs, and tell what went wrong there.
func TestRemote(t *testing.T) {
	inProject(t, "apply")
	s := startServer(t, "--schedule=false")
	at := []string{"--server", s.address}
	edit(t, "features: [home_country, income_k]", "features: [home_country, income_k, incom_k]")
	fails(t, 2, []string{"features.yaml:", "view profile has no feature incom_k", "did you mean income_k?"}, append([]string{"apply"}, at...)...)
	edit(t, ", incom_k]", ", birth_year]")
	prints(t, ok(t, append([]string{"plan"}, at...)...), "service fraud")
	prints(t, ok(t, append([]string{"apply"}, at...)...), "service fraud", "Applied as version 2.")
	prints(t, ok(t, append([]string{"apply"}, at...)...), "Version 2 stays.")
	fails(t, 2, []string{"--json"}, append([]string{"plan", "--json"}, at...)...)
	fails(t, 3, []string{"no view", "profile"}, append([]string{"materialize", "profil"}, at...)...)
	run := asof(t, append([]string{"materialize", "profile", "--to", "2024-03-01"}, at...)...)
	if run.code != 0 || !strings.Contains(run.stderr, "profile: reading") || !strings.Contains(run.stdout, " to 2024-03-01T00:00:00Z") {
		t.Errorf("materialize: %+v", run)
	}
	fails(t, 2, []string{"2999"}, append([]string{"materialize", "profile", "--to", "2999-01-01"}, at...)...)
	prints(t, ok(t, append([]string{"sync"}, at...)...), "profile: up to date", "last_payment: waits for asof materialize")
	prints(t, ok(t, append([]string{"sync", "profile", "--full"}, at...)...), "profile: ", " keys published")
	fails(t, 3, []string{"no view"}, append([]string{"sync", "profil"}, at...)...)
	s.stop(os.Interrupt)
	fails(t, 6, []string{"does not answer", "is asof serve running there?"}, append([]string{"materialize"}, at...)...)
}

// TestServeOnDemand: a server answers with on-demand features what the store itself answers, request fields that are NULL included.
func TestServeOnDemand(t *testing.T) {
	withOnDemand(t)
	for _, fields := range [][]string{{"--field", "amount=12.5", "--field", "basket=[3, null, 5]"}, {"--field", "amount=", "--field", "basket="}} {
		flags := append([]string{"live", "--key", "customer_id=7", "--key", "payee_id=8"}, fields...)
		here, order := getJSON(t, flags...)
		s := startServer(t, "--schedule=false", "--http-listen", "127.0.0.1:0")
		served, servedOrder := getJSON(t, append(flags, "--server", s.address)...)
		if strings.Join(order, " ") != strings.Join(servedOrder, " ") || len(order) < 3 {
			t.Errorf("the server answers %q, the store %q", servedOrder, order)
		}
		for name, h := range here.Features {
			got := served.Features[name]
			if name == "times" { // what it takes has expired by the server's clock
				h.Value, h.Status = 1.0, "NULL"
			}
			if got.Value != h.Value || got.Status != h.Status || (got.EventTime == nil) != (h.EventTime == nil) {
				t.Errorf("%s: the server says %+v, the store %+v", name, got, h)
			}
		}
		fails(t, 2, []string{"gap"}, "get", "live", "--key", "customer_id=7", "--key", "payee_id=8", "--field", "gap=1", "--server", s.address)
		s.stop(os.Interrupt)
	}
}

package server

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// version makes definitions of two views, a and b, of the given features, whose definitions are those features, and a service of all of them.
func version(n int, a, b string) *Model {
	m := &Model{Version: n, Views: map[string]*feature.View{}, Services: map[string]*feature.Service{}}
	svc := &feature.Service{Name: "s"}
	for name, features := range map[string]string{"a": a, "b": b} {
		if features == "" {
			continue
		}
		v := &feature.View{Name: name, Online: true, Hash: features, Keys: []feature.Field{{Name: fieldCustomer, Type: feature.Scalar(feature.Int64)}}}
		for f := range strings.SplitSeq(features, " ") {
			v.Features = append(v.Features, feature.Feature{Field: feature.Field{Name: f, Type: feature.Scalar(feature.Int64)}})
		}
		m.Views[name] = v
	}
	for _, name := range []string{"a", "b"} {
		if v := m.Views[name]; v != nil {
			ref := feature.Ref{View: v, KeyColumns: []string{fieldCustomer}}
			for i := range v.Features {
				ref.Features = append(ref.Features, i)
			}
			svc.Refs = append(svc.Refs, ref)
		}
	}
	m.Services["s"] = svc
	return m
}

// columnsOf shows the columns of a service, each with the definition of its view.
func columnsOf(m *Model) string {
	var names []string
	svc := m.Services["s"]
	for _, c := range svc.Columns(true) {
		names = append(names, c.Name+"/"+strings.ReplaceAll(svc.Refs[c.Ref].View.Hash, " ", "+"))
	}
	return strings.Join(names, " ")
}

func TestFit(t *testing.T) {
	states := func(a, b string) map[string]online.State {
		s := map[string]online.State{}
		for name, hash := range map[string]string{"a": a, "b": b} {
			if hash != "" {
				s[name] = online.State{Hash: hash}
			}
		}
		return s
	}
	before := version(1, "x y", "z")
	for name, c := range map[string]struct {
		applied []*Model // the newest first
		states  map[string]online.State
		want    string
	}{
		"one":                     {[]*Model{before}, states("x y", "z"), "a__x/x+y a__y/x+y b__z/z"},
		"never published":         {[]*Model{before}, nil, "a__x/x+y a__y/x+y b__z/z"},
		"a feature waits":         {[]*Model{version(2, "w x y", "z"), before}, states("x y", "z"), "a__x/x+y a__y/x+y b__z/z"},
		"it is published":         {[]*Model{version(2, "w x y", "z"), before}, states("w x y", "z"), "a__w/w+x+y a__x/w+x+y a__y/w+x+y b__z/z"},
		"one of two is published": {[]*Model{version(2, "w x y", "z v"), before}, states("w x y", "z"), "a__x/w+x+y a__y/w+x+y b__z/z"},
		"the other one":           {[]*Model{version(2, "w x y", "z v"), before}, states("x y", "z v"), "a__x/x+y a__y/x+y b__z/z+v"},
		"both":                    {[]*Model{version(2, "w x y", "z v"), before}, states("w x y", "z v"), "a__w/w+x+y a__x/w+x+y a__y/w+x+y b__z/z+v b__v/z+v"},
		"a feature is gone":       {[]*Model{version(2, "y", "z"), before}, states("x y", "z"), "a__y/x+y b__z/z"},
		"a view is gone":          {[]*Model{version(2, "x y", ""), before}, states("x y", "z"), "a__x/x+y a__y/x+y"},
		"and back":                {[]*Model{version(3, "x y", "z"), version(2, "x y", ""), before}, states("x y", "z"), "a__x/x+y a__y/x+y b__z/z"},
		"three versions":          {[]*Model{version(3, "u w", "z"), version(2, "w x", "z"), before}, states("x y", "z"), "a__x/x+y a__y/x+y b__z/z"},
		"none fits":               {[]*Model{version(2, "w", "z"), before}, states("q", "z"), "a__w/w b__z/z"},
	} {
		got := Fit(c.applied, c.states)
		if columns := columnsOf(got); columns != c.want || got.Version != c.applied[0].Version {
			t.Errorf("%s: version %d, %s\nwant %s", name, got.Version, columns, c.want)
		}
	}
	renamed := version(2, "x y", "z")
	renamed.Views["a"].Keys[0].Name, renamed.Views["a"].Hash = "client_id", "other"
	if got := Fit([]*Model{renamed, before}, states("other", "z")).Services["s"]; got != renamed.Services["s"] {
		t.Errorf("a service whose keys are others is that of version 1")
	}
	renamed.Services["s"].Refs[0].KeyColumns = []string{"client_id"}
	if got := Fit([]*Model{renamed, before}, states("x y", "z")).Services["s"].KeyFields(); len(got) != 1 || got[0].Name != fieldCustomer {
		t.Errorf("a service asks for the keys %v, before its view is published by them", got)
	}
	retyped := version(2, "x y", "z")
	retyped.Views["a"].Features[0].Type, retyped.Views["a"].Hash = feature.Scalar(feature.String), "other"
	if got := Fit([]*Model{retyped, before}, states("x y", "z")); got.Services["s"].Refs[0].View != before.Views["a"] || got.Views["a"] != before.Views["a"] {
		t.Errorf("a service goes by features of other types than those that are published")
	}
}

// TestLiveDefinitions applies definitions one after another and publishes their views at random, while requests go on. None fails that every version
// knows, and each is answered by values of one publication of each view.
func TestLiveDefinitions(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	store := newStore(t, testModel())
	var mu sync.Mutex // of applied
	var applied []*Model
	var served atomic.Pointer[Model]
	refit := func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		states, err := store.States()
		if err == nil {
			served.Store(Fit(applied, states))
		}
		return err
	}
	apply := func(m *Model) {
		mu.Lock()
		applied = append([]*Model{m}, applied...)
		mu.Unlock()
	}
	publish := func(m *Model, view string) {
		v := m.Views[view]
		values := make([]any, len(v.Features))
		for i := range values {
			values[i] = int64(m.Version)
		}
		put(t, store, v, int64(m.Version), [][]any{append([]any{int64(1), 20 * hour}, values...)})
	}
	first := version(1, "x", "z")
	apply(first)
	publish(first, "a")
	publish(first, "b")
	if err := refit(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := start(t, store, served.Load, Options{Now: clockAt(24 * hour), Refit: refit})
	done := make(chan struct{})
	var asking errgroup.Group
	for range 2 {
		asking.Go(func() error {
			for n := 0; ; n++ {
				req := ofService("s", ints(fieldCustomer, 1))
				if n%2 == 0 {
					req = named([]string{"a.x", "b.z"}, ints(fieldCustomer, 1))
				}
				answer, err := s.features.GetFeatures(context.Background(), req)
				if err != nil {
					return fmt.Errorf("request %d: %w", n, err)
				}
				of := map[string]int64{} // the version that each view answers with
				for _, c := range answer.GetColumns() {
					view, value := answer.GetEventTimes()[c.GetEventTimesIndex()].GetView(), c.GetValues().GetInt64S().GetValues()[0]
					if before, known := of[view]; (known && before != value) || feature.Status(c.GetStatuses()[0]) != feature.Present {
						return fmt.Errorf("request %d is answered %v", n, show(answer))
					}
					of[view] = value
				}
				if len(of) != 2 {
					return fmt.Errorf("request %d is answered %v", n, show(answer))
				}
				select {
				case <-done:
					return nil
				default:
				}
			}
		})
	}
	others := []string{"", "u", "v", "w", "u v", "v w"}
	for n := 2; n < 40; n++ {
		m := version(n, strings.TrimSpace("x "+others[random.IntN(len(others))]), strings.TrimSpace(others[random.IntN(len(others))]+" z"))
		apply(m)
		views := []string{"a", "b"}
		if random.IntN(2) == 0 {
			slices.Reverse(views)
		}
		for _, view := range views {
			publish(m, view)
			if random.IntN(2) == 0 {
				if err := refit(context.Background()); err != nil {
					t.Error(err)
				}
			}
		}
	}
	close(done)
	if err := asking.Wait(); err != nil {
		t.Error(err)
	}
}

// TestRefit: what cannot be answered by any definitions is told so, and a failure to look them up too.
func TestRefit(t *testing.T) {
	m := testModel()
	m.Views["world"].Hash = "changed"
	store := newStore(t, testModel())
	refits := 0
	s := start(t, store, func() *Model { return m }, Options{Refit: func(context.Context) error { refits++; return nil }})
	_, err := s.features.GetFeatures(context.Background(), ofService("global"))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "run asof materialize world") || refits != 1 {
		t.Errorf("%v, after %d looks", err, refits)
	}
	broken := start(t, store, func() *Model { return m }, Options{Refit: func(context.Context) error { return errors.New("secret") }})
	if _, err := broken.features.GetFeatures(context.Background(), ofService("global")); status.Code(err) != codes.Internal {
		t.Error(err)
	}
	restless := start(t, store, func() *Model { return &Model{Services: m.Services, Views: m.Views} }, Options{Refit: func(context.Context) error { refits++; return nil }})
	if _, err := restless.features.GetFeatures(context.Background(), ofService("global")); status.Code(err) != codes.Unavailable || refits != 1+lookupsMax-1 {
		t.Errorf("%v, after %d looks", err, refits)
	}
}

// TestFitOnDemand: on-demand features, in a service and by name, take what is published of a view whose new definition waits, and say so
// where they cannot.
func TestFitOnDemand(t *testing.T) {
	before, after := testModel(), testModel()
	store := newStore(t, before)
	world := after.Views["world"]
	world.Hash = "changed"
	world.Features = append([]feature.Feature{{Field: feature.Field{Name: "extra", Type: feature.Scalar(feature.Float64)}}}, world.Features...)
	after.OnDemand["price"] = priceOf(world)
	after.OnDemand["price"].Features[0].Inputs[1].Feature = 1
	after.OnDemand["fee"] = priceOf(world) // takes world.extra
	priced := &after.Services["priced"].Refs[1]
	priced.Inputs[0] = 1
	states, err := store.States()
	if err != nil {
		t.Fatal(err)
	}
	fitted := Fit([]*Model{after, before}, states)
	s := start(t, store, func() *Model { return fitted }, Options{Now: clockAt(50 * hour)})
	for name, req := range map[string]*asofv1.GetFeaturesRequest{
		"service":                             with(ofService("priced", ints(fieldCustomer, 1)), floats("amount", 4)),
		"by name, with a feature of the view": with(named([]string{"price.local", "world.rate"}), floats("amount", 4)),
		"by name":                             with(named([]string{"price.local"}), floats("amount", 4)),
	} {
		answer, err := s.features.GetFeatures(context.Background(), req)
		if err != nil || answer.GetColumns()[0].GetValues().GetFloat64S().GetValues()[0] != 2 {
			t.Errorf("%s: %v, %v", name, answer, err)
		}
	}
	_, err = s.features.GetFeatures(context.Background(), with(named([]string{"fee.local"}), floats("amount", 4)))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "fee.local have changed") {
		t.Errorf("what is not published: %v", err)
	}
	world.Features[1].Type = feature.Scalar(feature.String)
	_, err = s.features.GetFeatures(context.Background(), with(named([]string{"price.local"}), floats("amount", 4)))
	if status.Code(err) != codes.Unavailable {
		t.Errorf("what is published of another type: %v", err)
	}
}

package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// wanted is what a request asks for: a service, or one made up for features by name.
type wanted struct {
	service *feature.Service
	subject string // how messages call it
	// names and order are for features by name: the name of column i, and where it stands in the service's answer.
	names []string
	order []int
}

// GetFeatures implements asof.v1.FeatureStore.
func (s *Server) GetFeatures(ctx context.Context, req *asofv1.GetFeaturesRequest) (*asofv1.GetFeaturesResponse, error) {
	w, err := s.resolve(req)
	if err != nil {
		return nil, err
	}
	keys, rows, err := readKeys(req.GetKeys(), w)
	if err != nil {
		return nil, err
	}
	features := 0
	for i := range w.service.Refs {
		features += len(w.service.Refs[i].Lookups())
	}
	features += len(w.service.Computed)
	if features > 0 && rows > s.options.MaxValues/features {
		var f faults
		f.add("keys", "%d rows of %d features are more than the %d values of one request: ask for %d rows at a time",
			rows, features, s.options.MaxValues, s.options.MaxValues/features)
		return nil, f.err()
	}
	answer, err := s.store.Lookup(ctx, w.service, keys, feature.TimeOf(s.options.Now()), req.GetFullNames())
	if err != nil {
		return nil, err
	}
	return respond(w, answer), nil
}

// resolve finds what req asks for.
func (s *Server) resolve(req *asofv1.GetFeaturesRequest) (*wanted, error) {
	model := s.model()
	switch what := req.GetWhat().(type) {
	case *asofv1.GetFeaturesRequest_Service:
		svc, ok := model.Services[what.Service]
		if !ok {
			return nil, notFound("service", what.Service, model.Services)
		}
		return &wanted{service: svc, subject: "service " + svc.Name}, nil
	case *asofv1.GetFeaturesRequest_Features:
		if req.GetFullNames() {
			var f faults
			f.add("full_names", "features by name are answered under the names they were asked by: leave full_names out")
			return nil, f.err()
		}
		return resolveNames(model, what.Features.GetNames())
	}
	var f faults
	f.add("service", "nothing is asked for: give service or features")
	return nil, f.err()
}

// resolveNames makes up a service of the named features, one ref for each view.
func resolveNames(model *Model, names []string) (*wanted, error) {
	var f faults
	if len(names) == 0 {
		f.add("features.names", "nothing is asked for: give names as view.feature")
	}
	w := &wanted{service: &feature.Service{Name: "of named features"}, subject: "the request", names: names}
	refs, seen := map[string]int{}, map[string]int{}
	places := make([][2]int, len(names)) // ref, and which of its features
	for i, name := range names {
		field := fmt.Sprintf("features.names[%d]", i)
		viewName, featureName, ok := strings.Cut(name, ".")
		if !ok {
			f.add(field, "%q is not of the form view.feature", name)
			continue
		}
		if first, twice := seen[name]; twice {
			f.add(field, "%s is features.names[%d] already", name, first)
			continue
		}
		seen[name] = i
		view, ok := model.Views[viewName]
		if !ok {
			return nil, notFound("view", viewName, model.Views)
		}
		index := view.Feature(featureName)
		if index < 0 {
			var have []string
			for j := range view.Features {
				have = append(have, view.Features[j].Name)
			}
			return nil, feature.Errorf(feature.ErrNotFound, "view %s has no feature %s%s", viewName, featureName, nearest.Hint(featureName, have))
		}
		at, ok := refs[viewName]
		if !ok {
			at = len(w.service.Refs)
			refs[viewName] = at
			w.service.Refs = append(w.service.Refs, feature.Ref{View: view, KeyColumns: keyNames(view)})
		}
		ref := &w.service.Refs[at]
		places[i] = [2]int{at, len(ref.Features)}
		ref.Features = append(ref.Features, index)
	}
	starts, start := make([]int, len(w.service.Refs)), 0
	for i := range w.service.Refs {
		starts[i] = start
		start += len(w.service.Refs[i].Features)
	}
	for i := range places {
		if len(starts) > 0 {
			w.order = append(w.order, starts[places[i][0]]+places[i][1])
		}
	}
	return w, f.err()
}

func keyNames(v *feature.View) []string {
	names := make([]string, len(v.Keys))
	for i := range names {
		names[i] = v.Keys[i].Name
	}
	return names
}

func notFound[T any](what, name string, have map[string]T) error {
	candidates := slices.Sorted(maps.Keys(have))
	hint := nearest.Hint(name, candidates)
	if hint == "" && len(candidates) > 0 && len(candidates) <= 10 {
		hint = ": there are " + strings.Join(candidates, ", ")
	}
	return feature.Errorf(feature.ErrNotFound, "there is no %s %q%s", what, name, hint)
}

// respond puts an answer on the wire.
func respond(w *wanted, a *online.Answer) *asofv1.GetFeaturesResponse {
	r := &asofv1.GetFeaturesResponse{Rows: uint32(a.Rows), Columns: make([]*asofv1.FeatureColumn, len(a.Columns))}
	for i := range w.service.Refs {
		r.EventTimes = append(r.EventTimes, &asofv1.EventTimes{View: w.service.Refs[i].Name(), Micros: make([]int64, a.Rows)})
	}
	if len(w.service.Computed) > 0 { // on-demand features have no event times: the last ones, of no view, are all 0
		r.EventTimes = append(r.EventTimes, &asofv1.EventTimes{Micros: make([]int64, a.Rows)})
	}
	for i := range r.Columns {
		from := i
		if w.names != nil {
			from = w.order[i]
		}
		c := &a.Columns[from]
		ref := c.Ref
		if ref < 0 {
			ref = len(w.service.Refs)
		}
		column := &asofv1.FeatureColumn{Name: c.Name, Values: WriteValues(c.Values), EventTimesIndex: uint32(ref), Statuses: make([]byte, len(c.Statuses))}
		if w.names != nil {
			column.Name = w.names[i]
		}
		for row, status := range c.Statuses {
			column.Statuses[row] = byte(status)
		}
		for row, event := range c.EventTimes {
			r.EventTimes[ref].Micros[row] = int64(event)
		}
		r.Columns[i] = column
	}
	return r
}

package server

import (
	"slices"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
)

// Fit returns the definitions that a server goes by whose store has published what states say, out of those that were applied, the newest
// first. They are the newest ones, save for what waits for a publication: a view whose values come from an earlier definition goes by that one, and
// a service that asks for features which are not published yet stays as it was before. So a request that was valid before and is valid
// afterwards is answered all the time, whatever is applied and published in between.
func Fit(applied []*Model, states map[string]online.State) *Model {
	newest := applied[0]
	fitted := &Model{Services: map[string]*feature.Service{}, Views: map[string]*feature.View{}, OnDemand: newest.OnDemand, Descriptions: newest.Descriptions,
		Version: newest.Version, defined: newest.Views}
	for name, view := range newest.Views {
		fitted.Views[name] = view
		state, published := states[name]
		if !published {
			continue // it has no values yet, by whatever definition
		}
		for _, m := range applied {
			if v := m.Views[name]; v != nil && v.Online && v.ServedHash() == state.Hash {
				fitted.Views[name] = v
				break
			}
		}
	}
	for name, svc := range newest.Services {
		fitted.Services[name] = svc
		for _, m := range applied {
			if older := m.Services[name]; older != nil {
				if s := rebind(older, fitted.Views); s != nil {
					fitted.Services[name] = s
					break
				}
			}
		}
	}
	return fitted
}

// rebind returns svc over the given views; nil where one of them is not there or lacks a feature or a key that the service takes.
func rebind(svc *feature.Service, views map[string]*feature.View) *feature.Service {
	same := true
	bound := *svc
	bound.Refs = slices.Clone(svc.Refs)
	for i := range bound.Refs {
		ref := &bound.Refs[i]
		from, to := ref.View, views[ref.View.Name]
		if from == to {
			continue
		}
		same = false
		if to == nil || !slices.Equal(from.Keys, to.Keys) {
			return nil
		}
		var found bool
		if ref.Features, found = translate(ref.Features, from, to); !found {
			return nil
		}
		if ref.Inputs, found = translate(ref.Inputs, from, to); !found {
			return nil
		}
		ref.View = to
	}
	if same {
		return svc
	}
	return &bound
}

// translate turns indices of features of one view into those of the same features of another.
func translate(features []int, from, to *feature.View) (translated []int, found bool) {
	for _, f := range features {
		at := to.Feature(from.Features[f].Name)
		if at < 0 || to.Features[at].Field != from.Features[f].Field {
			return nil, false
		}
		translated = append(translated, at)
	}
	return translated, true
}

package server

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// GetFeatures implements asof.v1.FeatureStore.
func (s *Server) GetFeatures(ctx context.Context, req *asofv1.GetFeaturesRequest) (*asofv1.GetFeaturesResponse, error) {
	asked, err := askedOf(req)
	if err != nil {
		return nil, err
	}
	q, err := s.Query(asked)
	if err != nil {
		return nil, err
	}
	inputs, err := inputsOf(req)
	if err != nil {
		return nil, err
	}
	answer, err := s.Answer(ctx, q, inputs)
	if err != nil {
		return nil, err
	}
	return respond(answer, req), nil
}

// askedOf returns what req asks for.
func askedOf(req *asofv1.GetFeaturesRequest) (Asked, error) {
	asked := Asked{Service: req.GetService(), FullNames: req.GetFullNames()}
	var f faults
	for i, name := range req.GetFeatures() {
		view, feature, ok := strings.Cut(name, ".")
		if !ok {
			f.add(fmt.Sprintf("features[%d]", i), "%q is not of the form view.feature", name)
		}
		asked.Features = append(asked.Features, FeatureName{view, feature})
	}
	return asked, f.err()
}

// inputsOf returns the keys and request fields of req. It reports all faults at once.
func inputsOf(req *asofv1.GetFeaturesRequest) ([]Input, error) {
	var f faults
	inputs := make([]Input, 0, len(req.GetKeys())+len(req.GetFields()))
	read := func(field string, columns map[string]*asofv1.Values) {
		for _, name := range slices.Sorted(maps.Keys(columns)) { // so that messages are always the same
			values := columns[name]
			column, err := ReadValues(values)
			switch place := field + "." + name; {
			case values.GetKind() == nil:
				f.add(place, "column %s has no values", name)
			case err != nil:
				f.add(place, "column %s: %v", name, err)
			default:
				inputs = append(inputs, Input{Name: name, Values: column, Place: place})
			}
		}
	}
	read("keys", req.GetKeys())
	read("fields", req.GetFields())
	return inputs, f.err()
}

// respond puts an answer to req on the wire.
func respond(a *Answer, req *asofv1.GetFeaturesRequest) *asofv1.GetFeaturesResponse {
	r := &asofv1.GetFeaturesResponse{Rows: uint32(a.Rows), Columns: make([]*asofv1.FeatureColumn, len(a.Columns))}
	shared := map[int]uint32{} // the event times of a ref
	// All columns in two pieces of memory: an answer is mostly many small ones.
	columns, statuses := make([]wireColumn, len(a.Columns)), []byte(nil)
	if !req.GetOmitStatuses() {
		statuses = make([]byte, 0, len(a.Columns)*a.Rows)
	}
	for i, c := range a.Columns {
		column := &columns[i].column
		column.Name, column.Values = c.Name, columns[i].write(c)
		if !req.GetOmitStatuses() {
			from := len(statuses)
			for _, status := range c.Statuses {
				statuses = append(statuses, byte(status))
			}
			column.Statuses = statuses[from:len(statuses):len(statuses)]
		}
		if !req.GetOmitEventTimes() {
			at, known := shared[c.Ref]
			if !known {
				at = uint32(len(r.EventTimes))
				shared[c.Ref] = at
				view := a.Origins[i]
				if c.Ref < 0 {
					view = "" // what is computed on demand has no event time
				}
				r.EventTimes = append(r.EventTimes, &asofv1.EventTimes{View: view, Times: each(a.Rows, func(row int) int64 { return int64(c.EventTimes[row]) })})
			}
			column.EventTimesIndex = at
		}
		r.Columns[i] = column
	}
	return r
}

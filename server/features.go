package server

import (
	"context"
	"fmt"
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
	inputs, err := readColumns("keys", req.GetKeys())
	if err != nil {
		return nil, err
	}
	answer, err := s.Answer(ctx, q, inputs)
	if err != nil {
		return nil, err
	}
	return respond(answer), nil
}

// askedOf returns what req asks for.
func askedOf(req *asofv1.GetFeaturesRequest) (Asked, error) {
	asked := Asked{Service: req.GetService(), FullNames: req.GetFullNames()}
	var f faults
	for i, name := range req.GetFeatures().GetNames() {
		view, feature, ok := strings.Cut(name, ".")
		if !ok {
			f.add(fmt.Sprintf("features[%d]", i), "%q is not of the form view.feature", name)
		}
		asked.Features = append(asked.Features, FeatureName{view, feature})
	}
	return asked, f.err()
}

// respond puts an answer on the wire.
func respond(a *Answer) *asofv1.GetFeaturesResponse {
	r := &asofv1.GetFeaturesResponse{Rows: uint32(a.Rows), Columns: make([]*asofv1.FeatureColumn, len(a.Columns))}
	for _, view := range a.Views {
		r.EventTimes = append(r.EventTimes, &asofv1.EventTimes{View: view, Micros: make([]int64, a.Rows)})
	}
	for i := range a.Columns {
		c := &a.Columns[i]
		column := &asofv1.FeatureColumn{Name: c.Name, Values: WriteValues(c.Values), EventTimesIndex: uint32(c.Ref), Statuses: make([]byte, len(c.Statuses))}
		for row, status := range c.Statuses {
			column.Statuses[row] = byte(status)
		}
		for row, event := range c.EventTimes {
			r.EventTimes[c.Ref].Micros[row] = int64(event)
		}
		r.Columns[i] = column
	}
	return r
}

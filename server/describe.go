package server

import (
	"context"
	"maps"
	"slices"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// ListServices implements asof.v1.FeatureStore.
func (s *Server) ListServices(context.Context, *asofv1.ListServicesRequest) (*asofv1.ListServicesResponse, error) {
	model, answer := s.model(), &asofv1.ListServicesResponse{}
	for _, name := range slices.Sorted(maps.Keys(model.Services)) {
		answer.Services = append(answer.Services, &asofv1.ServiceSummary{Name: name, Description: model.Descriptions[name],
			Features: uint32(len(model.Services[name].Columns(false)))})
	}
	return answer, nil
}

// DescribeService implements asof.v1.FeatureStore.
func (s *Server) DescribeService(_ context.Context, req *asofv1.DescribeServiceRequest) (*asofv1.DescribeServiceResponse, error) {
	model := s.model()
	svc, ok := model.Services[req.GetService()]
	if !ok {
		return nil, notFound("service", req.GetService(), model.Services)
	}
	states, err := s.store.States()
	if err != nil {
		return nil, err
	}
	q := model.query(svc, false)
	answer := &asofv1.DescribeServiceResponse{Name: svc.Name, Description: model.Descriptions[svc.Name], Keys: fieldsOf(q.Keys()), Fields: fieldsOf(q.Fields()),
		RowsMax: uint32(s.rowsMax(q))}
	for _, c := range q.columns {
		f, from := definitionOf(svc, c)
		answer.Features = append(answer.Features, &asofv1.DescribedFeature{Name: c.Name, Type: f.Type.String(), View: from, Description: f.Description, Owner: f.Owner})
	}
	told := map[string]bool{}
	for i := range svc.Refs {
		if view := svc.Refs[i].View; !told[view.Name] {
			told[view.Name] = true
			answer.Views = append(answer.Views, statusOf(view, states))
		}
	}
	return answer, nil
}

// definitionOf returns the feature that is column c of svc, and the view or the on-demand entry that defines it.
func definitionOf(svc *feature.Service, c feature.ServiceColumn) (f *feature.Feature, from string) {
	if c.Ref < 0 {
		computed := &svc.Computed[c.Feature]
		return &computed.Definition().Feature, computed.OnDemand.Name
	}
	ref := &svc.Refs[c.Ref]
	return &ref.View.Features[ref.Features[c.Feature]], ref.View.Name
}

func fieldsOf(fields []feature.Field) []*asofv1.Field {
	var named []*asofv1.Field
	for _, f := range fields {
		named = append(named, &asofv1.Field{Name: f.Name, Type: f.Type.String()})
	}
	return named
}

// GetStatus implements asof.v1.FeatureStore.
func (s *Server) GetStatus(context.Context, *asofv1.GetStatusRequest) (*asofv1.GetStatusResponse, error) {
	states, err := s.store.States()
	if err != nil {
		return nil, err
	}
	model := s.model()
	answer := &asofv1.GetStatusResponse{Version: s.options.Version, DefinitionsVersion: uint32(model.Version)}
	for _, name := range slices.Sorted(maps.Keys(model.Views)) {
		if view := model.Views[name]; view.Online {
			answer.Views = append(answer.Views, statusOf(view, states))
		}
	}
	return answer, nil
}

func statusOf(view *feature.View, states map[string]online.State) *asofv1.ViewStatus {
	state, known := states[view.Name]
	if !known {
		return &asofv1.ViewStatus{View: view.Name}
	}
	return &asofv1.ViewStatus{View: view.Name, Published: true, WatermarkMicros: int64(state.Watermark), HorizonMicros: int64(state.Horizon), Snapshot: state.Snapshot,
		Current: state.Hash == view.ServedHash(), Unfinished: state.Unfinished}
}

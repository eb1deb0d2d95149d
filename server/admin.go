package server

import (
	"context"
	"maps"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/asof-store/asof/feature"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// Publish implements asof.v1.Admin.
func (s *Server) Publish(ctx context.Context, req *asofv1.PublishRequest) (*asofv1.PublishResponse, error) {
	if s.options.Publish == nil {
		return nil, status.Error(codes.Unimplemented, "this server does not publish")
	}
	views := s.model().Views
	names := req.GetViews()
	for _, name := range names {
		view, ok := views[name]
		if !ok {
			return nil, notFound("view", name, views)
		}
		if !view.Online {
			return nil, feature.Errorf(feature.ErrInvalid, "view %s is not served online: it says online: false", name)
		}
	}
	if len(names) == 0 {
		names = onlineViews(views)
	}
	published, err := s.options.Publish(ctx, names, req.GetRebuild())
	if err != nil {
		return nil, err
	}
	answer := &asofv1.PublishResponse{}
	for _, p := range published {
		answer.Views = append(answer.Views, &asofv1.PublishedView{View: p.View, Keys: p.Keys, Rebuilt: p.Rebuilt})
	}
	return answer, nil
}

// GetStatus implements asof.v1.Admin.
func (s *Server) GetStatus(_ context.Context, _ *asofv1.GetStatusRequest) (*asofv1.GetStatusResponse, error) {
	states, err := s.store.States()
	if err != nil {
		return nil, err
	}
	answer := &asofv1.GetStatusResponse{Version: s.options.Version}
	views := s.model().Views
	for _, name := range onlineViews(views) {
		v := &asofv1.ViewStatus{View: name}
		if state, known := states[name]; known {
			v.Published, v.WatermarkMicros, v.HorizonMicros, v.Snapshot = true, int64(state.Watermark), int64(state.Horizon), state.Snapshot
			v.Current, v.Unfinished = state.Hash == views[name].ServedHash(), state.Unfinished
		}
		answer.Views = append(answer.Views, v)
	}
	return answer, nil
}

// onlineViews returns the names of the views that are served online, in order.
func onlineViews(views map[string]*feature.View) []string {
	names := slices.Sorted(maps.Keys(views))
	return slices.DeleteFunc(names, func(name string) bool { return !views[name].Online })
}

package server

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/asof-store/asof/feature"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// Bounds of what a client of HTTP may take its time for.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = time.Minute
	idleTimeout   = 2 * time.Minute
	headerMax     = 64 << 10
)

// RunHTTP serves JSON over HTTP on listener until ctx is cancelled. Then it takes no more requests, lets those under way end within
// StopTimeout, and returns nil; when it has returned, no request uses the store. It closes listener.
func (s *Server) RunHTTP(ctx context.Context, listener net.Listener) error {
	requests, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	handler, err := s.handler(requests)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	h := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerMax,
		BaseContext: func(net.Listener) context.Context { return requests }}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := h.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			return feature.Errorf(feature.ErrUnavailable, "serve HTTP on %s: %w", listener.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		late := time.AfterFunc(s.options.StopTimeout, cancel) // what is under way then ends with an error
		defer late.Stop()
		return h.Shutdown(context.WithoutCancel(ctx))
	})
	return group.Wait()
}

// handler answers all that is asked over HTTP.
func (s *Server) handler(ctx context.Context) (http.Handler, error) {
	form := newJSON(s)
	var gateway *runtime.ServeMux
	gateway = runtime.NewServeMux(runtime.WithMarshalerOption(runtime.MIMEWildcard, form), runtime.WithMiddlewares(func(next runtime.HandlerFunc) runtime.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request, path map[string]string) {
			body, err := readBody(r)
			if err != nil {
				runtime.HTTPError(r.Context(), gateway, form, w, r, err)
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			next(w, r, path)
		}
	}))
	// The calls do not go through a connection of gRPC, whose interceptors would guard them: inProcess does.
	if err := asofv1.RegisterFeatureStoreHandlerServer(ctx, gateway, inProcess{s}); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", gateway)
	mux.Handle("POST /get-online-features", s.feastHandler())
	mux.Handle("POST /serving-endpoints/{service}/invocations", s.databricksHandler())
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(asofv1.OpenAPI) // a client that has gone away misses nothing
	})
	return http.MaxBytesHandler(mux, int64(s.options.MaxRequestBytes)), nil
}

// readBody reads the body of a request that [http.MaxBytesHandler] bounds.
func readBody(r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(r.Body)
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return nil, &runtime.HTTPStatusError{HTTPStatus: http.StatusRequestEntityTooLarge,
			Err: status.Errorf(codes.ResourceExhausted, "the request has more than the %d bytes that one may have: ask for fewer rows at a time", long.Limit)}
	}
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "the body of the request ends early: %v", err)
	}
	return text, nil
}

// inProcess calls a server as gRPC does, with the same guard.
type inProcess struct{ *Server }

// GetFeatures guards the server's.
func (p inProcess) GetFeatures(ctx context.Context, req *asofv1.GetFeaturesRequest) (*asofv1.GetFeaturesResponse, error) {
	return guard(p.Server, asofv1.FeatureStore_GetFeatures_FullMethodName, func() (*asofv1.GetFeaturesResponse, error) { return p.Server.GetFeatures(ctx, req) })
}

// ListServices guards the server's.
func (p inProcess) ListServices(ctx context.Context, req *asofv1.ListServicesRequest) (*asofv1.ListServicesResponse, error) {
	return guard(p.Server, asofv1.FeatureStore_ListServices_FullMethodName, func() (*asofv1.ListServicesResponse, error) { return p.Server.ListServices(ctx, req) })
}

// DescribeService guards the server's.
func (p inProcess) DescribeService(ctx context.Context, req *asofv1.DescribeServiceRequest) (*asofv1.DescribeServiceResponse, error) {
	return guard(p.Server, asofv1.FeatureStore_DescribeService_FullMethodName, func() (*asofv1.DescribeServiceResponse, error) { return p.Server.DescribeService(ctx, req) })
}

// GetStatus guards the server's.
func (p inProcess) GetStatus(ctx context.Context, req *asofv1.GetStatusRequest) (*asofv1.GetStatusResponse, error) {
	return guard(p.Server, asofv1.FeatureStore_GetStatus_FullMethodName, func() (*asofv1.GetStatusResponse, error) { return p.Server.GetStatus(ctx, req) })
}

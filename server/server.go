package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
	feastserving "github.com/asof-store/asof/proto/feast/serving"
)

// Model is what can be asked for, by name. It does not change once it has been handed out.
type Model struct {
	Services map[string]*feature.Service
	Views    map[string]*feature.View
	OnDemand map[string]*feature.OnDemand
	// Descriptions are what the definitions say of services, by name.
	Descriptions map[string]string
	Version      int // of the definitions in the registry

	defined map[string]*feature.View // the views that OnDemand takes features of, where Views has earlier ones
	queries sync.Map                 // what has been asked for: a *Query by serviceNamed
}

// Store answers lookups; *online.Store is one.
type Store interface {
	Lookup(ctx context.Context, svc *feature.Service, keys map[string]arrow.Array, now feature.Time, fullNames bool, overrides ...online.Override) (*online.Answer, error)
	States() (map[string]online.State, error)
}

// Options change how a server works. The zero value serves.
type Options struct {
	// Now is the clock that a ttl is checked against; default: time.Now.
	Now func() time.Time
	// Logger hears of faults whose details clients are not told; default: slog.Default().
	Logger *slog.Logger
	// Version of asof, for clients to see.
	Version string
	// Refit makes the function that returns the definitions go by what is published now, as [Fit] does. It is called when a request
	// meets values that were published by other definitions than those it went by; nil: they never are.
	Refit func(ctx context.Context) error
	// Admin serves asof.v1.Admin; nil: the server does not. Its errors are those of other packages: the server gives them codes.
	Admin asofv1.AdminServer
	// MaxValues bounds rows times features of one request; default 400,000: as float64 they are an answer of 3.6 MB, which clients
	// take that accept gRPC's default of 4 MiB.
	MaxValues int
	// MaxRequestBytes bounds an encoded request; default 4 MiB.
	MaxRequestBytes int
	// MaxConcurrent bounds the requests that one connection has under way; default 128. Others wait.
	MaxConcurrent int
	// StopTimeout is how long requests under way may take when the server stops, before they are cancelled; default 10 s.
	StopTimeout time.Duration
}

// Validate reports everything that is wrong with o.
func (o Options) Validate() error {
	var faults []error
	negative := func(name string, is bool) {
		if is {
			faults = append(faults, feature.Errorf(feature.ErrInvalid, "server: %s must not be negative", name))
		}
	}
	negative("MaxValues", o.MaxValues < 0)
	negative("MaxRequestBytes", o.MaxRequestBytes < 0)
	negative("MaxConcurrent", o.MaxConcurrent < 0)
	negative("StopTimeout", o.StopTimeout < 0)
	return errors.Join(faults...)
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.MaxValues == 0 {
		o.MaxValues = 400_000
	}
	if o.MaxRequestBytes == 0 {
		o.MaxRequestBytes = 4 << 20
	}
	if o.MaxConcurrent == 0 {
		o.MaxConcurrent = 128
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 10 * time.Second
	}
	return o
}

// Server serves one store.
type Server struct {
	asofv1.UnimplementedFeatureStoreServer
	store   Store
	model   func() *Model
	options Options
	codec   codec
}

// New returns a server of store. model returns the definitions to go by; it is called for each request, from many goroutines, and
// may return another one each time.
func New(store Store, model func() *Model, o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &Server{store: store, model: model, options: o.withDefaults(), codec: codec}, nil
}

// grpcServer returns a server of gRPC without services.
func (s *Server) grpcServer() *grpc.Server {
	return grpc.NewServer(
		grpc.ForceServerCodecV2(s.codec),
		grpc.MaxRecvMsgSize(s.options.MaxRequestBytes),
		grpc.MaxConcurrentStreams(uint32(s.options.MaxConcurrent)),
		grpc.ChainUnaryInterceptor(s.guardUnary),
		grpc.ChainStreamInterceptor(s.guardStream),
		grpc.WaitForHandlers(true),
		// A goroutine of its own for each request begins with a small stack, which has to grow on the way to the store.
		grpc.NumStreamWorkers(uint32(16*runtime.GOMAXPROCS(0))),
	)
}

// Run serves on listener until ctx is cancelled. Then it takes no more requests, lets those under way end within StopTimeout, and
// returns nil; when Run has returned, no request uses the store. It closes listener.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	g := s.grpcServer()
	asofv1.RegisterFeatureStoreServer(g, s)
	feastserving.RegisterServingServiceServer(g, feastService{server: s})
	if s.options.Admin != nil {
		asofv1.RegisterAdminServer(g, s.options.Admin)
	}
	state := health.NewServer()
	state.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	for name := range g.GetServiceInfo() {
		state.SetServingStatus(name, grpc_health_v1.HealthCheckResponse_SERVING)
	}
	grpc_health_v1.RegisterHealthServer(g, state)
	reflection.Register(g)

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		// ErrServerStopped tells that it was stopped before it had begun.
		if err := g.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return feature.Errorf(feature.ErrUnavailable, "serve on %s: %w", listener.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		state.Shutdown()
		late := time.AfterFunc(s.options.StopTimeout, g.Stop)
		defer late.Stop()
		g.GracefulStop()
		return nil
	})
	return group.Wait()
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/memlimit"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
	"github.com/asof-store/asof/server"
)

// serviceName is what the load asks for.
const serviceName = "bench"

// taskServe is asof's server on the online store in t.Data.
func taskServe(ctx context.Context, t task) (o outcome, err error) {
	memlimit.SetServing(materialize.MemoryDefault) // as asof serve does
	store, err := offline.Open(ctx, t.Data, offline.Options{})
	if err != nil {
		return o, err
	}
	values, err := online.Open(filepath.Join(t.Data, onlineName), online.Options{Logger: quiet(), CacheBytes: t.Load.Cache, Rest: online.RestServing()})
	if err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, values.Close()) }()
	views := t.Shape.views()
	model := &server.Model{Services: map[string]*feature.Service{serviceName: service(serviceName, views, t.Load.Features)}, Views: map[string]*feature.View{}}
	for _, v := range views {
		model.Views[v.Name] = v
	}
	engine := &materialize.Engine{Offline: store, Online: values, Version: "bench"}
	s, err := server.New(values, func() *server.Model { return model }, server.Options{
		Now: func() time.Time { return t.Shape.servedNow().Std() }, Logger: quiet(), Admin: &publisher{engine: engine, view: views[0]},
	})
	if err != nil {
		return o, err
	}
	return o, untilTold(ctx, s.Run, s.RunHTTP)
}

// publisher publishes one view anew, whatever it is asked.
type publisher struct {
	asofv1.UnimplementedAdminServer
	engine *materialize.Engine
	view   *feature.View
}

// Publish implements asofv1.AdminServer.
func (p *publisher) Publish(ctx context.Context, _ *asofv1.PublishRequest) (*asofv1.PublishResponse, error) {
	done, err := p.engine.Republish(ctx, p.view)
	return &asofv1.PublishResponse{Views: []*asofv1.PublishedView{{View: p.view.Name, Keys: done.Keys, Rebuilt: done.Rebuilt}}}, err
}

// taskEcho is a server of gRPC, or of HTTP, that answers every request with the same t.Load.Response bytes, and looks at none.
func taskEcho(ctx context.Context, t task) (outcome, error) {
	answer := make([]byte, t.Load.Response)
	g := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}))
	g.RegisterService(&grpc.ServiceDesc{ServiceName: "asof.v1.FeatureStore", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{
		MethodName: "GetFeatures",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var request []byte
			return &answer, decode(&request)
		},
	}}}, struct{}{})
	return outcome{}, untilTold(ctx, func(ctx context.Context, listener net.Listener) error {
		stop := context.AfterFunc(ctx, g.GracefulStop)
		defer stop()
		return g.Serve(listener)
	}, func(ctx context.Context, listener net.Listener) error { return echoHTTP(ctx, listener, answer) })
}

func echoHTTP(ctx context.Context, listener net.Listener, answer []byte) error {
	h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer) // a load that has gone away misses nothing
		}
	})}
	stop := context.AfterFunc(ctx, func() { _ = h.Shutdown(context.WithoutCancel(ctx)) })
	defer stop()
	if err := h.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// addresses are those of a server.
type addresses struct{ GRPC, HTTP string }

// untilTold has a server of gRPC and one of HTTP run on ports of this machine, tells the parent their addresses, and stops them when the parent closes standard input.
func untilTold(ctx context.Context, rpc, web func(context.Context, net.Listener) error) (err error) {
	var config net.ListenConfig
	ofRPC, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ofWeb, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, ofRPC.Close())
	}
	if err := json.NewEncoder(os.Stdout).Encode(addresses{ofRPC.Addr().String(), ofWeb.Addr().String()}); err != nil {
		return errors.Join(err, ofRPC.Close(), ofWeb.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return rpc(ctx, ofRPC) })
	group.Go(func() error { return web(ctx, ofWeb) })
	group.Go(func() error {
		defer stop()
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	})
	return group.Wait()
}

// rawCodec passes messages on as they are, or their sizes.
type rawCodec struct{}

// Marshal implements encoding.CodecV2.
func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

// Unmarshal implements encoding.CodecV2.
func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if size, is := v.(*int); is {
		*size = data.Len()
		return nil
	}
	*v.(*[]byte) = data.Materialize()
	return nil
}

// Name implements encoding.CodecV2: servers take what it sends for protobuf, which it is.
func (rawCodec) Name() string { return "proto" }

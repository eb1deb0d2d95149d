package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// wideModel has a service of features of float64 from three views of customers, as many in each as there are in all, more or less.
func wideModel(features int) *Model {
	m := &Model{Services: map[string]*feature.Service{}, Views: map[string]*feature.View{}}
	svc := &feature.Service{Name: "wide"}
	for v := range 3 {
		view := &feature.View{Name: fmt.Sprintf("view_%d", v), Online: true, Hash: "h", Keys: []feature.Field{{Name: fieldCustomer, Type: feature.Scalar(feature.Int64)}}}
		ref := feature.Ref{View: view, KeyColumns: []string{fieldCustomer}}
		for f := v; f < features; f += 3 {
			ref.Features = append(ref.Features, len(view.Features))
			view.Features = append(view.Features, feature.Feature{Field: feature.Field{Name: fmt.Sprintf("feature_%02d", f), Type: feature.Scalar(feature.Float64)}})
		}
		m.Views[view.Name] = view
		svc.Refs = append(svc.Refs, ref)
	}
	m.Services[svc.Name] = svc
	return m
}

// wideStore has so many customers of wideModel's views, and room for all of them in its cache.
func wideStore(b *testing.B, m *Model, customers int) *online.Store {
	b.Helper()
	s := openStore(b, 256<<20)
	for _, v := range m.Views {
		rows := make([][]any, customers)
		for i := range rows {
			rows[i] = []any{int64(i), hour}
			for f := range v.Features {
				rows[i] = append(rows[i], float64(i)+float64(f)/100)
			}
		}
		put(b, s, v, 1, rows)
	}
	return s
}

// BenchmarkServe asks for keys times features of three views, without a connection, which costs what gRPC costs:
//
//	go test ./server -run='^$' -bench=Serve -benchmem
func BenchmarkServe(b *testing.B) {
	for _, c := range []struct{ keys, features int }{{1, 20}, {100, 50}, {500, 50}} {
		b.Run(fmt.Sprintf("%dx%d", c.keys, c.features), func(b *testing.B) {
			const customers = 10_000
			m := wideModel(c.features)
			s, err := New(wideStore(b, m, customers), func() *Model { return m }, Options{Now: clockAt(2 * hour)})
			if err != nil {
				b.Fatal(err)
			}
			ids := make([]int64, c.keys)
			req := ofService("wide", ints(fieldCustomer, ids...))
			next := uint64(1)
			b.ReportAllocs()
			for b.Loop() {
				for i := range ids {
					next = next*6364136223846793005 + 1442695040888963407
					ids[i] = int64(next>>33) % customers
				}
				if r, err := s.GetFeatures(context.Background(), req); err != nil || r.GetColumns()[0].GetStatuses()[0] != byte(asofv1.Status_STATUS_PRESENT) {
					b.Fatal(r, err)
				}
			}
		})
	}
}

// echo answers every request with the same answer.
type echo struct {
	asofv1.UnimplementedFeatureStoreServer
	answer *asofv1.GetFeaturesResponse
}

func (e echo) GetFeatures(context.Context, *asofv1.GetFeaturesRequest) (*asofv1.GetFeaturesResponse, error) {
	return e.answer, nil
}

// BenchmarkOverGRPC is BenchmarkServe over TCP, with a few requests under way at a time, and beside it an echo of messages of the same size:
//
//	go test ./server -run='^$' -bench=OverGRPC -benchmem
func BenchmarkOverGRPC(b *testing.B) {
	for _, c := range []struct{ keys, features int }{{1, 20}, {100, 50}} {
		const customers = 10_000
		m := wideModel(c.features)
		s, err := New(wideStore(b, m, customers), func() *Model { return m }, Options{Now: clockAt(2 * hour)})
		if err != nil {
			b.Fatal(err)
		}
		ids := make([]int64, c.keys)
		for i := range ids {
			ids[i] = int64(i) * 7919 % customers
		}
		req := ofService("wide", ints(fieldCustomer, ids...))
		answer, err := s.GetFeatures(context.Background(), req)
		if err != nil {
			b.Fatal(err)
		}
		for name, service := range map[string]asofv1.FeatureStoreServer{"asof": s, "echo": echo{answer: answer}} {
			b.Run(fmt.Sprintf("%dx%d/%s", c.keys, c.features, name), func(b *testing.B) {
				client := overTCP(b, s, service)
				b.ReportAllocs()
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if _, err := client.GetFeatures(context.Background(), req); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}

// overTCP serves service as s is served, on a socket, and returns a client of it.
func overTCP(b *testing.B, s *Server, service asofv1.FeatureStoreServer) asofv1.FeatureStoreClient {
	b.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := s.grpcServer()
	asofv1.RegisterFeatureStoreServer(g, service)
	var serving errgroup.Group
	serving.Go(func() error { return g.Serve(listener) })
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		err := conn.Close()
		g.Stop()
		if err := errors.Join(err, serving.Wait()); err != nil {
			b.Error(err)
		}
	})
	return asofv1.NewFeatureStoreClient(conn)
}

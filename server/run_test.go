package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

func TestErrorCodes(t *testing.T) {
	for _, c := range []struct {
		err    error
		code   codes.Code
		shows  bool // the client sees the message
		logged bool
	}{
		{feature.Errorf(feature.ErrInvalid, "secret"), codes.InvalidArgument, true, false},
		{feature.Errorf(feature.ErrNotFound, "secret"), codes.NotFound, true, false},
		{feature.Errorf(feature.ErrConflict, "secret"), codes.Aborted, true, false},
		{feature.Errorf(feature.ErrUnavailable, "secret"), codes.Unavailable, true, false},
		{feature.Errorf(feature.ErrCorrupt, "secret"), codes.DataLoss, false, true},
		{feature.Errorf(feature.ErrInternal, "secret"), codes.Internal, false, true},
		{errors.New("secret"), codes.Internal, false, true},
		{fmt.Errorf("lookup: %w", context.Canceled), codes.Canceled, true, false},
		{fmt.Errorf("lookup: %w", context.DeadlineExceeded), codes.DeadlineExceeded, true, false},
		{nil, codes.Internal, false, true}, // stands for a panic
	} {
		var log bytes.Buffer
		m := testModel()
		store := fakeStore{lookup: func(context.Context) (*online.Answer, error) {
			if c.err == nil {
				panic("secret")
			}
			return nil, c.err
		}}
		s := start(t, store, func() *Model { return m }, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		_, err := s.features.GetFeatures(context.Background(), ofService("global"))
		if status.Code(err) != c.code {
			t.Errorf("%v: code %v, want %v", c.err, status.Code(err), c.code)
		}
		if c.err != nil && strings.HasPrefix(c.err.Error(), "secret") && strings.Contains(err.Error(), "secret") != c.shows {
			t.Errorf("%v: the client sees %v", c.err, err)
		}
		if strings.Contains(log.String(), "secret") != c.logged {
			t.Errorf("%v: the log says %q", c.err, log.String())
		}
	}
}

// blocked is a store whose lookups wait until their context ends or the test says so.
func blocked() (store fakeStore, entered chan struct{}, leave chan struct{}, ended *atomic.Int32) {
	rates := array.NewFloat64Builder(memory.DefaultAllocator)
	rates.Append(0.5)
	rate := rates.NewArray()
	entered, leave, ended = make(chan struct{}, 16), make(chan struct{}), new(atomic.Int32)
	store.lookup = func(ctx context.Context) (*online.Answer, error) {
		entered <- struct{}{}
		defer ended.Add(1)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-leave:
			column := online.NewColumn("", rate)
			column.Statuses, column.EventTimes = []feature.Status{feature.Present}, []feature.Time{0}
			return &online.Answer{Rows: 1, Columns: []*online.Column{column}}, nil
		}
	}
	return store, entered, leave, ended
}

func TestDeadlineAndCancel(t *testing.T) {
	m := testModel()
	store, entered, _, ended := blocked()
	s := start(t, store, func() *Model { return m }, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := s.features.GetFeatures(ctx, ofService("global")); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("after the deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	var group errgroup.Group
	group.Go(func() error {
		_, err := s.features.GetFeatures(ctx, ofService("global"))
		return err
	})
	<-entered
	cancel()
	if err := group.Wait(); status.Code(err) != codes.Canceled {
		t.Errorf("after cancel: %v", err)
	}
	s.stop()
	s.done <- <-s.done
	if ended.Load() == 0 {
		t.Error("the store's lookup was not cancelled")
	}
}

// TestStopLetsRequestsEnd: a request under way is answered, and Run returns after it.
func TestStopLetsRequestsEnd(t *testing.T) {
	m := testModel()
	store, entered, leave, ended := blocked()
	s := start(t, store, func() *Model { return m }, Options{StopTimeout: time.Hour})
	var group errgroup.Group
	group.Go(func() error {
		_, err := s.features.GetFeatures(context.Background(), ofService("global"))
		return err
	})
	<-entered
	s.stop()
	close(leave)
	if err := group.Wait(); err != nil {
		t.Errorf("the request under way: %v", err)
	}
	err := <-s.done
	if s.done <- err; err != nil || ended.Load() != 1 {
		t.Errorf("Run: %v, %d requests ended", err, ended.Load())
	}
}

// TestStopBeforeServing: being stopped before it has begun is no fault of a server, whichever of the two comes first.
func TestStopBeforeServing(t *testing.T) {
	m := testModel()
	store, _, _, _ := blocked()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 200 {
		s, err := New(store, func() *Model { return m }, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Run(ctx, bufconn.Listen(1)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStopTimeout: a request that does not end is cancelled, and Run waits for its handler all the same.
func TestStopTimeout(t *testing.T) {
	m := testModel()
	store, entered, _, ended := blocked()
	s := start(t, store, func() *Model { return m }, Options{StopTimeout: time.Millisecond})
	var group errgroup.Group
	group.Go(func() error {
		_, err := s.features.GetFeatures(context.Background(), ofService("global"))
		return err
	})
	<-entered
	s.stop()
	err := <-s.done
	if s.done <- err; err != nil || ended.Load() != 1 {
		t.Errorf("Run: %v, %d requests ended", err, ended.Load())
	}
	if err := group.Wait(); err == nil {
		t.Error("the request that was cut off has no error")
	}
}

func TestHealthAndReflection(t *testing.T) {
	m := testModel()
	s := start(t, newStore(t, m), func() *Model { return m }, Options{Admin: refusing{}})
	for _, name := range []string{"", "asof.v1.FeatureStore", "asof.v1.Admin"} {
		r, err := grpc_health_v1.NewHealthClient(s.conn).Check(context.Background(), &grpc_health_v1.HealthCheckRequest{Service: name})
		if err != nil || r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q: %v, %v", name, r, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(s.conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil || !strings.Contains(r.String(), "asof.v1.FeatureStore") {
		t.Errorf("reflection: %v, %v", r, err)
	}
}

// refusing is an admin service whose calls fail.
type refusing struct {
	asofv1.UnimplementedAdminServer
}

func (refusing) Publish(context.Context, *asofv1.PublishRequest) (*asofv1.PublishResponse, error) {
	return nil, feature.Errorf(feature.ErrConflict, "somebody else publishes")
}

func (refusing) Materialize(_ *asofv1.MaterializeRequest, stream grpc.ServerStreamingServer[asofv1.MaterializeResponse]) error {
	if err := stream.Send(&asofv1.MaterializeResponse{}); err != nil {
		return err
	}
	panic("secret")
}

// TestAdmin: the admin service is there if it is given, and guarded as the other is.
func TestAdmin(t *testing.T) {
	m := testModel()
	ctx := context.Background()
	s := start(t, newStore(t, m), func() *Model { return m }, Options{Admin: refusing{}})
	if _, err := s.admin.Publish(ctx, &asofv1.PublishRequest{}); status.Code(err) != codes.Aborted || !strings.Contains(err.Error(), "somebody else publishes") {
		t.Error(err)
	}
	run, err := s.admin.Materialize(ctx, &asofv1.MaterializeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Recv(); err != nil {
		t.Error(err)
	}
	if _, err := run.Recv(); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
		t.Errorf("a stream that panics ends with %v", err)
	}
	without := start(t, newStore(t, m), func() *Model { return m }, Options{})
	if _, err := without.admin.Publish(ctx, &asofv1.PublishRequest{}); status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
}

func TestStatus(t *testing.T) {
	m := testModel()
	m.Views["world"].Hash, m.Version = "changed", 7
	ctx := context.Background()
	s := start(t, newStore(t, testModel()), func() *Model { return m }, Options{Version: "v9"})
	st, err := s.features.GetStatus(ctx, &asofv1.GetStatusRequest{})
	if err != nil || len(st.GetViews()) != 4 || st.GetVersion() != "v9" || st.GetDefinitionsVersion() != 7 {
		t.Fatalf("%v, %v", st, err)
	}
	if v := st.GetViews()[0]; v.GetView() != "clash" || v.GetPublished() {
		t.Errorf("a view that was never published: %v", v)
	}
	if v := st.GetViews()[1]; !v.GetCurrent() || v.GetSnapshot() != 7 || v.GetWatermarkMicros() != int64(24*hour) {
		t.Errorf("a view that is up to date: %v", v)
	}
	if v := st.GetViews()[3]; v.GetCurrent() || !v.GetPublished() {
		t.Errorf("a view whose definition has changed: %v", v)
	}
	broken := start(t, fakeStore{}, func() *Model { return m }, Options{})
	if _, err := broken.features.GetStatus(ctx, &asofv1.GetStatusRequest{}); status.Code(err) != codes.Internal {
		t.Error(err)
	}
}

// TestReadsDuringPublish: every answer is of one publication, whatever goes on beside it.
func TestReadsDuringPublish(t *testing.T) {
	m := testModel()
	store := newStore(t, m)
	s := start(t, store, func() *Model { return m }, Options{Now: clockAt(24 * hour)})
	version := func(n int64) {
		rows := make([][]any, 40)
		for i := range rows {
			rows[i] = []any{int64(i), 20 * hour, n, "x"}
		}
		put(t, store, m.Views["profile"], n, rows)
	}
	version(0)
	stop := make(chan struct{})
	var group errgroup.Group
	group.Go(func() error {
		defer close(stop)
		for n := range int64(10) {
			version(n)
		}
		return nil
	})
	ids := make([]int64, 40)
	for i := range ids {
		ids[i] = int64(i)
	}
	for range 3 {
		group.Go(func() error {
			for {
				r, err := s.features.GetFeatures(context.Background(), named([]string{"profile.age"}, ints(fieldCustomer, ids...)))
				if err != nil {
					return err
				}
				ages := r.GetColumns()[0].GetValues().GetInt64S().GetValues()
				for i, age := range ages {
					if age != ages[0] || feature.Status(r.GetColumns()[0].GetStatuses()[i]) != feature.Present {
						return fmt.Errorf("one answer holds %v", ages)
					}
				}
				select {
				case <-stop:
					return nil
				default:
				}
			}
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	_, err := New(nil, nil, Options{MaxValues: -1, StopTimeout: -1})
	if !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), "MaxValues") || !strings.Contains(err.Error(), "StopTimeout") {
		t.Errorf("%v", err)
	}
}

// BenchmarkGetFeatures asks for 100 keys of 4 features over an in-memory connection:
//
//	go test ./server -run='^$' -bench=GetFeatures -benchmem
func BenchmarkGetFeatures(b *testing.B) {
	m := testModel()
	s := start(b, newStore(b, m), func() *Model { return m }, Options{Now: clockAt(24 * hour)})
	ids := make([]int64, 100)
	for i := range ids {
		ids[i] = int64(i % 5)
	}
	req := ofService("fraud_v1", ints(fieldCustomer, ids...), ints("payee_id", ids...))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.features.GetFeatures(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}

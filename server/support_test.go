package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/ondemand"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// running is a server in this process and its clients.
type running struct {
	features asofv1.FeatureStoreClient
	admin    asofv1.AdminClient
	conn     *grpc.ClientConn
	stop     context.CancelFunc // tells Run to end
	done     chan error         // what Run has returned
}

// start runs a server until the test ends.
func start(t testing.TB, store Store, model func() *Model, o Options) *running {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	s, err := New(store, model, o)
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- s.Run(ctx, listener) }()
	r.conn, err = grpc.NewClient("passthrough:///test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	r.features, r.admin = asofv1.NewFeatureStoreClient(r.conn), asofv1.NewAdminClient(r.conn)
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(r.conn.Close(), <-r.done); err != nil {
			t.Error(err)
		}
	})
	return r
}

// fakeStore answers as its functions say.
type fakeStore struct {
	lookup func(ctx context.Context) (*online.Answer, error)
}

func (f fakeStore) Lookup(ctx context.Context, _ *feature.Service, _ map[string]arrow.Array, _ feature.Time, _ bool, _ ...online.Override) (*online.Answer, error) {
	return f.lookup(ctx)
}

func (f fakeStore) States() (map[string]online.State, error) { return nil, errors.New("no states") }

const (
	fieldCustomer = "customer_id"
	hour          = feature.Time(time.Hour / time.Microsecond)
)

// testModel has a service of two views over customers, and a global view.
func testModel() *Model {
	int64Type, customer := feature.Scalar(feature.Int64), []feature.Field{{Name: fieldCustomer, Type: feature.Scalar(feature.Int64)}}
	profile := &feature.View{Name: "profile", Online: true, Hash: "p", Keys: customer, TTL: 48 * time.Hour, Features: []feature.Feature{
		{Field: feature.Field{Name: "age", Type: int64Type}},
		{Field: feature.Field{Name: "city", Type: feature.Scalar(feature.String)}, Default: "?"},
	}}
	world := &feature.View{Name: "world", Online: true, Hash: "w", Features: []feature.Feature{{Field: feature.Field{Name: "rate", Type: feature.Scalar(feature.Float64)}}}}
	terminal := &feature.View{Name: "terminal", Online: true, Hash: "t", Keys: []feature.Field{{Name: "country", Type: feature.Scalar(feature.String)}, {Name: "number", Type: feature.Scalar(feature.Int32)}},
		Features: []feature.Feature{{Field: feature.Field{Name: "risk", Type: feature.Scalar(feature.Float32)}}}}
	hidden := &feature.View{Name: "hidden", Hash: "h", Keys: customer, Features: []feature.Feature{{Field: feature.Field{Name: "x", Type: int64Type}}}}
	clash := &feature.View{Name: "clash", Online: true, Keys: []feature.Field{{Name: fieldCustomer, Type: feature.Scalar(feature.String)}}, Features: []feature.Feature{{Field: feature.Field{Name: "y", Type: int64Type}}}}
	m := &Model{Services: map[string]*feature.Service{}, Views: map[string]*feature.View{}}
	for _, v := range []*feature.View{profile, world, terminal, hidden, clash} {
		m.Views[v.Name] = v
	}
	m.OnDemand = map[string]*feature.OnDemand{"price": priceOf(world)}
	m.Services["fraud_v1"] = &feature.Service{Name: "fraud_v1", Refs: []feature.Ref{
		{View: profile, KeyColumns: []string{fieldCustomer}, Features: []int{1, 0}},
		{View: world, Features: []int{0}},
		{View: profile, Alias: "payee", KeyColumns: []string{"payee_id"}, Features: []int{1}},
	}}
	priced := &feature.Service{Name: "priced", Refs: []feature.Ref{{View: profile, KeyColumns: []string{fieldCustomer}, Features: []int{0}}}}
	if err := ondemand.Bind(priced, ondemand.Binding{OnDemand: m.OnDemand["price"], Features: []int{0}}); err != nil {
		panic(err)
	}
	m.Services["priced"] = priced
	m.Services["terminals"] = &feature.Service{Name: "terminals", Refs: []feature.Ref{{View: terminal, KeyColumns: []string{"country", "number"}, Features: []int{0}}}}
	m.Services["global"] = &feature.Service{Name: "global", Refs: []feature.Ref{{View: world, Features: []int{0}}}}
	return m
}

// product is a program that multiplies two columns of float64; it refuses a product of 13.
type product struct{ a, b string }

func (p product) Columns() []string { return []string{p.a, p.b} }
func (p product) SparkSQL() string  { return p.a + " * " + p.b }

func (p product) Eval(columns func(string) arrow.Array, rows int) (arrow.Array, error) {
	a, b, out := columns(p.a).(*array.Float64), columns(p.b).(*array.Float64), array.NewFloat64Builder(memory.DefaultAllocator)
	for i := range rows {
		switch {
		case a.IsNull(i) || b.IsNull(i):
			out.AppendNull()
		case a.Value(i)*b.Value(i) == 13:
			return nil, feature.Errorf(feature.ErrInvalid, "row %d: 13 is no product", i)
		default:
			out.Append(a.Value(i) * b.Value(i))
		}
	}
	return out.NewArray(), nil
}

// priceOf is the on-demand features price.local, the request's amount at the world's rate, and price.twice, which takes that.
func priceOf(world *feature.View) *feature.OnDemand {
	float := feature.Scalar(feature.Float64)
	o := &feature.OnDemand{Name: "price", Request: []feature.Field{{Name: "amount", Type: float}, {Name: "factor", Type: float}}}
	o.Features = []feature.OnDemandFeature{
		{Feature: feature.Feature{Field: feature.Field{Name: "local", Type: float}, Default: -1.0}, Program: product{"amount", "world.rate"},
			Inputs: []feature.Input{{Column: "amount"}, {Column: "world.rate", View: world, ViewName: "world"}}},
		{Feature: feature.Feature{Field: feature.Field{Name: "times", Type: float}}, Program: product{"local", "factor"},
			Inputs: []feature.Input{{Column: "local", OnDemand: o}, {Column: "factor"}}},
	}
	return o
}

// newStore returns a store with testModel's views published: customers 1 to 3, and the world.
func newStore(t testing.TB, m *Model) *online.Store {
	t.Helper()
	s := openStore(t, 0)
	put(t, s, m.Views["profile"], 7, [][]any{{int64(1), 20 * hour, int64(30), "Rome"}, {int64(2), 21 * hour, nil, nil}, {int64(3), 1 * hour, int64(50), "Oslo"}})
	put(t, s, m.Views["world"], 8, [][]any{{20 * hour, 0.5}})
	put(t, s, m.Views["terminal"], 9, [][]any{{"IT", int32(7), 20 * hour, float32(0.25)}})
	return s
}

// openStore returns an empty store with a cache of about so many bytes.
func openStore(t testing.TB, cacheBytes int64) *online.Store {
	t.Helper()
	s, err := online.Open(t.TempDir(), online.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), CacheBytes: cacheBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// put publishes rows: the key parts, the event time, the features.
func put(t testing.TB, s *online.Store, v *feature.View, snapshot int64, rows [][]any) {
	t.Helper()
	p, err := s.Begin(v, true)
	if err != nil {
		t.Fatal(err)
	}
	keyOf := func(r []any) (key feature.Key) {
		for i, part := range r[:len(v.Keys)] {
			key, _ = feature.AppendKeyPart(key, columnOf(t, v.Keys[i].Type, part), 0)
		}
		return key
	}
	slices.SortFunc(rows, func(a, b []any) int { return bytes.Compare(keyOf(a), keyOf(b)) })
	for _, r := range rows {
		key := keyOf(r)
		row := online.Row{Event: r[len(v.Keys)].(feature.Time)}
		for i, value := range r[len(v.Keys)+1:] {
			row.Values = append(row.Values, columnOf(t, v.Features[i].Type, value))
		}
		if err := p.Put(key, row); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Commit(online.State{Snapshot: snapshot, Watermark: 24 * hour}); err != nil {
		t.Fatal(err)
	}
}

func columnOf(t testing.TB, of feature.Type, values ...any) arrow.Array {
	t.Helper()
	b := array.NewBuilder(memory.DefaultAllocator, of.Arrow())
	for _, v := range values {
		if err := feature.AppendValue(b, v); err != nil {
			t.Fatal(err)
		}
	}
	return b.NewArray()
}

// column is a key column or a request field of a request.
type column struct {
	Name   string
	Values *asofv1.Values
}

func floats(name string, values ...float64) column {
	return column{Name: name, Values: &asofv1.Values{Kind: &asofv1.Values_Float64S{Float64S: &asofv1.Float64Values{Values: values}}}}
}

func ints(name string, values ...int64) column {
	return column{Name: name, Values: &asofv1.Values{Kind: &asofv1.Values_Int64S{Int64S: &asofv1.Int64Values{Values: values}}}}
}

func texts(name string, values ...string) column {
	return column{Name: name, Values: &asofv1.Values{Kind: &asofv1.Values_Strings{Strings: &asofv1.StringValues{Values: values}}}}
}

func valuesOf(columns []column) map[string]*asofv1.Values {
	values := map[string]*asofv1.Values{}
	for _, c := range columns {
		values[c.Name] = c.Values
	}
	return values
}

func ofService(name string, keys ...column) *asofv1.GetFeaturesRequest {
	return &asofv1.GetFeaturesRequest{Service: name, Keys: valuesOf(keys)}
}

func named(names []string, keys ...column) *asofv1.GetFeaturesRequest {
	return &asofv1.GetFeaturesRequest{Features: names, Keys: valuesOf(keys)}
}

// with adds request fields to a request.
func with(req *asofv1.GetFeaturesRequest, fields ...column) *asofv1.GetFeaturesRequest {
	req.Fields = valuesOf(fields)
	return req
}

// show returns an answer as text, a line for each column.
func show(r *asofv1.GetFeaturesResponse) []string {
	var lines []string
	for _, c := range r.GetColumns() {
		line := c.GetName() + ":"
		null := map[uint32]bool{}
		for _, row := range c.GetValues().GetNullRows() {
			null[row] = true
		}
		events := r.GetEventTimes()[c.GetEventTimesIndex()]
		for i := range r.GetRows() {
			value := "NULL"
			if !null[i] {
				value = valueText(c.GetValues(), int(i))
			}
			line += fmt.Sprintf(" %s %s@%d(%s)", value, feature.Status(c.GetStatuses()[i]), events.GetTimes()[i]/int64(hour), events.GetView())
		}
		lines = append(lines, line)
	}
	return lines
}

func valueText(v *asofv1.Values, i int) string {
	switch k := v.GetKind().(type) {
	case *asofv1.Values_Int64S:
		return fmt.Sprint(k.Int64S.GetValues()[i])
	case *asofv1.Values_Strings:
		return k.Strings.GetValues()[i]
	case *asofv1.Values_Float32S:
		return fmt.Sprint(k.Float32S.GetValues()[i])
	case *asofv1.Values_Float64S:
		return fmt.Sprint(k.Float64S.GetValues()[i])
	}
	return fmt.Sprintf("%T", v.GetKind())
}

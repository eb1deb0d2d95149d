package main

import (
	"context"
	"encoding/base64"
	"errors"
	"net"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/asof-store/asof/feature"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// client talks to an asof serve.
type client struct {
	address string
	conn    *grpc.ClientConn
}

func dial(address string) (*client, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, feature.Errorf(feature.ErrInvalid, "--server %q is no address: write host:port, such as 127.0.0.1:7878", address)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, feature.Errorf(feature.ErrInvalid, "--server %q: %w", address, err)
	}
	return &client{address, conn}, nil
}

func (c *client) close() error { return c.conn.Close() }

func (c *client) publish(ctx context.Context, views []string) ([]*asofv1.PublishedView, error) {
	answer, err := asofv1.NewAdminClient(c.conn).Publish(ctx, &asofv1.PublishRequest{Views: views})
	if err != nil {
		return nil, c.fault("publishing", err)
	}
	return answer.GetViews(), nil
}

// fault gives an RPC error its kind again.
func (c *client) fault(doing string, err error) error {
	s := status.Convert(err)
	kind, known := map[codes.Code]error{
		codes.InvalidArgument: feature.ErrInvalid, codes.NotFound: feature.ErrNotFound, codes.Aborted: feature.ErrConflict,
		codes.DataLoss: feature.ErrCorrupt, codes.Unavailable: feature.ErrUnavailable, codes.Unimplemented: feature.ErrInvalid,
	}[s.Code()]
	if s.Code() == codes.Canceled {
		return err
	}
	if !known {
		kind = feature.ErrInternal
	}
	if kind == feature.ErrUnavailable {
		return feature.Errorf(kind, "%s: the server %s does not answer (%s): is asof serve running there?", doing, c.address, s.Message())
	}
	return feature.Errorf(kind, "%s by the server %s: %s", doing, c.address, s.Message())
}

// getFrom asks the server at address for a service's features of one key.
func (p *project) getFrom(ctx context.Context, address string, svc *feature.Service, keys map[string]arrow.Array) (values []gotValue, err error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	request := &asofv1.GetFeaturesRequest{What: &asofv1.GetFeaturesRequest_Service{Service: svc.Name}}
	for name, column := range keys {
		if column.IsNull(0) {
			return nil, feature.Errorf(feature.ErrInvalid, "--key %s=: an empty value is NULL, which is found nowhere", name)
		}
		request.Keys = append(request.Keys, &asofv1.KeyColumn{Name: name, Values: keyValue(column)})
	}
	answer, err := asofv1.NewFeatureStoreClient(c.conn).GetFeatures(ctx, request)
	if err != nil {
		return nil, c.fault("looking up", err)
	}
	for _, column := range answer.GetColumns() {
		if len(column.GetStatuses()) != 1 || int(column.GetEventTimesIndex()) >= len(answer.GetEventTimes()) {
			return nil, feature.Errorf(feature.ErrInternal, "the server %s answered one key with %d values of %s", address, len(column.GetStatuses()), column.GetName())
		}
		got := gotValue{Name: column.GetName(), status: feature.Status(column.GetStatuses()[0])}
		got.Status = got.status.String()
		if !slices.Contains(column.GetValues().GetNullRows(), 0) {
			got.Value = wireValue(column.GetValues())
		}
		if times := answer.GetEventTimes()[column.GetEventTimesIndex()].GetMicros(); got.status != feature.NotFound && len(times) == 1 {
			text := feature.Time(times[0]).String()
			got.EventTime = &text
		}
		values = append(values, got)
	}
	if slices.ContainsFunc(values, func(v gotValue) bool { return v.status == feature.NotFound }) {
		return values, p.noteUnpublishedAt(ctx, c, svc)
	}
	return values, nil
}

// noteUnpublishedAt is noteUnpublished of what the server says.
func (p *project) noteUnpublishedAt(ctx context.Context, c *client, svc *feature.Service) error {
	answer, err := asofv1.NewAdminClient(c.conn).GetStatus(ctx, &asofv1.GetStatusRequest{})
	if err != nil {
		return c.fault("the status", err)
	}
	published := map[string]bool{}
	for _, v := range answer.GetViews() {
		published[v.GetView()] = v.GetPublished()
	}
	p.noteUnpublished(svc, func(view string) bool { return published[view] })
	return nil
}

// keyValue puts a key column of one row on the wire.
func keyValue(column arrow.Array) *asofv1.Values {
	switch c := column.(type) {
	case *array.Boolean:
		return &asofv1.Values{Kind: &asofv1.Values_Bools{Bools: &asofv1.BoolValues{Values: []bool{c.Value(0)}}}}
	case *array.Int32:
		return &asofv1.Values{Kind: &asofv1.Values_Int32S{Int32S: &asofv1.Int32Values{Values: []int32{c.Value(0)}}}}
	case *array.Int64:
		return &asofv1.Values{Kind: &asofv1.Values_Int64S{Int64S: &asofv1.Int64Values{Values: []int64{c.Value(0)}}}}
	case *array.Timestamp:
		return &asofv1.Values{Kind: &asofv1.Values_Timestamps{Timestamps: &asofv1.TimestampValues{Micros: []int64{int64(c.Value(0))}}}}
	case *array.Binary:
		return &asofv1.Values{Kind: &asofv1.Values_Bytes{Bytes: &asofv1.BytesValues{Values: [][]byte{c.Value(0)}}}}
	case *array.String:
		return &asofv1.Values{Kind: &asofv1.Values_Strings{Strings: &asofv1.StringValues{Values: []string{c.Value(0)}}}}
	}
	panic("asof: " + column.DataType().String() + " is no key type")
}

// wireValue returns the first value of a column as JSON writes it.
func wireValue(v *asofv1.Values) any {
	list := wireValues(v)
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

func wireValues(v *asofv1.Values) []any {
	switch k := v.GetKind().(type) {
	case *asofv1.Values_Bools:
		return anys(k.Bools.GetValues())
	case *asofv1.Values_Int32S:
		return anys(k.Int32S.GetValues())
	case *asofv1.Values_Int64S:
		return anys(k.Int64S.GetValues())
	case *asofv1.Values_Float32S:
		return anys(k.Float32S.GetValues())
	case *asofv1.Values_Float64S:
		return anys(k.Float64S.GetValues())
	case *asofv1.Values_Strings:
		return anys(k.Strings.GetValues())
	case *asofv1.Values_Bytes:
		texts := make([]string, len(k.Bytes.GetValues()))
		for i, b := range k.Bytes.GetValues() {
			texts[i] = base64.StdEncoding.EncodeToString(b)
		}
		return anys(texts)
	case *asofv1.Values_Timestamps:
		texts := make([]string, len(k.Timestamps.GetMicros()))
		for i, t := range k.Timestamps.GetMicros() {
			texts[i] = feature.Time(t).String()
		}
		return anys(texts)
	case *asofv1.Values_Lists:
		return wireLists(k.Lists)
	}
	return nil
}

func anys[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

func wireLists(lists *asofv1.ListValues) []any {
	elements := wireValues(lists.GetElements())
	for _, null := range lists.GetElements().GetNullRows() {
		if int(null) < len(elements) {
			elements[null] = nil
		}
	}
	var out []any
	for _, n := range lists.GetLengths() {
		n := min(int(n), len(elements))
		out = append(out, elements[:n:n])
		elements = elements[n:]
	}
	return out
}

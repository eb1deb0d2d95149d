package main

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
	"github.com/asof-store/asof/server"
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
	if kind == feature.ErrUnavailable && isOfConnection(s.Message()) {
		return feature.Errorf(kind, "%s: the server %s does not answer (%s): is asof serve running there?", doing, c.address, s.Message())
	}
	return feature.Errorf(kind, "%s by the server %s: %s", doing, c.address, s.Message())
}

// isOfConnection tells what gRPC says of a connection that fails from what a server says is unavailable.
func isOfConnection(message string) bool {
	return strings.Contains(message, "connection error") || strings.Contains(message, "error reading from server") || strings.Contains(message, "transport is closing")
}

// getFrom asks the server at address for a service's features of one key.
func (p *project) getFrom(ctx context.Context, address string, svc *feature.Service, columns map[string]arrow.Array) (values []gotValue, err error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	request := &asofv1.GetFeaturesRequest{Service: svc.Name, Keys: map[string]*asofv1.Values{}, Fields: map[string]*asofv1.Values{}}
	for _, key := range svc.KeyFields() {
		if columns[key.Name].IsNull(0) {
			return nil, feature.Errorf(feature.ErrInvalid, "--key %s=: an empty value is NULL, which is found nowhere", key.Name)
		}
		request.Keys[key.Name] = server.WriteValues(columns[key.Name])
	}
	for _, field := range svc.RequestFields() {
		request.Fields[field.Name] = server.WriteValues(columns[field.Name])
	}
	answer, err := c.getFeatures(ctx, request, 1)
	if err != nil {
		return nil, err
	}
	for _, column := range answer {
		values = append(values, newGotValue(column.Name, column.Values(), column.Statuses[0], column.Found[0], column.EventTimes[0]))
	}
	if slices.ContainsFunc(values, func(v gotValue) bool { return v.status == feature.NotFound }) {
		return values, p.noteUnpublishedAt(ctx, c, svc)
	}
	return values, nil
}

// getFeatures asks for features of so many keys.
func (c *client) getFeatures(ctx context.Context, request *asofv1.GetFeaturesRequest, rows int) ([]*online.Column, error) {
	answer, err := asofv1.NewFeatureStoreClient(c.conn).GetFeatures(ctx, request, grpc.MaxCallRecvMsgSize(answerBytesMax))
	if err != nil {
		return nil, c.fault("looking up", err)
	}
	var columns []*online.Column
	for _, from := range answer.GetColumns() {
		values, err := server.ReadValues(from.GetValues())
		if err != nil {
			return nil, feature.Errorf(feature.ErrInternal, "the server %s answered %s with %w", c.address, from.GetName(), err)
		}
		column := online.NewColumn(from.GetName(), values)
		at := int(from.GetEventTimesIndex())
		ofView := at < len(answer.GetEventTimes()) && answer.GetEventTimes()[at].GetView() != "" // else it is computed on demand
		for _, status := range from.GetStatuses() {
			column.Statuses = append(column.Statuses, feature.Status(status))
			column.Found = append(column.Found, ofView && feature.Status(status) != feature.NotFound)
		}
		if at < len(answer.GetEventTimes()) {
			for _, micros := range answer.GetEventTimes()[at].GetTimes() {
				column.EventTimes = append(column.EventTimes, feature.Time(micros))
			}
		}
		if values.Len() != rows || len(column.Statuses) != rows || len(column.EventTimes) != rows {
			return nil, feature.Errorf(feature.ErrInternal, "the server %s answered %d keys with %d values of %s", c.address, rows, values.Len(), from.GetName())
		}
		columns = append(columns, column)
	}
	return columns, nil
}

// answerBytesMax bounds the answer of a server: values that are long are many times what gRPC takes if it is not told.
const answerBytesMax = 256 << 20

// The client is what its server serves: materialize.Served.

// State returns how far the server has published view.
func (c *client) State(ctx context.Context, view *feature.View) (state online.State, known bool, err error) {
	answer, err := asofv1.NewFeatureStoreClient(c.conn).GetStatus(ctx, &asofv1.GetStatusRequest{})
	if err != nil {
		return state, false, c.fault("the status", err)
	}
	for _, v := range answer.GetViews() {
		if v.GetView() != view.Name || !v.GetPublished() {
			continue
		}
		state = online.State{Watermark: feature.Time(v.GetWatermarkMicros()), Horizon: feature.Time(v.GetHorizonMicros()), Snapshot: v.GetSnapshot(), Unfinished: v.GetUnfinished()}
		if v.GetCurrent() {
			state.Hash = view.ServedHash()
		}
		return state, true, nil
	}
	return state, false, nil
}

// Get returns what the server serves of view's features.
func (c *client) Get(ctx context.Context, view *feature.View, features []int, keys []arrow.Array, rows int) ([]*online.Column, error) {
	request := &asofv1.GetFeaturesRequest{Keys: map[string]*asofv1.Values{}}
	for _, f := range features {
		request.Features = append(request.Features, view.Name+"."+view.Features[f].Name)
	}
	for i, key := range view.Keys {
		request.Keys[key.Name] = server.WriteValues(keys[i])
	}
	columns, err := c.getFeatures(ctx, request, rows)
	if err != nil {
		return nil, err
	}
	for i, f := range features {
		if len(columns) != len(features) || !arrow.TypeEqual(columns[i].Values().DataType(), view.Features[f].Type.Arrow()) {
			return nil, feature.Errorf(feature.ErrConflict, "the server %s goes by other definitions of view %s than those that are applied: run asof materialize %s --server %s",
				c.address, view.Name, view.Name, c.address)
		}
		columns[i].Name = view.Features[f].Name
	}
	return columns, nil
}

// noteUnpublishedAt is noteUnpublished of what the server says.
func (p *project) noteUnpublishedAt(ctx context.Context, c *client, svc *feature.Service) error {
	answer, err := asofv1.NewFeatureStoreClient(c.conn).GetStatus(ctx, &asofv1.GetStatusRequest{})
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

package server

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/interleave"
	feastserving "github.com/asof-store/asof/proto/feast/serving"
)

// feastService answers in Feast's shape over gRPC. docs/protocols.md says what of it means what.
type feastService struct {
	feastserving.UnimplementedServingServiceServer
	server *Server
}

// GetFeastServingInfo implements feast.serving.ServingService.
func (f feastService) GetFeastServingInfo(context.Context, *feastserving.GetFeastServingInfoRequest) (*feastserving.GetFeastServingInfoResponse, error) {
	return &feastserving.GetFeastServingInfoResponse{Version: f.server.options.Version}, nil
}

// GetOnlineFeatures implements feast.serving.ServingService.
func (f feastService) GetOnlineFeatures(ctx context.Context, req *feastserving.GetOnlineFeaturesRequest) (*feastserving.GetOnlineFeaturesResponse, error) {
	asked := feastRequest{service: req.GetFeatureService(), features: req.GetFeatures().GetVal(), fullNames: req.GetFullFeatureNames()}
	for _, part := range []struct {
		place   string
		columns []*feastserving.Column
	}{{"entities", req.GetEntities()}, {"request_context", req.GetRequestContext()}} {
		for _, c := range part.columns {
			values := c.GetValue().GetVal()
			asked.columns = append(asked.columns, feastColumn{name: c.GetKey(), place: part.place + "." + c.GetKey(),
				read: func(t feature.Type) (arrow.Array, error) { return readFeastValues(values, t) }})
		}
	}
	vectors, err := f.server.feast(ctx, asked)
	if err != nil {
		return nil, err
	}
	return writeFeast(vectors)
}

// feastRequest is a request in Feast's shape, however it has come.
type feastRequest struct {
	service   string
	features  []string // for want of a service; view:feature
	fullNames bool
	columns   []feastColumn // the entities and the request's context
}

// feastColumn is a column of a request whose values are read when the type that they should have is known.
type feastColumn struct {
	name, place string
	read        func(t feature.Type) (arrow.Array, error)
}

// rowsColumn is a column that Feast's clients send for views without an entity. It tells the number of rows, which all have the same answer.
const rowsColumn = "__dummy_id"

// feastVector is a column of an answer: a key column of the request or a feature.
type feastVector struct {
	name     string
	values   arrow.Array
	statuses []feature.Status // nil for a key
	events   []feature.Time   // nil for a key; features of one view have theirs in common
}

// feast answers a request: its key columns in their order, then the features.
func (s *Server) feast(ctx context.Context, req feastRequest) ([]feastVector, error) {
	names, q, err := s.feastQuery(req)
	if err != nil {
		return nil, err
	}
	var f faults
	if n := len(req.columns); n > inputsMax {
		f.add(req.columns[inputsMax].place, "the request has %d columns, it may have %d", n, inputsMax)
		return nil, f.err()
	}
	var inputs []Input
	rows := 1
	for _, c := range req.columns {
		in := Input{Name: c.name, Place: c.place}
		t, known := q.inputType(c.name)
		counts := !known && c.name == rowsColumn
		if counts {
			t = feature.Scalar(feature.String)
		}
		if known || counts {
			if in.Values, err = c.read(t); err != nil {
				f.add(c.place, "%v", err)
				continue
			}
		}
		if counts {
			rows = in.Values.Len()
			continue
		}
		inputs = append(inputs, in)
	}
	if most := s.rowsMax(q); rows > most {
		f.add("entities."+rowsColumn, "%s", tooManyRows(q, rows, most))
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	answer, err := s.Answer(ctx, q, inputs)
	if err != nil {
		return nil, err
	}
	if len(inputs) == 0 {
		answer.repeat(rows)
	}
	vectors := make([]feastVector, 0, len(inputs)+len(answer.Columns))
	for _, in := range inputs {
		if slices.ContainsFunc(q.Keys(), func(k feature.Field) bool { return k.Name == in.Name }) {
			vectors = append(vectors, feastVector{name: in.Name, values: in.Values})
		}
	}
	for i := range answer.Columns {
		c := answer.Columns[i]
		name := c.Name
		if req.service == "" {
			name = names[i]
		}
		vectors = append(vectors, feastVector{name: name, values: c.Values(), statuses: c.Statuses, events: c.EventTimes})
	}
	return vectors, nil
}

// needed returns the key columns and request fields that a request has to give.
func (q *Query) needed() []feature.Field { return slices.Concat(q.Keys(), q.Fields()) }

// inputType returns the type of a key column or request field.
func (q *Query) inputType(name string) (feature.Type, bool) {
	for _, field := range q.needed() {
		if field.Name == name {
			return field.Type, true
		}
	}
	return feature.Type{}, false
}

// feastQuery finds what is asked for, and the names under which Feast answers features by name.
func (s *Server) feastQuery(req feastRequest) ([]string, *Query, error) {
	var f faults
	asked := Asked{Service: req.service, FullNames: req.fullNames && req.service != ""}
	names, taken := make([]string, 0, len(req.features)), map[string]string{}
	for i, reference := range req.features {
		if len(f.all) == faultsMax {
			break
		}
		view, name, ok := strings.Cut(reference, ":")
		if !ok {
			f.add(fmt.Sprintf("features[%d]", i), "%q is not of the form view:feature", reference)
			continue
		}
		asked.Features = append(asked.Features, FeatureName{view, name})
		if req.fullNames {
			name = view + "__" + name
		}
		if other, twice := taken[name]; twice && other != reference {
			f.add(fmt.Sprintf("features[%d]", i), "the name %s is taken twice, by %s and by %s: ask with full_feature_names", name, other, reference)
		}
		names, taken[name] = append(names, name), reference
	}
	if err := f.err(); err != nil {
		return nil, nil, err
	}
	q, err := s.Query(asked)
	return names, q, err
}

// repeat makes so many rows of the one row that an answer has where nothing distinguishes rows.
func (a *Answer) repeat(rows int) {
	if rows == a.Rows {
		return
	}
	zeros := make([]int32, rows)
	for i := range a.Columns {
		c := a.Columns[i]
		status, event := c.Statuses[0], c.EventTimes[0]
		c.Replace(interleave.Rows([]arrow.Array{c.Values()}, zeros, zeros), each(rows, func(int) feature.Status { return status }))
		c.EventTimes = each(rows, func(int) feature.Time { return event })
	}
	a.Rows = rows
}

// writeFeast puts vectors on the wire.
func writeFeast(vectors []feastVector) (*feastserving.GetOnlineFeaturesResponse, error) {
	names := make([]string, len(vectors))
	r := &feastserving.GetOnlineFeaturesResponse{Status: true, Metadata: &feastserving.GetOnlineFeaturesResponseMetadata{FeatureNames: &feastserving.FeatureList{Val: names}}}
	times := map[*feature.Time][]*timestamppb.Timestamp{} // of vectors that have theirs in common
	for i := range vectors {
		v := &vectors[i]
		names[i] = v.name
		values, err := writeFeastValues(v.values)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		var first *feature.Time
		if len(v.events) > 0 {
			first = &v.events[0]
		}
		if times[first] == nil {
			times[first] = feastTimes(v.events, len(values))
		}
		r.Results = append(r.Results, &feastserving.GetOnlineFeaturesResponse_FeatureVector{
			Values: values, Statuses: each(len(values), v.status), EventTimestamps: times[first]})
	}
	return r, nil
}

// status returns Feast's status of a row.
func (v *feastVector) status(row int) feastserving.FieldStatus {
	if v.statuses == nil {
		return feastserving.FieldStatus_PRESENT
	}
	switch v.statuses[row] {
	case feature.Present:
		return feastserving.FieldStatus_PRESENT
	case feature.Null:
		return feastserving.FieldStatus_NULL_VALUE
	case feature.NotFound:
		return feastserving.FieldStatus_NOT_FOUND
	case feature.Expired:
		return feastserving.FieldStatus_OUTSIDE_MAX_AGE
	}
	return feastserving.FieldStatus_INVALID
}

// feastTimes returns event times as protobuf has them; nil ones are all 1970-01-01T00:00:00Z.
func feastTimes(events []feature.Time, rows int) []*timestamppb.Timestamp {
	stamps, all := make([]timestamppb.Timestamp, rows), make([]*timestamppb.Timestamp, rows)
	for i := range all {
		all[i] = &stamps[i]
		if events != nil {
			stamps[i].Seconds = events[i].Std().Unix()
			stamps[i].Nanos = int32(events[i].Std().Nanosecond())
		}
	}
	return all
}

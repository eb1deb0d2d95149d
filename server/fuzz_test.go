package server

import (
	"context"
	"encoding/json"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// FuzzRequest sends any bytes as a request over gRPC: it is answered, one value for each row, or refused as the caller's mistake, and not as
// a fault of the server.
func FuzzRequest(f *testing.F) {
	m := testModel()
	s := start(f, newStore(f, m), func() *Model { return m }, Options{Now: clockAt(50 * hour)})
	lists := &asofv1.Values{NullRows: []uint32{0}, Kind: &asofv1.Values_Lists{Lists: &asofv1.ListValues{Lengths: []uint32{1}, Elements: ints("", 1).Values}}}
	for _, req := range []*asofv1.GetFeaturesRequest{
		ofService("fraud_v1", ints(fieldCustomer, 1, 3, 9), ints("payee_id", 1, 2, 3)),
		named([]string{"profile.age", "price.times"}, ints(fieldCustomer, 1), floats("amount", 1), floats("factor", 2)),
		with(ofService("priced", column{fieldCustomer, lists}), floats("amount", 1)),
		{Service: "terminals", Keys: map[string]*asofv1.Values{"country": texts("", "IT").Values, "number": {}}, FullNames: true, OmitStatuses: true},
	} {
		wire, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		req := &asofv1.GetFeaturesRequest{}
		if proto.Unmarshal(wire, req) != nil {
			return
		}
		answer, err := s.features.GetFeatures(context.Background(), req)
		switch status.Code(err) {
		case codes.InvalidArgument, codes.NotFound:
		case codes.Unavailable: // values that are not published
		case codes.OK:
			for _, c := range answer.GetColumns() {
				if column, err := ReadValues(c.GetValues()); err != nil || column.Len() != int(answer.GetRows()) {
					t.Errorf("%v is answered with %v", req, answer)
				}
			}
		default:
			t.Errorf("%v: %v", req, err)
		}
	})
}

// FuzzJSONRequest sends any text as a request over HTTP: it is answered with JSON, or refused with JSON, as the caller's mistake.
func FuzzJSONRequest(f *testing.F) {
	m := testModel()
	h := web(f, newStore(f, m), m, Options{Now: clockAt(50 * hour)})
	for _, text := range []string{
		`{"service": "fraud_v1", "keys": {"customer_id": [1, "3", null], "payee_id": [2.0, 1e0, 9]}}`,
		`{"features": ["profile.age", "price.local"], "keys": {"customer_id": [1]}, "fields": {"amount": ["NaN"]}, "omit_statuses": true}`,
		`{"service": "terminals", "keys": {"country": ["IT"], "number": [7]}, "full_names": true}`,
		`{"service": {"a": [[[[]]]]}}`, `[]`, `{"keys": {"": 1}}`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, got := call(h, "POST", getPath, text)
		if code != 200 && code != 400 && code != 404 && code != 503 || !json.Valid([]byte(got)) {
			t.Errorf("%q is answered %d %s", text, code, got)
		}
	})
}

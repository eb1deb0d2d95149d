package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/asof-store/asof/feature"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// jsonForm is the JSON of asof.v1: that of proto3 with the names of the fields as they are, save for the values of features. A column of
// them is an array of plain values, which need the definitions to be read: only they tell a text from a timestamp.
type jsonForm struct {
	runtime.JSONPb
	server *Server
}

func newJSON(s *Server) *jsonForm {
	return &jsonForm{JSONPb: runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}}, server: s}
}

// NewDecoder returns what reads a request from r.
func (j *jsonForm) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		req, ok := v.(*asofv1.GetFeaturesRequest)
		if !ok {
			return j.JSONPb.NewDecoder(r).Decode(v)
		}
		return j.server.readRequest(r, req)
	})
}

// Marshal writes an answer.
func (j *jsonForm) Marshal(v any) ([]byte, error) {
	if answer, ok := v.(*asofv1.GetFeaturesResponse); ok {
		return writeAnswer(answer)
	}
	return j.JSONPb.Marshal(v)
}

// jsonRequest is a GetFeaturesRequest in JSON.
type jsonRequest struct {
	Service        string                     `json:"service"`
	Features       []string                   `json:"features"`
	Keys           map[string]json.RawMessage `json:"keys"`
	Fields         map[string]json.RawMessage `json:"fields"`
	FullNames      bool                       `json:"full_names"`
	OmitStatuses   bool                       `json:"omit_statuses"`
	OmitEventTimes bool                       `json:"omit_event_times"`
}

// readRequest reads a request in JSON. What is wrong with it apart from the JSON, GetFeatures will say.
func (s *Server) readRequest(r io.Reader, req *asofv1.GetFeaturesRequest) error {
	var body jsonRequest
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("the body is no request in JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body is no request in JSON: more follows after its end")
	}
	req.Service, req.Features, req.FullNames = body.Service, body.Features, body.FullNames
	req.OmitStatuses, req.OmitEventTimes = body.OmitStatuses, body.OmitEventTimes
	asked, err := askedOf(req)
	if err != nil {
		return nil
	}
	q, err := s.Query(asked)
	if err != nil {
		return nil
	}
	types := map[string]feature.Type{}
	for _, field := range append(q.Keys(), q.Fields()...) {
		types[field.Name] = field.Type
	}
	if req.Keys, err = readColumns("keys", body.Keys, types); err != nil {
		return err
	}
	req.Fields, err = readColumns("fields", body.Fields, types)
	return err
}

// readColumns reads columns of the given types, each an array. One of unknown name is a column of nothing.
func readColumns(place string, columns map[string]json.RawMessage, types map[string]feature.Type) (map[string]*asofv1.Values, error) {
	read := make(map[string]*asofv1.Values, len(columns))
	for name, text := range columns {
		t, known := types[name]
		if !known {
			read[name] = &asofv1.Values{Kind: &asofv1.Values_Bools{Bools: &asofv1.BoolValues{}}}
			continue
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var values []any
		if err := d.Decode(&values); err != nil || values == nil {
			return nil, fmt.Errorf("%s.%s: %s is no array: write one value of type %s for each row", place, name, jsonText(text), t)
		}
		column, err := ReadJSON(t, values)
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", place, name, err)
		}
		read[name] = WriteValues(column)
	}
	return read, nil
}

// writeAnswer writes an answer in JSON.
func writeAnswer(a *asofv1.GetFeaturesResponse) ([]byte, error) {
	b := append(make([]byte, 0, 256+16*int(a.GetRows())*len(a.GetColumns())), `{"columns":[`...)
	for i, c := range a.GetColumns() {
		values, err := ReadValues(c.GetValues())
		if err != nil {
			return nil, feature.Errorf(feature.ErrInternal, "column %s: %w", c.GetName(), err)
		}
		b = appendName(b, i, c.GetName())
		b = appendEach(append(b, `,"values":[`...), values.Len(), func(b []byte, row int) []byte { return AppendJSON(b, values, row) })
		statuses := c.GetStatuses()
		b = appendEach(append(b, `],"statuses":[`...), len(statuses), func(b []byte, row int) []byte {
			b = append(append(b, '"'), feature.Status(statuses[row]).String()...)
			return append(b, '"')
		})
		b = fmt.Appendf(b, `],"event_times_index":%d}`, c.GetEventTimesIndex())
	}
	b = append(b, `],"event_times":[`...)
	for i, e := range a.GetEventTimes() {
		b = append(appendJSONString(append(appendComma(b, i), `{"view":`...), e.GetView()), `,"times":[`...)
		statuses := statusesBeside(a, i)
		b = appendEach(b, len(e.GetTimes()), func(b []byte, row int) []byte {
			if e.GetView() == "" || row < len(statuses) && feature.Status(statuses[row]) == feature.NotFound {
				return append(b, "null"...)
			}
			return AppendJSONTime(b, feature.Time(e.GetTimes()[row]))
		})
		b = append(b, "]}"...)
	}
	return fmt.Appendf(b, `],"rows":%d}`, a.GetRows()), nil
}

// statusesBeside returns the statuses of a column that has the event times of the given index.
func statusesBeside(a *asofv1.GetFeaturesResponse, index int) []byte {
	for _, c := range a.GetColumns() {
		if int(c.GetEventTimesIndex()) == index {
			return c.GetStatuses()
		}
	}
	return nil
}

// appendName begins the object of column i.
func appendName(b []byte, i int, name string) []byte {
	return appendJSONString(append(appendComma(b, i), `{"name":`...), name)
}

func appendComma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendEach(b []byte, n int, value func(b []byte, i int) []byte) []byte {
	for i := range n {
		b = value(appendComma(b, i), i)
	}
	return b
}

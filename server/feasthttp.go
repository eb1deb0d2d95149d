package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/grpc/codes"

	"github.com/asof-store/asof/feature"
)

// feastHandler answers POST /get-online-features, as Feast's feature server does.
func (s *Server) feastHandler() http.Handler {
	fault := func(_ codes.Code, message string) []byte {
		return append(appendJSONString([]byte(`{"detail":`), message), '}')
	}
	return s.jsonHandler(fault, func(r *http.Request, body []byte) ([]byte, error) {
		req, err := readFeastJSON(body)
		if err != nil {
			return nil, err
		}
		vectors, err := s.feast(r.Context(), req)
		if err != nil {
			return nil, err
		}
		return writeFeastJSON(vectors), nil
	})
}

// readFeastJSON reads a request. Members that it does not know are passed over: newer clients send more of them.
func readFeastJSON(body []byte) (feastRequest, error) {
	var in struct {
		Service   string       `json:"feature_service"`
		Features  []string     `json:"features"`
		FullNames bool         `json:"full_feature_names"`
		Entities  feastColumns `json:"entities"`
		Context   feastColumns `json:"request_context"`
	}
	if err := readJSONBody(body, &in); err != nil {
		return feastRequest{}, err
	}
	req := feastRequest{service: in.Service, features: in.Features, fullNames: in.FullNames}
	req.add("entities", in.Entities)
	req.add("request_context", in.Context)
	return req, nil
}

// feastColumns are an object of lists, {"customer_id": [1, 2]}, in its order.
type feastColumns []struct {
	name   string
	values json.RawMessage
}

// UnmarshalJSON reads the object.
func (c *feastColumns) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	start, err := d.Token()
	if err != nil || start == nil { // null: there are none
		return err
	}
	if start != json.Delim('{') {
		return errors.New(`entities and request_context are objects of lists: write {"key": [value, ...]}`)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var values json.RawMessage
		if err := d.Decode(&values); err != nil {
			return err
		}
		*c = append(*c, struct {
			name   string
			values json.RawMessage
		}{name.(string), values})
	}
	return nil
}

// add takes columns into a request.
func (r *feastRequest) add(place string, columns feastColumns) {
	for _, c := range columns {
		r.columns = append(r.columns, feastColumn{name: c.name, place: place + "." + c.name, read: func(t feature.Type) (arrow.Array, error) {
			return readFeastList(c.values, t)
		}})
	}
}

// readFeastList reads a list as a column of type t. Instants are texts, or seconds since 1970-01-01T00:00:00Z as in Feast's Value.
func readFeastList(text json.RawMessage, t feature.Type) (arrow.Array, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var values []any
	if err := d.Decode(&values); err != nil || values == nil {
		return nil, fmt.Errorf("%s is no list: write one value of type %s for each row", jsonText(text), t)
	}
	if t.Kind == feature.Timestamp {
		secondsToTexts(values)
	}
	return ReadJSON(t, values)
}

// secondsToTexts replaces each number of seconds by the text of that instant, in lists too.
func secondsToTexts(values []any) {
	for i, v := range values {
		switch v := v.(type) {
		case json.Number:
			if seconds, whole := integerFromJSON(v.String()); whole {
				if at, ok := secondsTime(seconds, true); ok {
					values[i] = at.String()
				}
			}
		case []any:
			secondsToTexts(v)
		}
	}
}

// writeFeastJSON writes an answer.
func writeFeastJSON(vectors []feastVector) []byte {
	b := []byte(`{"metadata":{"feature_names":[`)
	b = appendEach(b, len(vectors), func(b []byte, i int) []byte { return appendJSONString(b, vectors[i].name) })
	b = append(b, `]},"results":[`...)
	b = appendEach(b, len(vectors), func(b []byte, i int) []byte {
		v := &vectors[i]
		rows := v.values.Len()
		b = appendEach(append(b, `{"values":[`...), rows, func(b []byte, row int) []byte { return appendFeastJSON(b, v.values, row) })
		b = appendEach(append(b, `],"statuses":[`...), rows, func(b []byte, row int) []byte { return appendJSONString(b, v.status(row).String()) })
		b = appendEach(append(b, `],"event_timestamps":[`...), rows, func(b []byte, row int) []byte {
			if v.events == nil {
				return appendFeastTime(b, 0)
			}
			return appendFeastTime(b, v.events[row])
		})
		return append(b, `]}`...)
	})
	return append(b, `]}`...)
}

// appendFeastJSON appends value i of a column as Feast's feature server writes it, which tells types by the looks of values and whose clients do
// too: an integer is a number whatever its size, a float always has a point or an exponent, an instant is its second since 1970. What is left is as
// AppendJSON has it.
func appendFeastJSON(dst []byte, column arrow.Array, i int) []byte {
	if column.IsNull(i) {
		return append(dst, "null"...)
	}
	switch c := column.(type) {
	case *array.Int64:
		return strconv.AppendInt(dst, c.Value(i), 10)
	case *array.Timestamp:
		return strconv.AppendInt(dst, unixSeconds(c.Value(i)), 10)
	case *array.Float32, *array.Float64:
		from := len(dst)
		dst = AppendJSON(dst, column, i)
		if bytes.ContainsAny(dst[from:], `.e"`) {
			return dst
		}
		return append(dst, ".0"...)
	case *array.List:
		from, to := c.ValueOffsets(i)
		dst = appendEach(append(dst, '['), int(to-from), func(dst []byte, e int) []byte { return appendFeastJSON(dst, c.ListValues(), int(from)+e) })
		return append(dst, ']')
	}
	return AppendJSON(dst, column, i)
}

// appendFeastTime appends an event time with as many digits of its second, none or three or six, as it needs: readers of proto3's form of
// timestamps expect no other number of them.
func appendFeastTime(dst []byte, t feature.Time) []byte {
	layout := `"2006-01-02T15:04:05.000000Z"`
	switch {
	case t%1_000_000 == 0:
		layout = `"2006-01-02T15:04:05Z"`
	case t%1_000 == 0:
		layout = `"2006-01-02T15:04:05.000Z"`
	}
	return t.Std().AppendFormat(dst, layout)
}

package server

import (
	"context"
	"net/http"

	"google.golang.org/grpc/codes"
)

// databricksHandler answers POST /serving-endpoints/{service}/invocations, as Databricks' feature serving does.
func (s *Server) databricksHandler() http.Handler {
	fault := func(code codes.Code, message string) []byte {
		b := append(appendJSONString([]byte(`{"error_code":`), databricksCode(code)), `,"message":`...)
		return append(appendJSONString(b, message), '}')
	}
	return s.jsonHandler(fault, func(r *http.Request, body []byte) ([]byte, error) {
		return s.databricks(r.Context(), r.PathValue("service"), body)
	})
}

// databricksCode is the table of status codes and what Databricks calls them.
func databricksCode(code codes.Code) string {
	switch code {
	case codes.InvalidArgument:
		return "INVALID_PARAMETER_VALUE"
	case codes.NotFound:
		return "RESOURCE_DOES_NOT_EXIST"
	case codes.Aborted:
		return "ABORTED"
	case codes.Canceled:
		return "CANCELLED"
	case codes.DeadlineExceeded:
		return "DEADLINE_EXCEEDED"
	case codes.ResourceExhausted:
		return "RESOURCE_EXHAUSTED"
	case codes.Unavailable:
		return "TEMPORARILY_UNAVAILABLE"
	case codes.DataLoss:
		return "DATA_LOSS"
	}
	return "INTERNAL_ERROR"
}

// databricks answers a request for the features of a service.
func (s *Server) databricks(ctx context.Context, service string, body []byte) ([]byte, error) {
	q, err := s.Query(Asked{Service: service})
	if err != nil {
		return nil, err
	}
	var in frame
	if err := readJSONBody(body, &in); err != nil {
		return nil, err
	}
	columns, rows, err := in.columns(q, s.rowsMax(q))
	if err != nil {
		return nil, err
	}
	inputs, overrides, err := q.takeFrame(columns, rows)
	if err != nil {
		return nil, err
	}
	answer, err := s.Answer(ctx, q, inputs, overrides...)
	if err != nil {
		return nil, err
	}
	if len(inputs) == 0 {
		answer.repeat(rows)
	}
	return writeDatabricks(answer), nil
}

// writeDatabricks writes an answer, an object for each row.
func writeDatabricks(a *Answer) []byte {
	names := make([][]byte, len(a.Columns))
	for i := range names {
		names[i] = append(appendJSONString(nil, a.Columns[i].Name), ':')
	}
	b := appendEach([]byte(`{"outputs":[`), a.Rows, func(b []byte, row int) []byte {
		b = appendEach(append(b, '{'), len(a.Columns), func(b []byte, i int) []byte {
			return AppendJSON(append(b, names[i]...), a.Columns[i].Values(), row)
		})
		return append(b, '}')
	})
	return append(b, `]}`...)
}

package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/asof-store/asof/feature"
)

// jsonHandler answers requests whose body is JSON, in the shape of another product. Errors, panics and what the log hears of them are those of every
// other request; fault writes an error as that product does.
func (s *Server) jsonHandler(fault func(code codes.Code, message string) []byte, answer func(r *http.Request, body []byte) ([]byte, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(r)
		var out []byte
		if err == nil {
			out, err = guard(s, r.URL.Path, func() ([]byte, error) { return answer(r, body) })
		}
		code := http.StatusOK
		if err != nil {
			code, out = httpError(err, fault)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = w.Write(out) // a client that has gone away misses nothing
	})
}

// httpError returns the HTTP status of an error, and what fault makes of it.
func httpError(err error, fault func(code codes.Code, message string) []byte) (int, []byte) {
	var own *runtime.HTTPStatusError
	if errors.As(err, &own) {
		told := status.Convert(own.Err)
		return own.HTTPStatus, fault(told.Code(), told.Message())
	}
	told := status.Convert(err)
	return runtime.HTTPStatusFromCode(told.Code()), fault(told.Code(), told.Message())
}

// readJSONBody decodes a request into a struct, numbers as json.Number. It fails with ErrInvalid, and says where the body is not what it should be.
func readJSONBody(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	err := d.Decode(into)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		err = errors.New("more follows after its end")
	}
	var misfit *json.UnmarshalTypeError
	if errors.As(err, &misfit) && misfit.Field != "" {
		return feature.Errorf(feature.ErrInvalid, "%s: this is no place for JSON of kind %s", misfit.Field, misfit.Value)
	}
	return feature.Errorf(feature.ErrInvalid, "the body is no request in JSON: %w", err)
}

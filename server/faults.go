package server

import (
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/asof-store/asof/feature"
)

// RequestError tells all that is wrong with a request. It is of kind [feature.ErrInvalid].
type RequestError struct{ Faults []Fault }

// Fault is something wrong with a field of a request, given by its place there.
type Fault struct{ Field, Message string }

// Error says the first fault, and how many there are besides.
func (e *RequestError) Error() string {
	text := e.Faults[0].Field + ": " + e.Faults[0].Message
	if n := len(e.Faults) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// Unwrap gives the error its kind.
func (e *RequestError) Unwrap() error {
	return feature.Errorf(feature.ErrInvalid, "a request is wrong")
}

// GRPCStatus returns InvalidArgument, with all faults as google.rpc.BadRequest.
func (e *RequestError) GRPCStatus() *status.Status {
	bad := &errdetails.BadRequest{}
	for _, f := range e.Faults {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: f.Field, Description: f.Message})
	}
	plain := status.New(codes.InvalidArgument, e.Error())
	if detailed, err := plain.WithDetails(bad); err == nil {
		return detailed
	}
	return plain // what cannot be encoded as details is told without them
}

// faults collects what is wrong with the fields of a request.
type faults struct{ all []Fault }

// add notes a fault of the field, given by its place in the request.
func (f *faults) add(field, format string, args ...any) {
	f.all = append(f.all, Fault{Field: field, Message: fmt.Sprintf(format, args...)})
}

// err returns the faults as a *RequestError, nil where there are none.
func (f *faults) err() error {
	if len(f.all) == 0 {
		return nil
	}
	return &RequestError{Faults: f.all}
}

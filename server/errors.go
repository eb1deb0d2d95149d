package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/asof-store/asof/feature"
)

// codeOf is the table of error kinds and status codes. What is not in it is Internal.
func codeOf(err error) codes.Code {
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	}
	switch feature.KindOf(err) {
	case feature.ErrInvalid:
		return codes.InvalidArgument
	case feature.ErrNotFound:
		return codes.NotFound
	case feature.ErrConflict:
		return codes.Aborted
	case feature.ErrUnavailable:
		return codes.Unavailable
	case feature.ErrCorrupt:
		return codes.DataLoss
	}
	return codes.Internal
}

// guard runs a handler: a panic and what is our fault reach the client as Internal without detail and the log with it;
// other errors get their code.
func (s *Server) guard(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (answer any, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.options.Logger.Error("panic in a request", "method", info.FullMethod, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			answer, err = nil, status.Error(codes.Internal, "internal error")
		}
	}()
	answer, err = handler(ctx, req)
	if err == nil {
		return answer, nil
	}
	if own, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return nil, own.GRPCStatus().Err()
	}
	code := codeOf(err)
	switch code {
	case codes.Internal:
		s.options.Logger.Error("a request failed", "method", info.FullMethod, "error", err)
		return nil, status.Error(code, "internal error")
	case codes.DataLoss:
		s.options.Logger.Error("a request met damaged data", "method", info.FullMethod, "error", err)
		return nil, status.Error(code, "stored data is damaged: see the server's log")
	}
	return nil, status.Error(code, err.Error())
}

// faults collects what is wrong with the fields of a request.
type faults struct {
	violations []*errdetails.BadRequest_FieldViolation
}

// add notes a fault of the field, given by its path in the request.
func (f *faults) add(field, format string, args ...any) {
	f.violations = append(f.violations, &errdetails.BadRequest_FieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// err returns InvalidArgument with all faults as details and the first in the message; nil without faults.
func (f *faults) err() error {
	if len(f.violations) == 0 {
		return nil
	}
	first := f.violations[0]
	text := first.Field + ": " + first.Description
	if n := len(f.violations) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	st, err := status.New(codes.InvalidArgument, text).WithDetails(&errdetails.BadRequest{FieldViolations: f.violations})
	if err != nil {
		return err
	}
	return st.Err()
}

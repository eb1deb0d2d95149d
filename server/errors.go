package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

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

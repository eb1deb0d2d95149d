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

// guard runs the handler of a request, whatever protocol it came by: a panic and what is our fault reach the client as Internal without
// detail and the log with it; other errors get their code.
func guard[T any](s *Server, method string, handle func() (T, error)) (answer T, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.options.Logger.Error("panic in a request", "method", method, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "internal error")
		}
	}()
	answer, err = handle()
	if err == nil {
		return answer, nil
	}
	return answer, s.told(method, err)
}

// told returns what a client is told of an error, as a gRPC status.
func (s *Server) told(method string, err error) error {
	if own, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return own.GRPCStatus().Err()
	}
	code := codeOf(err)
	switch code {
	case codes.Internal:
		s.options.Logger.Error("a request failed", "method", method, "error", err)
		return status.Error(code, "internal error")
	case codes.DataLoss:
		s.options.Logger.Error("a request met damaged data", "method", method, "error", err)
		return status.Error(code, "stored data is damaged: see the server's log")
	}
	return status.Error(code, err.Error())
}

func (s *Server) guardUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	answer, err := guard(s, info.FullMethod, func() (any, error) { return handler(ctx, req) })
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (s *Server) guardStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	_, err := guard(s, info.FullMethod, func() (struct{}, error) { return struct{}{}, handler(srv, stream) })
	return err
}

package server

import (
	"context"
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// pieceBytesMax bounds a message of StreamFeatures: clients take 4 MiB if they are not told otherwise.
const pieceBytesMax = 4<<20 - 64<<10

// StreamFeatures implements asof.v1.FeatureStore.
func (s *Server) StreamFeatures(stream grpc.BidiStreamingServer[asofv1.GetFeaturesRequest, asofv1.GetFeaturesResponse]) error {
	var last Asked
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		asked, err := askedOf(req)
		if err != nil {
			return err
		}
		if asked.Service == "" && len(asked.Features) == 0 {
			asked = last
		}
		last = asked
		q, err := s.Query(asked)
		if err != nil {
			return err
		}
		inputs, err := inputsOf(req)
		if err != nil {
			return err
		}
		if err := s.answerInPieces(stream.Context(), q, inputs, req, stream.Send); err != nil {
			return err
		}
	}
}

// answerInPieces sends the answers of all rows, in order, each so small that clients take it.
func (s *Server) answerInPieces(ctx context.Context, q *Query, inputs []Input, req *asofv1.GetFeaturesRequest, send func(*asofv1.GetFeaturesResponse) error) error {
	columns, rows, err := q.take(inputs)
	if err != nil {
		return err
	}
	piece := max(1, s.rowsMax(q))
	for from := 0; from == 0 || from < rows; {
		to := min(rows, from+piece)
		part := make(map[string]arrow.Array, len(columns))
		for name, column := range columns {
			part[name] = array.NewSlice(column, int64(from), int64(to))
		}
		answer, err := s.lookup(ctx, q, part)
		if err != nil {
			return err
		}
		response := respond(answer, req)
		if proto.Size(response) > pieceBytesMax && to-from > 1 { // long texts or lists: the next pieces are likely to be alike
			piece = (to - from + 1) / 2
			continue
		}
		if err := send(response); err != nil {
			return err
		}
		if from = to; rows == 0 {
			return nil
		}
	}
	return nil
}

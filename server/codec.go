package server

import (
	"github.com/apache/arrow-go/v18/arrow"
	"google.golang.org/grpc/encoding"
	grpcproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// codec is gRPC's codec of protobuf, with a shorter way for answers: for their many small columns, reflection takes several times as long.
type codec struct {
	encoding.CodecV2
	buffers mem.BufferPool
}

// newCodec returns a codec with buffers of at most twice the size of what they are for, up to 4 MiB. Those of gRPC have 1 MiB for all that needs more than
// 32 KiB, and are cleared each time.
func newCodec() (codec, error) {
	var exponents []uint8
	for e := uint8(10); e <= 22; e++ {
		exponents = append(exponents, e)
	}
	buffers, err := mem.NewBinaryTieredBufferPool(exponents...)
	return codec{encoding.GetCodecV2(grpcproto.Name), buffers}, err
}

// Marshal implements [encoding.CodecV2].
func (c codec) Marshal(message any) (mem.BufferSlice, error) {
	r, is := message.(*asofv1.GetFeaturesResponse)
	if !is {
		return c.CodecV2.Marshal(message)
	}
	sizes := make([]int, len(r.GetColumns()))
	size := scalarSize(r.GetRows())
	for i, column := range r.GetColumns() {
		sizes[i] = valuesSize(column.GetValues())
		size += messageSize(columnSize(column, sizes[i]))
	}
	for _, times := range r.GetEventTimes() {
		size += messageSize(timesSize(times))
	}
	buffer := c.buffers.Get(size)
	b, err := (*buffer)[:0], error(nil)
	for i, column := range r.GetColumns() {
		b = beginMessage(b, 1, columnSize(column, sizes[i]))
		if b, err = appendColumn(b, column, sizes[i]); err != nil {
			c.buffers.Put(buffer)
			return nil, err
		}
	}
	for _, times := range r.GetEventTimes() {
		b = beginMessage(b, 2, timesSize(times))
		b = appendBytes(b, 1, []byte(times.GetView()))
		b = appendBytes(b, 2, arrow.GetBytes(times.GetTimes()))
	}
	*buffer = appendScalar(b, 3, r.GetRows())
	return mem.BufferSlice{mem.NewBuffer(buffer, c.buffers)}, nil
}

// columnSize is the encoded size of c, whose values have that of values.
func columnSize(c *asofv1.FeatureColumn, values int) int {
	size := bytesSize(len(c.GetName())) + bytesSize(len(c.GetStatuses())) + scalarSize(c.GetEventTimesIndex())
	if c.GetValues() != nil {
		size += messageSize(values)
	}
	return size
}

func appendColumn(b []byte, c *asofv1.FeatureColumn, values int) (_ []byte, err error) {
	b = appendBytes(b, 1, []byte(c.GetName()))
	if c.GetValues() != nil {
		b = beginMessage(b, 2, values)
		if b, err = appendValues(b, c.GetValues()); err != nil {
			return nil, err
		}
	}
	return appendScalar(appendBytes(b, 3, c.GetStatuses()), 4, c.GetEventTimesIndex()), nil
}

// plainDoubles returns the values of v if it has no others than these and no NULL, as most columns have.
func plainDoubles(v *asofv1.Values) (values []float64, plain bool) {
	k, is := v.GetKind().(*asofv1.Values_Float64S)
	if !is || len(v.GetNullRows()) > 0 {
		return nil, false
	}
	return k.Float64S.GetValues(), true
}

// valuesSize is the encoded size of v.
func valuesSize(v *asofv1.Values) int {
	if doubles, plain := plainDoubles(v); plain {
		return messageSize(bytesSize(8 * len(doubles)))
	}
	return proto.Size(v)
}

// appendValues appends v, whose size valuesSize has found.
func appendValues(b []byte, v *asofv1.Values) ([]byte, error) {
	if doubles, plain := plainDoubles(v); plain {
		return appendBytes(beginMessage(b, 5, bytesSize(8*len(doubles))), 1, arrow.GetBytes(doubles)), nil
	}
	return proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, v)
}

func timesSize(t *asofv1.EventTimes) int {
	return bytesSize(len(t.GetView())) + bytesSize(8*len(t.GetTimes()))
}

// The parts of messages, whose fields have numbers below 16. What is empty or 0 takes no bytes, but for messages.

func messageSize(n int) int { return 1 + protowire.SizeBytes(n) }

func beginMessage(b []byte, field protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(size))
}

func bytesSize(n int) int {
	if n == 0 {
		return 0
	}
	return messageSize(n)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return append(beginMessage(b, field, len(v)), v...)
}

func scalarSize(v uint32) int {
	if v == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(v))
}

func appendScalar(b []byte, field protowire.Number, v uint32) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(v))
}

package feature

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// AppendValue appends v to b, whose Arrow type is that of the value's feature type; nil appends NULL. Values have the Go types
// of [Feature.Default]. It fails on a value of another type and on a builder that no feature type has.
func AppendValue(b array.Builder, v any) error {
	if v == nil {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		return appendTo(b.Append, v)
	case *array.Int32Builder:
		return appendTo(b.Append, v)
	case *array.Int64Builder:
		return appendTo(b.Append, v)
	case *array.Float32Builder:
		return appendTo(b.Append, v)
	case *array.Float64Builder:
		return appendTo(b.Append, v)
	case *array.StringBuilder:
		return appendTo(b.Append, v)
	case *array.BinaryBuilder:
		if s, ok := v.(string); ok {
			b.AppendString(s)
			return nil
		}
		return appendTo(b.Append, v)
	case *array.TimestampBuilder:
		return appendTo(func(t Time) { b.Append(arrow.Timestamp(t)) }, v)
	case *array.ListBuilder:
		return appendList(b, v)
	}
	return fmt.Errorf("no feature type has columns of %s", b.Type())
}

func appendTo[T any](add func(T), v any) error {
	t, ok := v.(T)
	if !ok {
		return fmt.Errorf("value %v is a %T, not a %T", v, v, t)
	}
	add(t)
	return nil
}

func appendList(b *array.ListBuilder, v any) error {
	b.Append(true)
	switch list := v.(type) {
	case []bool:
		return appendAll(b, list)
	case []int32:
		return appendAll(b, list)
	case []int64:
		return appendAll(b, list)
	case []float32:
		return appendAll(b, list)
	case []float64:
		return appendAll(b, list)
	case []string:
		return appendAll(b, list)
	case [][]byte:
		return appendAll(b, list)
	case []Time:
		return appendAll(b, list)
	}
	return fmt.Errorf("value %v is a %T, not a list", v, v)
}

func appendAll[T any](b *array.ListBuilder, list []T) error {
	for _, v := range list {
		if err := AppendValue(b.ValueBuilder(), v); err != nil {
			return err
		}
	}
	return nil
}

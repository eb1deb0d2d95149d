package definitions

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/asof-store/asof/feature"
	"go.yaml.in/yaml/v4"
)

// misfit is why a value is no default for a type.
type misfit struct{ got, hint string }

// parseDefault returns the value of n as feature.Feature.Default wants it for type t, nil for a YAML null, or why it does
// not fit t exactly.
func parseDefault(n *yaml.Node, t feature.Type) (any, *misfit) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil, nil
	}
	if t.List != (n.Kind == yaml.SequenceNode) {
		hint := ""
		if t.List {
			hint = "write a list: [...]"
		}
		return nil, &misfit{describe(n), hint}
	}
	if !t.List {
		v, ok := parseScalar(n, t.Kind)
		if !ok {
			return nil, &misfit{describe(n), scalarHint(n, t.Kind)}
		}
		return v, nil
	}
	switch t.Kind {
	case feature.Bool:
		return parseList[bool](n, t.Kind)
	case feature.Int32:
		return parseList[int32](n, t.Kind)
	case feature.Int64:
		return parseList[int64](n, t.Kind)
	case feature.Float32:
		return parseList[float32](n, t.Kind)
	case feature.Float64:
		return parseList[float64](n, t.Kind)
	case feature.String:
		return parseList[string](n, t.Kind)
	case feature.Bytes:
		return parseList[[]byte](n, t.Kind)
	default:
		return parseList[feature.Time](n, t.Kind)
	}
}

// parseList returns the items of n as a []T; T is the Go type of kind's values.
func parseList[T any](n *yaml.Node, kind feature.Kind) (any, *misfit) {
	list := make([]T, 0, len(n.Content))
	for _, c := range n.Content {
		item := deref(c)
		v, ok := parseScalar(item, kind)
		if !ok {
			return nil, &misfit{"a list with " + describe(item), scalarHint(item, kind)}
		}
		list = append(list, v.(T))
	}
	return list, nil
}

// parseScalar returns the value of n as one of kind; ok is false when it is none.
func parseScalar(n *yaml.Node, kind feature.Kind) (v any, ok bool) {
	tag := n.ShortTag()
	switch kind {
	case feature.Bool:
		return strings.EqualFold(n.Value, "true"), tag == "!!bool"
	case feature.Int32:
		var v int64
		err := n.Decode(&v)
		return int32(v), tag == "!!int" && err == nil && v == int64(int32(v))
	case feature.Int64:
		var v int64
		err := n.Decode(&v)
		return v, tag == "!!int" && err == nil
	case feature.Float32:
		var v float64
		err := n.Decode(&v)
		overflows := math.IsInf(float64(float32(v)), 0) && !math.IsInf(v, 0)
		return float32(v), (tag == "!!int" || tag == "!!float") && err == nil && !overflows
	case feature.Float64:
		var v float64
		err := n.Decode(&v)
		return v, (tag == "!!int" || tag == "!!float") && err == nil
	case feature.String:
		return n.Value, fits(n, textShape)
	case feature.Bytes:
		if tag == "!!binary" {
			b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.Value), ""))
			return b, err == nil
		}
		return []byte(n.Value), fits(n, textShape)
	}
	return parseTime(n)
}

// parseTime returns the instant of an RFC 3339 text, or of a date, its midnight in UTC.
func parseTime(n *yaml.Node) (v any, ok bool) {
	if !fits(n, textShape) {
		return nil, false
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, n.Value); err == nil && t.Nanosecond()%1000 == 0 {
			return feature.TimeOf(t), true
		}
	}
	return nil, false
}

// scalarHint says how a value of kind is written.
func scalarHint(n *yaml.Node, kind feature.Kind) string {
	switch kind {
	case feature.Bool:
		return "write true or false"
	case feature.String:
		return "quote it: " + strconv.Quote(n.Value)
	case feature.Bytes:
		return "write a text, or !!binary with base64"
	case feature.Timestamp:
		return "write one such as 2024-03-01T12:00:00Z, to the microsecond at most"
	}
	return ""
}

// formatDefault returns a default as plans show it; "" for none.
func formatDefault(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return strconv.Quote(v)
	case []byte:
		return "!!binary " + base64.StdEncoding.EncodeToString(v)
	case feature.Time:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case int32:
		return strconv.FormatInt(int64(v), 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return formatList(v)
	}
}

func formatList(v any) string {
	var items []string
	switch v := v.(type) {
	case []bool:
		items = formatItems(v)
	case []int32:
		items = formatItems(v)
	case []int64:
		items = formatItems(v)
	case []float32:
		items = formatItems(v)
	case []float64:
		items = formatItems(v)
	case []string:
		items = formatItems(v)
	case [][]byte:
		items = formatItems(v)
	case []feature.Time:
		items = formatItems(v)
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func formatItems[T any](list []T) []string {
	items := make([]string, len(list))
	for i, v := range list {
		items[i] = formatDefault(v)
	}
	return items
}

package expr

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/asof-store/asof/feature"
)

// The twin's casts and functions.

func twinCast(v any, to feature.Kind) (any, error) {
	switch v := v.(type) {
	case string:
		return twinRead(v, to)
	case bool:
		if to == feature.String {
			return strconv.FormatBool(v), nil
		}
		if v {
			return twinCast(int32(1), to)
		}
		return twinCast(int32(0), to)
	case feature.Time:
		switch to {
		case feature.String:
			return string(appendTimestamp(nil, int64(v))), nil // pinned by TestScripts
		case feature.Int32, feature.Int64:
			return twinFit(new(big.Int).Div(twinWhole(v), big.NewInt(1e6)), to)
		}
		return twinCast(float64(v)/1e6, to)
	case int32, int64:
		switch to {
		case feature.Bool:
			return twinWhole(v).Sign() != 0, nil
		case feature.String:
			return twinWhole(v).String(), nil
		case feature.Timestamp:
			return twinFit(new(big.Int).Mul(twinWhole(v), big.NewInt(1e6)), to)
		case feature.Float32:
			f, _ := new(big.Float).SetInt(twinWhole(v)).Float32()
			return f, nil
		case feature.Float64:
			return twinFloat(v), nil
		}
		return twinFit(twinWhole(v), to)
	}
	x := twinFloat(v)
	switch to {
	case feature.Bool:
		return x != 0, nil
	case feature.Float32:
		return float32(x), nil
	case feature.Float64:
		return x, nil
	case feature.String:
		if f, single := v.(float32); single {
			return string(appendFloat(nil, float64(f), 32)), nil // pinned by TestScripts
		}
		return string(appendFloat(nil, x, 64)), nil
	case feature.Timestamp:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, nil
		}
		return twinTruncate(x*1e6, to)
	}
	if math.IsNaN(x) {
		return nil, nil
	}
	return twinTruncate(x, to)
}

func twinTruncate(x float64, to feature.Kind) (any, error) {
	if math.IsInf(x, 0) {
		return nil, errOverflow
	}
	whole, _ := big.NewFloat(x).Int(nil)
	return twinFit(whole, to)
}

// twinRead reads texts; which ones say what is pinned by TestScripts.
func twinRead(s string, to feature.Kind) (any, error) {
	switch to {
	case feature.String:
		if !utf8.ValidString(s) {
			return nil, nil // bytes that are no text
		}
		return s, nil
	case feature.Bytes:
		return s, nil
	case feature.Bool:
		if v, ok := parseBool(s); ok {
			return v == 1, nil
		}
	case feature.Int32, feature.Int64:
		if v, ok := parseInteger(s); ok {
			if v, err := twinFit(big.NewInt(v), to); err == nil {
				return v, nil
			}
		}
	case feature.Float32:
		if v, ok := parseFloat(s, 32); ok {
			return float32(v), nil
		}
	case feature.Float64:
		if v, ok := parseFloat(s, 64); ok {
			return v, nil
		}
	case feature.Timestamp:
		if v, _, ok := parseTimestamp(trimSpace(s)); ok {
			return feature.Time(v), nil
		}
	}
	return nil, nil
}

func twinCall(n *node, args []any) (any, error) {
	switch n.name {
	case "lower":
		return strings.ToLower(args[0].(string)), nil
	case "upper":
		return strings.ToUpper(args[0].(string)), nil
	case "trim":
		return strings.TrimSuffix(strings.TrimLeft(args[0].(string), " "), twinSpaces(args[0].(string))), nil
	case "length":
		if n.args[0].typ.Kind == feature.Bytes {
			return int32(len(args[0].(string))), nil
		}
		return int32(utf8.RuneCountInString(args[0].(string))), nil
	case "concat":
		s := ""
		for _, a := range args {
			s += a.(string)
		}
		return s, nil
	case "substring":
		return twinSubstring(n, args), nil
	case "array_size":
		return int32(len(args[0].([]any))), nil
	case "unix_micros":
		return int64(args[0].(feature.Time)), nil
	case "hour":
		return int32(args[0].(feature.Time).Std().Hour()), nil
	case "dayofweek":
		return int32(args[0].(feature.Time).Std().Weekday()) + 1, nil
	case "date_trunc":
		return twinTrunc(strings.ToLower(args[0].(string)), args[1].(feature.Time).Std())
	}
	return twinMath(n, args)
}

func twinSpaces(s string) string { return s[len(strings.TrimRight(s, " ")):] }

// twinSubstring numbers the characters and takes those whose numbers are wanted.
func twinSubstring(n *node, args []any) any {
	chars := strings.Split(args[0].(string), "")
	if n.typ.Kind == feature.Bytes {
		chars = nil
		for _, b := range []byte(args[0].(string)) {
			chars = append(chars, string([]byte{b}))
		}
	}
	from := twinWhole(args[1])
	switch from.Sign() {
	case 1:
		from.Sub(from, big.NewInt(1))
	case -1:
		from.Add(from, big.NewInt(int64(len(chars))))
	}
	out := ""
	for i, c := range chars {
		at := new(big.Int).Sub(big.NewInt(int64(i)), from)
		if at.Sign() >= 0 && (len(args) == 2 || at.Cmp(twinWhole(args[2])) < 0) {
			out += c
		}
	}
	return out
}

func twinTrunc(unit string, t time.Time) (any, error) {
	y, m, d := t.Date()
	start := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	switch unit {
	case "year":
		start = time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC)
	case "quarter":
		start = time.Date(y, (m+2)/3*3-2, 1, 0, 0, 0, 0, time.UTC)
	case "month":
		start = time.Date(y, m, 1, 0, 0, 0, 0, time.UTC)
	case "week":
		start = start.AddDate(0, 0, -(int(t.Weekday())+6)%7)
	case "hour":
		start = start.Add(time.Duration(t.Hour()) * time.Hour)
	case "minute":
		start = time.Date(y, m, d, t.Hour(), t.Minute(), 0, 0, time.UTC)
	case "second":
		start = time.Unix(t.Unix(), 0)
	case "millisecond":
		start = time.UnixMilli(t.UnixMilli())
	case "microsecond":
		start = t
	}
	micros := new(big.Int).Mul(big.NewInt(start.Unix()), big.NewInt(1e6))
	return twinFit(micros.Add(micros, big.NewInt(int64(start.Nanosecond()/1000))), feature.Timestamp)
}

func twinMath(n *node, args []any) (any, error) {
	if n.name == "abs" && (n.typ.Kind == feature.Int32 || n.typ.Kind == feature.Int64) {
		return twinFit(new(big.Int).Abs(twinWhole(args[0])), n.typ.Kind)
	}
	if n.name == "round" {
		return twinRound(n, args)
	}
	x := twinFloat(args[0])
	switch n.name {
	case "abs":
		if n.typ.Kind == feature.Float32 {
			return float32(math.Abs(x)), nil
		}
		return math.Abs(x), nil
	case "ceil", "floor":
		if v, whole := args[0].(int64); whole {
			return v, nil
		}
		if n.name == "ceil" {
			return twinCast(math.Ceil(x), feature.Int64)
		}
		return twinCast(math.Floor(x), feature.Int64)
	case "sqrt":
		return math.Sqrt(x), nil
	case "exp":
		return math.Exp(x), nil
	case "ln", "log10":
		if x <= 0 {
			return nil, nil
		}
		if n.name == "ln" {
			return math.Log(x), nil
		}
		return log10Of(x), nil // pinned by TestScripts
	}
	return pow(x, twinFloat(args[1])), nil // pinned by TestScripts
}

// twinRound rounds the exact fraction of the shortest decimal text.
func twinRound(n *node, args []any) (any, error) {
	digits := 0
	if len(args) == 2 {
		digits = int(args[1].(int32))
	}
	text := ""
	switch v := args[0].(type) {
	case int32, int64:
		text = twinWhole(v).String()
	default:
		x := twinFloat(v)
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return v, nil
		}
		text = strconv.FormatFloat(x, 'g', -1, 64)
	}
	x, _ := new(big.Rat).SetString(text)
	unit, _ := new(big.Rat).SetString("1e" + strconv.Itoa(-digits))
	half := big.NewRat(int64(x.Sign()), 2)
	q := new(big.Rat).Add(new(big.Rat).Quo(x, unit), half)
	whole := new(big.Rat).SetInt(new(big.Int).Quo(q.Num(), q.Denom()))
	whole.Mul(whole, unit)
	switch n.typ.Kind {
	case feature.Int32, feature.Int64:
		return twinFit(whole.Num(), n.typ.Kind)
	case feature.Float32:
		v, _ := whole.Float64()
		return float32(v), nil
	}
	v, _ := whole.Float64()
	return v, nil
}

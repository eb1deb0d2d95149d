package expr

import (
	"cmp"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/asof-store/asof/feature"
)

// The naive twin: it interprets the typed tree a row at a time, with unbounded integers, exact fractions and package time.

var errOverflow = errors.New("overflow")

// twin returns the value of n for a row; nil is NULL.
func twin(n *node, row map[string]any) (any, error) {
	switch n.op {
	case opLiteral:
		return n.value, nil
	case opColumn:
		return row[n.name], nil
	case opAnd, opOr:
		return twinConnective(n, row)
	case opCase, opSwitch, opIn, opBetween:
		return twinConditional(n, row)
	}
	if n.op == opCall && n.name == "if" {
		return twinConditional(&node{op: opCase, args: n.args}, row)
	}
	if n.op == opCall && n.name == "coalesce" {
		for _, a := range n.args {
			if v, err := twin(a, row); v != nil || err != nil {
				return v, err
			}
		}
		return nil, nil
	}
	args, null := make([]any, len(n.args)), false
	for i, a := range n.args {
		var err error
		if args[i], err = twin(a, row); err != nil {
			return nil, err
		}
		null = null || args[i] == nil
	}
	switch {
	case n.op == opIsNull:
		return null, nil
	case n.op == opSame:
		return args[0] == nil && args[1] == nil || !null && twinCompare(args[0], args[1]) == 0, nil
	case n.op == opCall && (n.name == "least" || n.name == "greatest"):
		return twinExtreme(n.name, args), nil
	case n.op == opCall && n.name == "array":
		return args, nil
	case n.op == opCall && n.name == "nullif" && !null:
		common, _ := commonType(n.args)
		a, b := args[0], args[1]
		if n.args[0].typ != n.args[1].typ {
			a, _ = twinCast(a, common.Kind)
			b, _ = twinCast(b, common.Kind)
		}
		if twinCompare(a, b) == 0 {
			return nil, nil
		}
		return args[0], nil
	case n.op == opCall && n.name == "nullif":
		return args[0], nil
	case null:
		return nil, nil
	case n.op == opCast && n.typ == n.args[0].typ:
		return args[0], nil
	case n.op == opCast && n.typ.List:
		list := make([]any, len(args[0].([]any)))
		for i, v := range args[0].([]any) {
			if v != nil {
				list[i], _ = twinCast(v, n.typ.Kind)
			}
		}
		return list, nil
	case n.op == opCast:
		return twinCast(args[0], n.typ.Kind)
	case n.op == opCall:
		return twinCall(n, args)
	}
	return twinOperator(n, args)
}

func twinConnective(n *node, row map[string]any) (any, error) {
	decides := n.op == opOr
	a, err := twin(n.args[0], row)
	if err != nil || a == decides {
		return a, err
	}
	b, err := twin(n.args[1], row)
	if err != nil || b == decides {
		return b, err
	}
	if a == nil || b == nil {
		return nil, nil
	}
	return !decides, nil
}

func twinConditional(n *node, row map[string]any) (any, error) {
	args := n.args
	eq := func(a, b *node) *node { return &node{op: opEqual, args: []*node{a, b}} }
	switch n.op {
	case opBetween:
		low := &node{op: opGreaterEqual, args: []*node{args[0], args[1]}}
		high := &node{op: opLessEqual, args: []*node{args[0], args[2]}}
		return twinConnective(&node{op: opAnd, args: []*node{low, high}}, row)
	case opIn:
		null := false
		for _, item := range args[1:] {
			v, err := twin(eq(args[0], item), row)
			if x, _ := twin(args[0], row); x == nil {
				return twin(args[0], row) // no item counts
			}
			if err != nil || v == true {
				return v, err
			}
			null = null || v == nil
		}
		if null {
			return nil, nil
		}
		return false, nil
	case opSwitch:
		args = args[1:]
		if _, err := twin(n.args[0], row); err != nil {
			return nil, err
		}
	}
	pairs, last := branches(args)
	for _, p := range pairs {
		condition := p[0]
		if n.op == opSwitch {
			condition = eq(n.args[0], p[0])
		}
		if v, err := twin(condition, row); err != nil || v == true {
			if err != nil {
				return nil, err
			}
			return twin(p[1], row)
		}
	}
	if last == nil {
		return nil, nil
	}
	return twin(last, row)
}

// twinCompare orders values of one type, NaN last.
func twinCompare(a, b any) int {
	switch a := a.(type) {
	case bool:
		return cmp.Compare(strconv.FormatBool(a), strconv.FormatBool(b.(bool)))
	case int32:
		return cmp.Compare(a, b.(int32))
	case int64:
		return cmp.Compare(a, b.(int64))
	case feature.Time:
		return cmp.Compare(a, b.(feature.Time))
	case string:
		return cmp.Compare(a, b.(string))
	}
	x, y := twinFloat(a), twinFloat(b)
	if math.IsNaN(x) || math.IsNaN(y) {
		return cmp.Compare(y, x) // cmp has NaN first
	}
	return cmp.Compare(x, y)
}

func twinExtreme(name string, args []any) any {
	var best any
	for _, a := range args {
		switch {
		case a == nil:
		case best == nil, name == "least" && twinCompare(a, best) < 0, name == "greatest" && twinCompare(a, best) > 0:
			best = a
		}
	}
	return best
}

func twinFloat(v any) float64 {
	switch v := v.(type) {
	case int32:
		return float64(v)
	case int64:
		return float64(v)
	case float32:
		return float64(v)
	}
	return v.(float64)
}

func twinWhole(v any) *big.Int {
	switch v := v.(type) {
	case int32:
		return big.NewInt(int64(v))
	case feature.Time:
		return big.NewInt(int64(v))
	}
	return big.NewInt(v.(int64))
}

// twinFit returns x as a value of the kind.
func twinFit(x *big.Int, kind feature.Kind) (any, error) {
	switch {
	case !x.IsInt64() || kind == feature.Int32 && int64(int32(x.Int64())) != x.Int64():
		return nil, errOverflow
	case kind == feature.Int32:
		return int32(x.Int64()), nil
	case kind == feature.Timestamp:
		return feature.Time(x.Int64()), nil
	}
	return x.Int64(), nil
}

func twinOperator(n *node, args []any) (any, error) {
	switch n.op {
	case opNot:
		return !args[0].(bool), nil
	case opEqual:
		return twinCompare(args[0], args[1]) == 0, nil
	case opNotEqual:
		return twinCompare(args[0], args[1]) != 0, nil
	case opLess:
		return twinCompare(args[0], args[1]) < 0, nil
	case opLessEqual:
		return twinCompare(args[0], args[1]) <= 0, nil
	case opGreater:
		return twinCompare(args[0], args[1]) > 0, nil
	case opGreaterEqual:
		return twinCompare(args[0], args[1]) >= 0, nil
	case opLike:
		return twinLike([]rune(args[0].(string)), []rune(args[1].(string))), nil
	case opElement:
		list, at := args[0].([]any), twinWhole(args[1])
		if at.Sign() < 0 || at.Cmp(big.NewInt(int64(len(list)))) >= 0 {
			return nil, nil
		}
		return list[at.Int64()], nil
	}
	if len(args) == 1 {
		args = []any{args[0], args[0]}
	}
	if n.typ.Kind == feature.Int32 || n.typ.Kind == feature.Int64 {
		x, y := twinWhole(args[0]), twinWhole(args[1])
		switch {
		case n.op == opNegate:
			return twinFit(new(big.Int).Neg(x), n.typ.Kind)
		case n.op == opAdd:
			return twinFit(new(big.Int).Add(x, y), n.typ.Kind)
		case n.op == opSubtract:
			return twinFit(new(big.Int).Sub(x, y), n.typ.Kind)
		case n.op == opMultiply:
			return twinFit(new(big.Int).Mul(x, y), n.typ.Kind)
		case y.Sign() == 0:
			return nil, nil
		}
		return twinFit(new(big.Int).Rem(x, y), n.typ.Kind)
	}
	x, y := twinFloat(args[0]), twinFloat(args[1])
	var v float64
	switch {
	case n.op == opNegate:
		v = -x
	case n.op == opAdd:
		v = x + y
	case n.op == opSubtract:
		v = x - y
	case n.op == opMultiply:
		v = x * y
	case y == 0:
		return nil, nil
	case n.op == opDivide:
		v = x / y
	default:
		v = math.Mod(x, y)
	}
	if n.typ.Kind == feature.Float32 {
		return float32(v), nil // exact enough: float64 has more than twice the digits
	}
	return v, nil
}

func twinLike(s, p []rune) bool {
	switch {
	case len(p) == 0:
		return len(s) == 0
	case p[0] == '%':
		return twinLike(s, p[1:]) || len(s) > 0 && twinLike(s[1:], p)
	case p[0] == '\\':
		return len(s) > 0 && s[0] == p[1] && twinLike(s[1:], p[2:])
	}
	return len(s) > 0 && (p[0] == '_' || s[0] == p[0]) && twinLike(s[1:], p[1:])
}

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

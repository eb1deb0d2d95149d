package expr

import (
	"cmp"
	"errors"
	"math"
	"math/big"
	"strconv"

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
	case n.op == opCall && n.name == "nullif":
		return twinNullif(n, args), nil
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

func twinNullif(n *node, args []any) any {
	a, b := args[0], args[1]
	if a == nil || b == nil {
		return a
	}
	if n.args[0].typ != n.args[1].typ {
		common, _ := commonType(n.args)
		a, _ = twinCast(a, common.Kind)
		b, _ = twinCast(b, common.Kind)
	}
	if twinCompare(a, b) == 0 {
		return nil
	}
	return args[0]
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

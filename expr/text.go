package expr

import (
	"math"
	"strconv"
	"strings"
)

// How texts say values, and values become texts: as Spark's CAST does.

// trimSpace removes white space and control characters from both ends.
func trimSpace(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

func parseBool(s string) (int32, bool) {
	switch strings.ToLower(trimSpace(s)) {
	case "t", "true", "y", "yes", "1":
		return 1, true
	case "f", "false", "n", "no", "0":
		return 0, true
	}
	return 0, false
}

// parseInteger reads a whole number; digits after a point are cut off.
func parseInteger(s string) (int64, bool) {
	s = trimSpace(s)
	whole, fraction, _ := strings.Cut(s, ".")
	if strings.Trim(fraction, "0123456789") != "" {
		return 0, false
	}
	if sign := strings.TrimLeft(whole, "+-"); sign == "" && fraction != "" && len(whole) <= 1 {
		return 0, true // .5
	}
	v, err := strconv.ParseInt(whole, 10, 64)
	return v, err == nil
}

// parseFloat reads a decimal number, an infinity or NaN; a number too large is an infinity.
func parseFloat(s string, bits int) (float64, bool) {
	s = trimSpace(s)
	switch strings.ToLower(strings.TrimLeft(s, "+-")) {
	case "inf", "infinity", "nan":
	default:
		if strings.Trim(s, "+-.0123456789eE") != "" {
			return 0, false // hexadecimal digits and underscores are Go's alone
		}
	}
	v, err := strconv.ParseFloat(s, bits)
	if err != nil && !math.IsInf(v, 0) {
		return 0, false
	}
	return v, true
}

// appendFloat writes the shortest text that reads back as x, in Java's form: 1.0, 1.0E10, 1.5E-5.
func appendFloat(dst []byte, x float64, bits int) []byte {
	switch size := math.Abs(x); {
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	case size == 0 || size >= 1e-3 && size < 1e7:
		start := len(dst)
		dst = strconv.AppendFloat(dst, x, 'f', -1, bits)
		if strings.IndexByte(string(dst[start:]), '.') < 0 {
			dst = append(dst, ".0"...)
		}
		return dst
	}
	var buf [32]byte
	mantissa, exponent, _ := strings.Cut(string(strconv.AppendFloat(buf[:0], x, 'e', -1, bits)), "e")
	dst = append(dst, mantissa...)
	if !strings.Contains(mantissa, ".") {
		dst = append(dst, ".0"...)
	}
	power, _ := strconv.Atoi(exponent)
	return strconv.AppendInt(append(dst, 'E'), int64(power), 10)
}

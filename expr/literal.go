package expr

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2/lexer"

	"github.com/asof-store/asof/feature"
)

// numberLiteral reads an unsigned number token, negated if wanted. Without a suffix it is an int32 if it fits, else an int64;
// with a point or an exponent it is a float64.
func numberLiteral(pos lexer.Position, text string, negative bool) (*node, error) {
	digits := strings.TrimRight(text, "LlDdFf")
	suffix := strings.ToUpper(text[len(digits):])
	if negative {
		digits = "-" + digits
	}
	if suffix == "D" || suffix == "F" || suffix == "" && strings.ContainsAny(digits, ".eE") {
		return floatLiteral(pos, digits, suffix == "F")
	}
	v, err := strconv.ParseInt(digits, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return nil, errorAt(pos, "write it as a float64, with .0 at its end", "%s does not fit an int64", digits)
	}
	if err != nil {
		return nil, errorAt(pos, "", "%s is no whole number", text)
	}
	if suffix == "" && v >= math.MinInt32 && v <= math.MaxInt32 {
		return literal(pos, feature.Int32, int32(v)), nil
	}
	return literal(pos, feature.Int64, v), nil
}

func floatLiteral(pos lexer.Position, digits string, single bool) (*node, error) {
	bits := 64
	if single {
		bits = 32
	}
	v, err := strconv.ParseFloat(digits, bits)
	if err != nil {
		return nil, errorAt(pos, "", "%s does not fit a float%d", digits, bits)
	}
	if single {
		return literal(pos, feature.Float32, float32(v)), nil
	}
	return literal(pos, feature.Float64, v), nil
}

func literal(pos lexer.Position, kind feature.Kind, value any) *node {
	return &node{op: opLiteral, pos: pos, typ: feature.Scalar(kind), value: value}
}

// convertLiteral returns the number v as one of a wider kind.
func convertLiteral(v any, to feature.Kind) any {
	var whole int64
	var float float64
	switch v := v.(type) {
	case int32:
		whole, float = int64(v), float64(v)
	case int64:
		whole, float = v, float64(v)
	case float32:
		float = float64(v)
	}
	if to == feature.Float64 {
		return float
	}
	return whole
}

// negateLiteral returns -v for a number that is not negative.
func negateLiteral(v any) any {
	switch v := v.(type) {
	case int32:
		return -v
	case int64:
		return -v
	case float32:
		return -v
	case float64:
		return -v
	}
	return v
}

// unquoteString returns the value of a string token: quotes are doubled or escaped, and the escapes are Spark's. \% and
// \_ keep their backslash, which means them for like.
func unquoteString(token string) string {
	body := token[1 : len(token)-1]
	if !strings.ContainsAny(body, `'\`) {
		return body
	}
	var out strings.Builder
	for i := 0; i < len(body); i++ {
		c := body[i]
		if c == '\'' {
			i++ // the second of two quotes
		}
		if c != '\\' {
			out.WriteByte(c)
			continue
		}
		i++
		if r, ok := unicodeEscape(body[i:]); ok {
			out.WriteRune(r)
			i += 4
			continue
		}
		out.WriteString(unescape(body[i]))
	}
	return out.String()
}

// unicodeEscape reads uXXXX.
func unicodeEscape(s string) (rune, bool) {
	if len(s) < 5 || s[0] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(s[1:5], 16, 16)
	return rune(v), err == nil && utf8.ValidRune(rune(v))
}

func unescape(c byte) string {
	switch c {
	case '0':
		return "\x00"
	case 'b':
		return "\b"
	case 'n':
		return "\n"
	case 'r':
		return "\r"
	case 't':
		return "\t"
	case 'Z':
		return "\x1a"
	case '%', '_':
		return `\` + string(c)
	}
	return string([]byte{c})
}

// quoteString is the inverse of unquoteString, in the form that every version of Spark reads.
func quoteString(s string) string {
	var out strings.Builder
	out.WriteByte('\'')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'':
			out.WriteString(`\'`)
		case c == '\\' && i+1 < len(s) && (s[i+1] == '%' || s[i+1] == '_'):
			out.WriteByte('\\') // \% is read as \%, not as %
		case c == '\\':
			out.WriteString(`\\`)
		case c < ' ' || c == 0x7f:
			out.WriteString(`\u00`)
			out.WriteByte("0123456789abcdef"[c>>4])
			out.WriteByte("0123456789abcdef"[c&15])
		default:
			out.WriteByte(c)
		}
	}
	out.WriteByte('\'')
	return out.String()
}

// unquoteName returns the name that an identifier or backquoted token means.
func unquoteName(token string) string {
	if token[0] != '`' {
		return token
	}
	return strings.ReplaceAll(token[1:len(token)-1], "``", "`")
}

// quoteName is the inverse of unquoteName: backquotes only where a plain name would be misread, by Spark too.
func quoteName(name string) string {
	plain := !isKeyword(strings.ToUpper(name)) && name != ""
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_'
		plain = plain && (letter || i > 0 && c >= '0' && c <= '9')
	}
	if plain {
		return name
	}
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

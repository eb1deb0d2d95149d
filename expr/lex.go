package expr

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// The names of the tokens.
const (
	tokenIdent    = "Ident"
	tokenKeyword  = "Keyword"
	tokenQuoted   = "Quoted"
	tokenString   = "String"
	tokenNumber   = "Number"
	tokenOperator = "Operator"
	tokenUnclosed = "Unclosed" // a quote without its end
	tokenStray    = "Stray"    // a character that begins no token
)

// isKeyword reports whether the upper-case word is reserved: a column of that name needs backquotes.
func isKeyword(upper string) bool {
	switch upper {
	case "AND", "OR", "NOT", "IS", "NULL", "IN", "BETWEEN", "LIKE", "ESCAPE", "CASE", "WHEN", "THEN", "ELSE", "END",
		"TRUE", "FALSE", "CAST", "AS":
		return true
	}
	return false
}

// newLexer returns the lexer of the language; the mapper that tells keywords from names is [markKeywords].
func newLexer() *lexer.StatefulDefinition {
	return lexer.MustSimple([]lexer.SimpleRule{
		{Name: "Comment", Pattern: `--[^\n]*|/\*(?s:.*?)\*/`},
		{Name: "Whitespace", Pattern: `[ \t\r\n]+`},
		{Name: tokenNumber, Pattern: `(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[LlDdFf]?`},
		{Name: tokenIdent, Pattern: `[\pL_][\pL\pN_]*`},
		{Name: tokenQuoted, Pattern: "`(?:[^`]|``)+`"},
		{Name: tokenString, Pattern: `'(?s:[^'\\]|\\.|'')*'`},
		{Name: tokenOperator, Pattern: `<=>|<>|!=|<=|>=|==|[-+*/%<>=!(),.\[\]]`},
		{Name: tokenUnclosed, Pattern: "['`]"},
		{Name: tokenStray, Pattern: `(?s:.)`},
	})
}

// markKeywords turns the names that are keywords into keyword tokens, in upper case.
func markKeywords(keyword lexer.TokenType) participle.Mapper {
	return func(t lexer.Token) (lexer.Token, error) {
		if upper := strings.ToUpper(t.Value); isKeyword(upper) {
			t.Type, t.Value = keyword, upper
		}
		return t, nil
	}
}

// checkText refuses what is too large to parse and what is no text.
func checkText(src string) error {
	if len(src) > sourceBytesMax {
		return &Error{1, 1, fmt.Sprintf("the expression has %d bytes, more than the %d that are allowed", len(src), sourceBytesMax),
			"split it into several features"}
	}
	if !utf8.ValidString(src) {
		return &Error{1, 1, "the expression is not UTF-8 text", ""}
	}
	return nil
}

// checkTokens refuses characters that belong to no token and nesting that is too deep for a recursive parser.
func checkTokens(tokens []lexer.Token, names map[lexer.TokenType]string) error {
	depth := 0
	for _, t := range tokens {
		switch names[t.Type] {
		case tokenStray:
			return errorAt(t.Pos, strayHint(t.Value), "unexpected character %q", t.Value)
		case tokenUnclosed:
			return errorAt(t.Pos, "", "the quote %s is never closed", t.Value)
		case tokenOperator, tokenKeyword:
			switch t.Value {
			case "(", "[", "CASE":
				depth++
			case ")", "]", "END":
				depth--
			}
			if depth > nestingDepthMax {
				return errorAt(t.Pos, "split it into several features", "the expression is nested more than %d deep", nestingDepthMax)
			}
		}
	}
	return nil
}

func strayHint(char string) string {
	switch char {
	case `"`:
		return "texts are in 'single quotes', column names in `backquotes`"
	case "|":
		return "concat(a, b) joins texts; conditions are joined by or"
	case "&":
		return "conditions are joined by and"
	case ";":
		return "an expression has no semicolon"
	}
	return ""
}

func errorAt(pos lexer.Position, hint, format string, args ...any) *Error {
	return &Error{Line: pos.Line, Column: pos.Column, Message: fmt.Sprintf(format, args...), Hint: hint}
}

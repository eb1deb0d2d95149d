package expr

import (
	"errors"
	"strings"
	"sync"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// The grammar, from the weakest operator to the strongest, is Spark's: OR, AND, NOT, one predicate (IS NULL, BETWEEN,
// IN, LIKE), comparisons, sums, products, signs, element access. The structs are the parse tree; check.go makes
// the typed tree of it.
type (
	disjunction struct {
		Terms []*conjunction `parser:"@@ ('OR' @@)*"`
	}
	conjunction struct {
		Terms []*negation `parser:"@@ ('AND' @@)*"`
	}
	negation struct {
		Pos  lexer.Position
		Nots []string   `parser:"@('NOT' | '!')*"`
		Of   *predicate `parser:"@@"`
	}
	predicate struct {
		Pos  lexer.Position
		Left *comparison `parser:"@@"`
		Test *test       `parser:"@@?"`
	}
	test struct {
		Pos   lexer.Position
		Is    *isNull `parser:"  'IS' @@"`
		Not   bool    `parser:"| ( @'NOT'?"`
		Which *choice `parser:"    @@ )"`
	}
	isNull struct {
		Not  bool `parser:"@'NOT'?"`
		Null bool `parser:"@'NULL'"`
	}
	choice struct {
		Between *between       `parser:"  'BETWEEN' @@"`
		In      []*disjunction `parser:"| 'IN' '(' @@ (',' @@)* ')'"`
		Like    *comparison    `parser:"| 'LIKE' @@"`
		Escape  *string        `parser:"  ('ESCAPE' @String)?"`
	}
	between struct {
		Low  *comparison `parser:"@@ 'AND'"`
		High *comparison `parser:"@@"`
	}
	comparison struct {
		Left *sum           `parser:"@@"`
		Rest []*compareStep `parser:"@@*"`
	}
	compareStep struct {
		Pos   lexer.Position
		Op    string `parser:"@('<=>' | '<>' | '!=' | '<=' | '>=' | '==' | '=' | '<' | '>')"`
		Right *sum   `parser:"@@"`
	}
	sum struct {
		Left *product   `parser:"@@"`
		Rest []*sumStep `parser:"@@*"`
	}
	sumStep struct {
		Pos   lexer.Position
		Op    string   `parser:"@('+' | '-')"`
		Right *product `parser:"@@"`
	}
	product struct {
		Left *signed        `parser:"@@"`
		Rest []*productStep `parser:"@@*"`
	}
	productStep struct {
		Pos   lexer.Position
		Op    string  `parser:"@('*' | '/' | '%')"`
		Right *signed `parser:"@@"`
	}
	signed struct {
		Pos   lexer.Position
		Signs []string `parser:"@('-' | '+')*"`
		Of    *indexed `parser:"@@"`
	}
	indexed struct {
		Base    *primary       `parser:"@@"`
		Indices []*disjunction `parser:"('[' @@ ']')*"`
	}
	primary struct {
		Pos    lexer.Position
		Number *string      `parser:"  @Number"`
		String *string      `parser:"| @String"`
		Word   *string      `parser:"| @('NULL' | 'TRUE' | 'FALSE')"`
		Case   *caseWhen    `parser:"| 'CASE' @@ 'END'"`
		Cast   *cast        `parser:"| 'CAST' '(' @@ ')'"`
		Named  *named       `parser:"| @@"`
		Inner  *disjunction `parser:"| '(' @@ ')'"`
	}
	caseWhen struct {
		Of    *disjunction `parser:"@@?"`
		Whens []*when      `parser:"@@+"`
		Else  *disjunction `parser:"('ELSE' @@)?"`
	}
	when struct {
		If   *disjunction `parser:"'WHEN' @@"`
		Then *disjunction `parser:"'THEN' @@"`
	}
	cast struct {
		Of   *disjunction `parser:"@@ 'AS'"`
		Pos  lexer.Position
		Type string `parser:"@Ident"`
		Elem string `parser:"('<' @Ident '>')?"`
	}
	// named is a column, a call or a typed literal: all three begin with a name.
	named struct {
		Parts []string   `parser:"@(Ident | Quoted) ('.' @(Ident | Quoted))*"`
		Call  *arguments `parser:"@@?"`
		Text  *string    `parser:"@String?"`
	}
	arguments struct {
		Args []*disjunction `parser:"'(' (@@ (',' @@)*)? ')'"`
	}
)

// language is the built parser; it never changes.
type language struct {
	parser *participle.Parser[disjunction]
	names  map[lexer.TokenType]string
}

// theLanguage builds the parser on first use: it takes about a millisecond, too long to do it for every expression.
var theLanguage = sync.OnceValue(func() language {
	def := newLexer()
	// Keyword is a symbol of its own that no rule matches: markKeywords makes the tokens.
	symbols := lexerWithKeyword{def}
	names := lexer.SymbolsByRune(symbols)
	return language{
		parser: participle.MustBuild[disjunction](
			participle.Lexer(symbols),
			participle.Map(markKeywords(symbols.Symbols()[tokenKeyword]), tokenIdent),
			participle.Elide("Comment", "Whitespace"),
		),
		names: names,
	}
})

// lexerWithKeyword adds the symbol Keyword to a lexer.
type lexerWithKeyword struct{ *lexer.StatefulDefinition }

// Symbols returns the token types of the lexer and that of keywords.
func (l lexerWithKeyword) Symbols() map[string]lexer.TokenType {
	symbols := map[string]lexer.TokenType{}
	lowest := lexer.EOF
	for name, t := range l.StatefulDefinition.Symbols() {
		symbols[name] = t
		lowest = min(lowest, t)
	}
	symbols[tokenKeyword] = lowest - 1
	return symbols
}

// parse returns the parse tree of src; every error is an *Error.
func parse(src string) (*disjunction, error) {
	if err := checkText(src); err != nil {
		return nil, err
	}
	lang := theLanguage()
	tokens, err := lang.parser.Lex("", strings.NewReader(src))
	if err != nil {
		return nil, parseError(err)
	}
	if err := checkTokens(tokens, lang.names); err != nil {
		return nil, err
	}
	tree, err := lang.parser.ParseString("", src)
	if err != nil {
		return nil, parseError(err)
	}
	return tree, nil
}

// parseError puts participle's errors into words of the language.
func parseError(err error) error {
	var unexpected *participle.UnexpectedTokenError
	if errors.As(err, &unexpected) {
		t := unexpected.Unexpected
		if t.EOF() {
			return errorAt(t.Pos, "", "the expression ends where something must follow")
		}
		hint := ""
		if isKeyword(t.Value) {
			hint = "it is a keyword; a column of that name is written in `backquotes`"
		}
		return errorAt(t.Pos, hint, "unexpected %s", t.Value)
	}
	var parse participle.Error
	if errors.As(err, &parse) {
		return errorAt(parse.Position(), "", "%s", parse.Message())
	}
	return &Error{1, 1, err.Error(), ""}
}

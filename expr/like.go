package expr

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/asof-store/asof/feature"
)

// canonicalPattern returns a LIKE pattern with \ as its escape. As in Spark, only %, _ and the escape itself may follow
// an escape.
func canonicalPattern(pattern, escape string) (string, error) {
	if utf8.RuneCountInString(escape) != 1 {
		return "", fmt.Errorf("the escape of like must be one character, not '%s'", escape)
	}
	var out strings.Builder
	for rest := pattern; rest != ""; {
		if after, escaped := strings.CutPrefix(rest, escape); escaped {
			switch {
			case strings.HasPrefix(after, "%") || strings.HasPrefix(after, "_"):
				out.WriteString(`\` + after[:1])
				rest = after[1:]
			case strings.HasPrefix(after, escape):
				out.WriteString(escapePattern(escape))
				rest = after[len(escape):]
			default:
				return "", fmt.Errorf("in a pattern of like, %s must stand before %%, _ or %s", escape, escape)
			}
			continue
		}
		_, size := utf8.DecodeRuneInString(rest)
		if rest[0] == '\\' {
			out.WriteByte('\\')
		}
		out.WriteString(rest[:size])
		rest = rest[size:]
	}
	return out.String(), nil
}

// escapePattern returns the pattern that matches the one character.
func escapePattern(char string) string {
	if char == `\` || char == "%" || char == "_" {
		return `\` + char
	}
	return char
}

// matcher is a compiled LIKE pattern: pieces that % separates, each matched as early as it can be after the one before,
// the first at the head and the last at the tail of the text.
type matcher struct {
	pieces []piece
}

// piece is a run of characters without %; any[i] marks an _ in place of character i.
type piece struct {
	chars   []rune
	any     []bool
	literal string // the same as text, if there is no _
	plain   bool
}

// newMatcher compiles a pattern of canonicalPattern.
func newMatcher(pattern string) matcher {
	m := matcher{pieces: []piece{{}}}
	for rest := []rune(pattern); len(rest) > 0; rest = rest[1:] {
		last := &m.pieces[len(m.pieces)-1]
		switch char := rest[0]; {
		case char == '%':
			m.pieces = append(m.pieces, piece{})
		case char == '\\' && len(rest) > 1:
			rest = rest[1:]
			last.add(rest[0], false)
		default:
			last.add(char, char == '_')
		}
	}
	for i := range m.pieces {
		p := &m.pieces[i]
		p.literal, p.plain = string(p.chars), true
		for _, any := range p.any {
			p.plain = p.plain && !any
		}
	}
	return m
}

func (p *piece) add(char rune, any bool) {
	p.chars, p.any = append(p.chars, char), append(p.any, any)
}

// match reports whether the pattern matches the whole text.
func (m matcher) match(text string) bool {
	first, last := m.pieces[0], m.pieces[len(m.pieces)-1]
	size, ok := first.head(text)
	if !ok {
		return false
	}
	if len(m.pieces) == 1 {
		return size == len(text)
	}
	text = text[size:]
	for _, p := range m.pieces[1 : len(m.pieces)-1] {
		if text, ok = p.after(text); !ok {
			return false
		}
	}
	return last.tail(text)
}

// head reports whether the text begins with the piece, and with how many bytes.
func (p piece) head(text string) (size int, ok bool) {
	if p.plain {
		return len(p.literal), strings.HasPrefix(text, p.literal)
	}
	for i, char := range p.chars {
		r, n := utf8.DecodeRuneInString(text[size:])
		if n == 0 || r != char && !p.any[i] {
			return 0, false
		}
		size += n
	}
	return size, true
}

// after returns what follows the first place of the piece in the text.
func (p piece) after(text string) (string, bool) {
	if p.plain {
		_, rest, found := strings.Cut(text, p.literal)
		return rest, found
	}
	for {
		if size, ok := p.head(text); ok {
			return text[size:], true
		}
		_, n := utf8.DecodeRuneInString(text)
		if n == 0 {
			return "", false
		}
		text = text[n:]
	}
}

// tail reports whether the text ends with the piece.
func (p piece) tail(text string) bool {
	if p.plain {
		return strings.HasSuffix(text, p.literal)
	}
	start := len(text)
	for range p.chars {
		_, n := utf8.DecodeLastRuneInString(text[:start])
		start -= n
	}
	size, ok := p.head(text[start:])
	return ok && size == len(text)-start
}

// like returns the kernel of x LIKE pattern.
func like(x kernel, m matcher) kernel {
	return func(f *frame, active bitmap) (*vector, error) {
		a, err := x(f, active)
		if err != nil {
			return nil, err
		}
		out := f.take(feature.Scalar(feature.Bool))
		copy(out.valid, a.valid)
		matches := bitsOf(out)
		clear(matches)
		for i, text := range valuesOf[string](f, a) {
			matches[i>>6] |= bit(m.match(text)) << (i & 63)
		}
		f.give(a)
		return out, nil
	}
}

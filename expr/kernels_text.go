package expr

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/asof-store/asof/feature"
)

// texts makes the loop of a function that writes a text for each value. All texts of a chunk lie in one string.
func texts[A any](write func(dst []byte, x A) []byte) func(a []A, r []string, valid bitmap) bool {
	return func(a []A, r []string, _ bitmap) bool {
		ends := make([]int, len(a))
		buf := make([]byte, 0, 16*len(a))
		for i, x := range a {
			buf = write(buf, x)
			ends[i] = len(buf)
		}
		cutTexts(string(buf), ends, r)
		return false
	}
}

// cutTexts splits s at the ends.
func cutTexts(s string, ends []int, r []string) {
	start := 0
	for i, end := range ends {
		r[i], start = s[start:end], end
	}
}

func planTexts(write func(dst []byte, s string) []byte) func(*planner, *node) kernel {
	return func(p *planner, n *node) kernel { return monadic(n, n.typ, p.node(n.args[0]), texts(write)) }
}

// lower and upper map letter by letter, without the rules of a language.
func lower(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf {
			return append(dst[:len(dst)-i], strings.ToLower(s)...)
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func upper(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf {
			return append(dst[:len(dst)-i], strings.ToUpper(s)...)
		}
		if c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// planTrim removes spaces, and nothing else, from both ends.
func planTrim(p *planner, n *node) kernel {
	return monadic(n, n.typ, p.node(n.args[0]), safe(func(a, r []string) {
		for i, s := range a {
			r[i] = strings.Trim(s, " ")
		}
	}))
}

// planLength counts the characters of a text, the bytes of bytes.
func planLength(p *planner, n *node) kernel {
	arg := p.node(n.args[0])
	if n.args[0].typ.Kind == feature.Bytes {
		return monadic(n, n.typ, arg, safe(func(a []string, r []int32) {
			for i, s := range a {
				r[i] = int32(len(s))
			}
		}))
	}
	return monadic(n, n.typ, arg, safe(func(a []string, r []int32) {
		for i, s := range a {
			r[i] = int32(utf8.RuneCountInString(s))
		}
	}))
}

func planConcat(p *planner, n *node) kernel {
	args := p.nodes(n.args)
	return func(f *frame, active bitmap) (*vector, error) {
		vs, err := every(f, active, args)
		if err != nil {
			return nil, err
		}
		out := f.take(n.typ)
		copy(out.valid, active)
		size := 0
		for _, v := range vs {
			out.valid.and(out.valid, v.valid)
		}
		for _, v := range vs {
			out.valid.each(func(i int) { size += len(v.data.([]string)[i]) })
		}
		var all strings.Builder
		all.Grow(size)
		ends := make([]int, f.rows)
		for i := range f.rows {
			for _, v := range vs {
				if out.valid.get(i) {
					all.WriteString(v.data.([]string)[i])
				}
			}
			ends[i] = all.Len()
		}
		cutTexts(all.String(), ends, valuesOf[string](f, out))
		f.give(vs...)
		return out, nil
	}
}

func planSubstring(p *planner, n *node) kernel {
	args := []kernel{p.node(n.args[0])}
	for _, a := range n.args[1:] {
		args = append(args, p.whole(a))
	}
	cut := substring
	if n.typ.Kind == feature.Bytes {
		cut = subbytes
	}
	return func(f *frame, active bitmap) (*vector, error) {
		vs, err := every(f, active, args)
		if err != nil {
			return nil, err
		}
		out := f.take(n.typ)
		copy(out.valid, f.all)
		for _, v := range vs {
			out.valid.and(out.valid, v.valid)
		}
		values, starts := valuesOf[string](f, vs[0]), valuesOf[int64](f, vs[1])
		var lengths []int64
		if len(vs) == 3 {
			lengths = valuesOf[int64](f, vs[2])
		}
		for i, r := 0, valuesOf[string](f, out); i < len(r); i++ {
			length := int64(math.MaxInt64) // to the end
			if lengths != nil {
				length = lengths[i]
			}
			r[i] = cut(values[i], starts[i], length)
		}
		f.give(vs...)
		return out, nil
	}
}

// substring returns length characters of s from the start-th, counted from 1, or from the end if start is negative; 0 is
// 1. What of it lies outside s does not count: substring('abc', -5, 3) is 'a'.
func substring(s string, start, length int64) string {
	count := utf8.RuneCountInString(s)
	from, to := span(int64(count), start, length)
	if count == len(s) {
		return s[from:to]
	}
	head := skipRunes(s, from)
	return head[:len(head)-len(skipRunes(head, to-from))]
}

// subbytes is substring for bytes.
func subbytes(s string, start, length int64) string {
	from, to := span(int64(len(s)), start, length)
	return s[from:to]
}

// span returns the part of [0, count) that start and length mean.
func span(count, start, length int64) (from, to int64) {
	switch {
	case start > 0:
		from = start - 1
	case start < 0:
		from = start + count
	}
	to = from + max(length, 0)
	if to < from {
		to = count // the sum wrapped
	}
	from = min(max(from, 0), count)
	return from, max(from, min(to, count))
}

// skipRunes returns s without its first characters.
func skipRunes(s string, count int64) string {
	for ; count > 0; count-- {
		_, n := utf8.DecodeRuneInString(s)
		s = s[n:]
	}
	return s
}

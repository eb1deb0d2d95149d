package definitions

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Bounds of what is read: far above definitions that people write, far below what hurts.
const (
	fileBytesMax = 4 << 20
	filesMax     = 4096
	nodesMax     = 200_000 // nodes of one file with every alias expanded: what stops an alias bomb
	depthMax     = 32      // definitions need 8
)

// file is one definitions file, parsed.
type file struct {
	name string // as faults show it
	text string
	docs []*yaml.Node // the root node of each document
}

// parseFile parses the YAML of a file, or returns the one fault that stopped the parser.
func parseFile(name, text string) (*file, *Fault) {
	f := &file{name: name, text: text}
	if !utf8.ValidString(text) {
		return nil, &Fault{File: name, Line: 1, Column: 1, Message: "this is not UTF-8 text"}
	}
	var docs []yaml.Node
	if err := yaml.Load([]byte(text), &docs, yaml.WithAllDocuments()); err != nil {
		return nil, syntaxFault(name, text, err)
	}
	nodes := 0
	for i := range docs {
		for _, root := range docs[i].Content {
			if at, message := expand(root, 1, &nodes); message != "" {
				return nil, &Fault{File: name, Line: at.Line, Column: at.Column, Message: message}
			}
			f.docs = append(f.docs, root)
		}
	}
	return f, nil
}

// expand counts the nodes below n as they would be without aliases, and returns where a bound is passed. An alias of
// one of its own parents ends at the bound of depth.
func expand(n *yaml.Node, depth int, nodes *int) (at *yaml.Node, message string) {
	*nodes++
	if *nodes > nodesMax {
		return n, fmt.Sprintf("the file has more than %d values (aliases count as what they repeat)", nodesMax)
	}
	if depth > depthMax {
		return n, fmt.Sprintf("values are nested more than %d deep", depthMax)
	}
	if n.Kind == yaml.AliasNode {
		if _, message := expand(n.Alias, depth+1, nodes); message != "" {
			return n, message
		}
		return nil, ""
	}
	for _, c := range n.Content {
		if at, message := expand(c, depth+1, nodes); message != "" {
			return at, message
		}
	}
	return nil, ""
}

// syntaxFault tells in one fault what the YAML parser could not read.
func syntaxFault(name, text string, err error) *Fault {
	fault := &Fault{File: name, Message: "this is not YAML: " + err.Error()}
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return fault
	}
	fault.Line, fault.Column = load.Mark.Line, load.Mark.Column
	fault.Message = "this is not YAML: " + load.Message
	if load.ContextMsg != "" {
		fault.Message += ", " + load.ContextMsg
	}
	if strings.HasSuffix(load.ContextMsg, "an alias") {
		fault.Line, fault.Column = load.ContextMark.Line, load.ContextMark.Column
		fault.Hint = `quote a value that begins with *, as in schedule: "*/15 * * * *"`
	}
	switch lines := strings.Split(text, "\n"); {
	case fault.Line < 1 || fault.Line > len(lines):
	case strings.HasPrefix(load.Message, "unknown anchor"):
		fault.Hint = `a value that begins with * is an alias to YAML: if it is none, put it in quotes, as in parquet: "*.parquet"`
	case strings.HasPrefix(at(lines[fault.Line-1], fault.Column), "@"):
		fault.Hint = `quote a value that begins with @, as in schedule: "@daily"`
	case strings.HasPrefix(at(lines[fault.Line-1], fault.Column), "\t"):
		fault.Hint = "indent with spaces: YAML takes no tabs"
	}
	return fault
}

// at returns what follows in a line from a 1-based column on.
func at(line string, column int) string {
	runes := []rune(line)
	return string(runes[min(max(column-1, 0), len(runes)):])
}

// place returns where in the file the character with the given 1-based line and column of the scalar n's value stands.
// It follows value and file text side by side, white space aside (YAML folds it), and falls back to the head of n
// where the text is written with escapes.
func (f *file) place(n *yaml.Node, valueLine, valueColumn int) (line, column int) {
	target := 0 // how many visible characters of the value stand before the one that is wanted
	for i, l := range strings.Split(n.Value, "\n") {
		for j, r := range []rune(l) {
			if i+1 < valueLine || i+1 == valueLine && j+1 < valueColumn {
				if !unicode.IsSpace(r) {
					target++
				}
			}
		}
	}
	lines := strings.Split(f.text, "\n")
	first, skip := n.Line-1, n.Column-1
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		first, skip = first+1, 0 // the line of the | or > holds nothing of the value
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		skip++
	}
	visible := []rune(strings.Join(strings.Fields(n.Value), ""))
	for i := first; i < len(lines); i++ {
		runes := []rune(lines[i])
		for j := skip; j < len(runes); j++ {
			switch {
			case unicode.IsSpace(runes[j]):
			case target == 0:
				return i + 1, j + 1
			case len(visible) == 0 || runes[j] != visible[0]:
				return n.Line, n.Column
			default:
				if runes[j] == '\'' && n.Style&yaml.SingleQuotedStyle != 0 {
					j++ // written twice
				}
				visible, target = visible[1:], target-1
			}
		}
		skip = 0
	}
	return n.Line, n.Column
}

package lint

import "go/ast"

// The most that a reader has to hold at once.
const (
	fileLinesMax     = 500
	functionLinesMax = 70
)

// checkFileSize bounds files, tests too.
func checkFileSize(p *Package) []Finding {
	var found []Finding
	for _, f := range p.Files {
		if !f.Generated && f.Lines > fileLinesMax {
			found = append(found, p.at(f, f.AST.Package, "the file has %d lines, more than %d: split it by what its parts are about", f.Lines, fileLinesMax))
		}
	}
	return found
}

// checkFunctionSize bounds functions outside of tests.
func checkFunctionSize(p *Package) []Finding {
	var found []Finding
	for _, f := range p.code() {
		for _, d := range f.AST.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if lines := p.fset.Position(fn.End()).Line - p.fset.Position(fn.Pos()).Line + 1; lines > functionLinesMax {
				found = append(found, p.at(f, fn.Pos(), "function %s has %d lines, more than %d", fn.Name.Name, lines, functionLinesMax))
			}
		}
	}
	return found
}

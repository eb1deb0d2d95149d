package lint

import (
	"go/ast"
	"go/token"
	"slices"
)

// checkComments wants a comment on every package and on every exported identifier outside of tests.
func checkComments(p *Package) []Finding {
	var found []Finding
	code := p.code()
	if len(code) > 0 && !slices.ContainsFunc(code, func(f *File) bool { return f.AST.Doc != nil }) {
		found = append(found, p.at(code[0], code[0].AST.Package, "package %s has no comment", p.Path))
	}
	for _, f := range code {
		for _, d := range f.AST.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && receiverExported(d) {
					found = append(found, p.at(f, d.Pos(), "exported %s has no comment", d.Name.Name))
				}
			case *ast.GenDecl:
				for _, name := range uncommented(d) {
					found = append(found, p.at(f, name.Pos(), "exported %s has no comment", name.Name))
				}
			}
		}
	}
	return found
}

// uncommented returns the exported names of d that have no comment of their own, beside them, or on their group.
func uncommented(d *ast.GenDecl) []*ast.Ident {
	if d.Tok == token.IMPORT || d.Doc != nil {
		return nil
	}
	var names []*ast.Ident
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if s.Doc == nil && s.Comment == nil && s.Name.IsExported() {
				names = append(names, s.Name)
			}
		case *ast.ValueSpec:
			for _, name := range s.Names {
				if s.Doc == nil && s.Comment == nil && name.IsExported() {
					names = append(names, name)
				}
			}
		}
	}
	return names
}

// receiverExported reports whether d is a function, or a method of an exported type; methods of
// unexported types are seen through interfaces, which describe them.
func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	for {
		switch e := t.(type) {
		case *ast.StarExpr:
			t = e.X
		case *ast.IndexExpr:
			t = e.X
		case *ast.IndexListExpr:
			t = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return false
		}
	}
}

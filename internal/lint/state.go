package lint

import (
	"go/ast"
	"go/token"
	"strings"
)

// goAllowed lists the files that may start a goroutine without errgroup, with the reason.
func goAllowed() map[string]string {
	return map[string]string{}
}

// checkInit refuses init functions: nothing happens because a package is linked.
func checkInit(p *Package) []Finding {
	var found []Finding
	for _, f := range p.code() {
		for _, d := range f.AST.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				found = append(found, p.at(f, fn.Pos(), "init runs because the package is linked: do its work where it is asked for"))
			}
		}
	}
	return found
}

// checkGo refuses go statements: errgroup, or a Run(ctx) error that returns after its children, own goroutines.
func checkGo(p *Package) []Finding {
	var found []Finding
	for _, f := range p.code() {
		if goAllowed()[f.Path] != "" {
			continue
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				found = append(found, p.at(f, g.Pos(), "a goroutine without an owner: use errgroup, so that it is waited for and its error is kept"))
			}
			return true
		})
	}
	return found
}

// checkState refuses package variables that can change. Those that have a value and are never written are constants in effect: error
// sentinels, tables, regular expressions, embedded files.
func checkState(p *Package) []Finding {
	var found []Finding
	written := p.written()
	for _, f := range p.code() {
		for _, d := range f.AST.Decls {
			vars, ok := d.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, s := range vars.Specs {
				spec := s.(*ast.ValueSpec)
				for i, name := range spec.Names {
					if fault := stateFault(vars, spec, i, written); fault != "" {
						found = append(found, p.at(f, name.Pos(), "package variable %s %s: pass what it holds to those who need it", name.Name, fault))
					}
				}
			}
		}
	}
	return found
}

// stateFault says why variable i of spec is state, "" if it is none.
func stateFault(vars *ast.GenDecl, spec *ast.ValueSpec, i int, written map[string]bool) string {
	name := spec.Names[i].Name
	switch {
	case name == "_" || isEmbed(vars.Doc) || isEmbed(spec.Doc):
		return ""
	case len(spec.Values) == 0:
		return "has no value of its own, so something sets it later"
	case written[name]:
		return "is written, or its address is taken"
	case ast.IsExported(name) && !strings.HasPrefix(name, "Err"):
		return "is exported, so anybody can set it"
	}
	if i < len(spec.Values) {
		return valueFault(spec.Values[i])
	}
	return ""
}

// valueFault says why a value is there to be changed.
func valueFault(value ast.Expr) string {
	if unary, ok := value.(*ast.UnaryExpr); ok {
		value = unary.X
	}
	switch v := value.(type) {
	case *ast.CallExpr:
		if fn, ok := v.Fun.(*ast.Ident); ok && (fn.Name == "make" || fn.Name == "new") {
			return "is made empty, so something fills it later"
		}
	case *ast.CompositeLit:
		if t, ok := v.Type.(*ast.SelectorExpr); ok {
			if pkg, ok := t.X.(*ast.Ident); ok && (pkg.Name == "sync" || pkg.Name == "atomic") {
				return "is of package " + pkg.Name + ", which is for state"
			}
		}
		if _, isMap := v.Type.(*ast.MapType); isMap && len(v.Elts) == 0 {
			return "is made empty, so something fills it later"
		}
	}
	return ""
}

func isEmbed(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed ") {
			return true
		}
	}
	return false
}

// written returns the names of package variables that are assigned, counted up, or whose address is taken, in any function.
func (p *Package) written() map[string]bool {
	names := map[string]bool{}
	for _, f := range p.Files {
		if f.Generated {
			continue
		}
		note := func(e ast.Expr) {
			if id := root(e); id != nil && isPackageLevel(f.AST, id) {
				names[id.Name] = true
			}
		}
		ast.Inspect(f.AST, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, left := range n.Lhs {
						note(left)
					}
				}
			case *ast.IncDecStmt:
				note(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					note(n.X)
				}
			case *ast.RangeStmt:
				if n.Tok == token.ASSIGN {
					note(n.Key)
					note(n.Value)
				}
			}
			return true
		})
	}
	return names
}

// root returns the identifier whose variable a write to e changes, nil where there is none.
func root(e ast.Expr) *ast.Ident {
	switch e := e.(type) {
	case *ast.Ident:
		return e
	case *ast.IndexExpr:
		return root(e.X)
	case *ast.SelectorExpr:
		return root(e.X)
	case *ast.StarExpr:
		return root(e.X)
	case *ast.ParenExpr:
		return root(e.X)
	}
	return nil
}

// isPackageLevel reports whether id is not a variable of a function: the parser resolves those, and those of the package
// that are declared in the same file.
func isPackageLevel(file *ast.File, id *ast.Ident) bool {
	if id.Obj == nil {
		return true
	}
	return file.Scope.Lookup(id.Name) == id.Obj
}

// Package lint holds the project's Go code to its house rules, as far as a machine can see them: who may import what, how
// long files and functions are, that there is no package state, no init, no goroutine without an owner, and a comment on what
// is exported. Its test runs all rules on the module; linters from elsewhere run beside it (make lint).
package lint

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// modulePath begins the import paths of the module's own packages.
const modulePath = "github.com/asof-store/asof/"

// Finding is a place that breaks a rule.
type Finding struct {
	Place   string // file:line, from the module's root
	Message string
}

// String returns the finding as compilers write theirs.
func (f Finding) String() string { return f.Place + ": " + f.Message }

// Package is a directory of parsed Go files.
type Package struct {
	Path  string // from the module's root, "cmd/asof"
	Files []*File
	fset  *token.FileSet
}

// File is a parsed Go file.
type File struct {
	Path  string // from the module's root
	AST   *ast.File
	Lines int
	// Test files and generated ones are free of most rules.
	Test, Generated bool
}

// Rule is one of the house rules.
type Rule struct {
	Name  string
	Check func(*Package) []Finding
}

// Rules returns all rules.
func Rules() []Rule {
	return []Rule{
		{"imports", checkImports},
		{"names", checkNames},
		{"file size", checkFileSize},
		{"function size", checkFunctionSize},
		{"no init", checkInit},
		{"no package state", checkState},
		{"no bare go", checkGo},
		{"comments", checkComments},
	}
}

// Load parses all packages below root, the module's root, except those of nested modules and testdata.
func Load(root string) ([]*Package, error) {
	byDir := map[string]*Package{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		relative = filepath.ToSlash(relative)
		if d.IsDir() {
			if relative != "." && skipped(name, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		dir := path.Dir(relative)
		if byDir[dir] == nil {
			byDir[dir] = &Package{Path: dir, fset: token.NewFileSet()}
		}
		return byDir[dir].parse(name, relative, nil)
	})
	packages := make([]*Package, 0, len(byDir))
	for _, p := range byDir {
		packages = append(packages, p)
	}
	slices.SortFunc(packages, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
	return packages, err
}

// skipped reports whether a directory holds nothing of this module's, by go's own rules.
func skipped(dir, name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// parse adds the file called name, or the text of source if that is not nil.
func (p *Package) parse(name, relative string, source any) error {
	tree, err := parser.ParseFile(p.fset, name, source, parser.ParseComments)
	if err != nil {
		return errors.Join(errors.New(relative+" does not parse"), err)
	}
	p.Files = append(p.Files, &File{
		Path: relative, AST: tree, Lines: p.fset.File(tree.Pos()).LineCount(),
		Test: strings.HasSuffix(relative, "_test.go"), Generated: ast.IsGenerated(tree),
	})
	return nil
}

// code returns the files that are neither tests nor generated.
func (p *Package) code() []*File {
	return slices.DeleteFunc(slices.Clone(p.Files), func(f *File) bool { return f.Test || f.Generated })
}

// at makes a finding at a position of f.
func (p *Package) at(f *File, pos token.Pos, format string, args ...any) Finding {
	return Finding{Place: fmt.Sprintf("%s:%d", f.Path, p.fset.Position(pos).Line), Message: fmt.Sprintf(format, args...)}
}

package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestHouse runs every rule on the module.
func TestHouse(t *testing.T) {
	packages, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(packages) < 10 {
		t.Fatalf("only %d packages: the module is not where the test looks", len(packages))
	}
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, p := range packages {
				for _, f := range rule.Check(p) {
					t.Error(f)
				}
			}
		})
	}
}

// TestSemanticsNamesItsTests checks that every test, and every script, that docs/semantics.md names is there.
func TestSemanticsNamesItsTests(t *testing.T) {
	packages, err := Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, p := range packages {
		for _, f := range p.Files {
			for _, d := range f.AST.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					there[fn.Name.Name] = true
				}
			}
		}
	}
	text, err := os.ReadFile("../../docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)[^`]*`").FindAllSubmatch(text, -1)
	if len(named) < 20 {
		t.Fatalf("the page names only %d tests: the pattern does not find them", len(named))
	}
	for _, m := range named {
		if !there[string(m[1])] {
			t.Errorf("there is no test %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`([0-9]_[a-z]+)`").FindAllSubmatch(text, -1) {
		if _, err := os.Stat("../endtoend/testdata/scripts/" + string(m[1]) + ".txt"); err != nil {
			t.Errorf("there is no script %s", m[1])
		}
	}
}

// snippet parses files, given as path and text in turn, as one package.
func snippet(t *testing.T, files ...string) *Package {
	t.Helper()
	p := &Package{fset: token.NewFileSet()}
	for i := 0; i < len(files); i += 2 {
		p.Path = files[i][:strings.LastIndex(files[i], "/")]
		if err := p.parse(files[i], files[i], files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// TestRules shows each rule something that it lets pass and something that it must not.
func TestRules(t *testing.T) {
	imports := func(name string) string {
		return fmt.Sprintf("package p\n\nimport _ %q\n", name)
	}
	const own = modulePath
	many := strings.Repeat("\n", fileLinesMax+1)
	long := "package p\n\nfunc f() {" + strings.Repeat("\n", functionLinesMax) + "}\n"
	for name, c := range map[string]struct {
		rule  string
		files []string
		want  string // in the finding; "" for none
	}{
		"down":                       {"imports", []string{"online/a.go", imports(own + "feature")}, ""},
		"the standard library":       {"imports", []string{"feature/a.go", imports("go/ast")}, ""},
		"up":                         {"imports", []string{"feature/a.go", imports(own + "online")}, "feature/a.go:3: feature may not import online"},
		"a neighbour":                {"imports", []string{"online/a.go", imports(own + "offline")}, "may not import offline"},
		"server to materialize":      {"imports", []string{"server/a.go", imports(own + "materialize")}, "may not import materialize"},
		"a test may":                 {"imports", []string{"online/a_test.go", imports(own + "server")}, ""},
		"a new package":              {"imports", []string{"house/a.go", "package p\n"}, "not in the table"},
		"an unknown package":         {"imports", []string{"server/a.go", imports(own + "house")}, "may not import house"},
		"the wire outside":           {"imports", []string{"materialize/a.go", imports(own + "proto/asof/v1")}, "is for server"},
		"parquetio outside":          {"imports", []string{"pointintime/a.go", imports(own + "internal/parquetio")}, "is for source, offline"},
		"badger in online":           {"imports", []string{"online/a.go", imports("github.com/dgraph-io/badger/v4")}, ""},
		"badger outside":             {"imports", []string{"server/a.go", imports("github.com/dgraph-io/badger/v4")}, "stops in online"},
		"iceberg outside":            {"imports", []string{"materialize/a.go", imports("github.com/apache/iceberg-go/table")}, "stops in offline"},
		"parquet outside":            {"imports", []string{"materialize/a.go", imports("github.com/parquet-go/parquet-go")}, "stops in internal/parquetio"},
		"protobuf outside":           {"imports", []string{"online/a.go", imports("google.golang.org/protobuf/proto")}, "stops in server"},
		"grpc outside":               {"imports", []string{"online/a.go", imports("google.golang.org/grpc/codes")}, "stops in server"},
		"yaml outside":               {"imports", []string{"server/a.go", imports("go.yaml.in/yaml/v4")}, "stops in definitions"},
		"arrow's parquet":            {"imports", []string{"source/a.go", imports("github.com/apache/arrow-go/v18/parquet/file")}, "stops in internal/tabular"},
		"a library not in the table": {"imports", []string{"server/a.go", imports("example.com/x")}, "nothing may import example.com/x"},
		"a library for tests":        {"imports", []string{"server/a.go", imports("pgregory.net/rapid")}, "nothing may import"},

		"a name":     {"names", []string{"online/a.go", "package online\n"}, ""},
		"no name":    {"names", []string{"internal/util/a.go", "package util\n"}, "says nothing"},
		"short file": {"file size", []string{"p/a.go", "package p\n"}, ""},
		"long file":  {"file size", []string{"p/a_test.go", "package p" + many}, "501 lines"},
		"generated":  {"file size", []string{"p/a.go", "// Code generated by x. DO NOT EDIT.\npackage p" + many}, ""},

		"short function": {"function size", []string{"p/a.go", "package p\n\nfunc f() {\n}\n"}, ""},
		"long function":  {"function size", []string{"p/a.go", long}, "function f has 71 lines"},
		"long test":      {"function size", []string{"p/a_test.go", long}, ""},

		"a method init":      {"no init", []string{"p/a.go", "package p\n\nfunc (t T) init() {}\n"}, ""},
		"an init":            {"no init", []string{"p/a.go", "package p\n\nfunc init() {}\n"}, "p/a.go:3: init"},
		"errgroup":           {"no bare go", []string{"p/a.go", "package p\n\nfunc f() { g.Go(h) }\n"}, ""},
		"go":                 {"no bare go", []string{"p/a.go", "package p\n\nfunc f() {\n\tgo h()\n}\n"}, "p/a.go:4: a goroutine"},
		"go in a test":       {"no bare go", []string{"p/a_test.go", "package p\n\nfunc f() { go h() }\n"}, ""},
		"an error":           {"no package state", []string{"p/a.go", "package p\n\nvar ErrX = errors.New(\"x\")\n"}, ""},
		"a table":            {"no package state", []string{"p/a.go", "package p\n\nvar names = [...]string{\"x\"}\n\nfunc f() { names := 1; names = 2; _ = names }\n"}, ""},
		"an assertion":       {"no package state", []string{"p/a.go", "package p\n\nvar _ I = T{}\n"}, ""},
		"an embedded file":   {"no package state", []string{"p/a.go", "package p\n\n//go:embed x.txt\nvar x string\n"}, ""},
		"no value":           {"no package state", []string{"p/a.go", "package p\n\nvar cache map[string]int\n"}, "p/a.go:3: package variable cache has no value"},
		"made":               {"no package state", []string{"p/a.go", "package p\n\nvar cache = make(map[string]int)\n"}, "made empty"},
		"an empty map":       {"no package state", []string{"p/a.go", "package p\n\nvar cache = map[string]int{}\n"}, "made empty"},
		"a lock":             {"no package state", []string{"p/a.go", "package p\n\nvar mu = &sync.Mutex{}\n"}, "package sync"},
		"assigned":           {"no package state", []string{"p/a.go", "package p\n\nvar n = 1\n\nfunc f() { n = 2 }\n"}, "is written"},
		"assigned elsewhere": {"no package state", []string{"p/a.go", "package p\n\nvar n = 1\n", "p/b.go", "package p\n\nfunc f() { n++ }\n"}, "is written"},
		"an element":         {"no package state", []string{"p/a.go", "package p\n\nvar m = map[int]int{1: 2}\n\nfunc f() { m[2] = 3 }\n"}, "is written"},
		"an address":         {"no package state", []string{"p/a.go", "package p\n\nvar n = 1\n\nfunc f() { g(&n) }\n"}, "is written"},
		"exported":           {"no package state", []string{"p/a.go", "package p\n\nvar Limit = 3\n"}, "is exported"},

		"commented":          {"comments", []string{"p/a.go", "// Package p is p.\npackage p\n\n// F is f.\nfunc F() {}\n\n// The xs.\nconst (\n\tX = 1\n)\n\nconst (\n\tY = 1 // Y is y\n)\n\nfunc (t t) M() {}\n"}, ""},
		"no package comment": {"comments", []string{"p/a.go", "package p\n"}, "package p has no comment"},
		"a function":         {"comments", []string{"p/a.go", "// Package p is p.\npackage p\n\nfunc F() {}\n"}, "p/a.go:4: exported F has no comment"},
		"a method":           {"comments", []string{"p/a.go", "// Package p is p.\npackage p\n\nfunc (t *T[K]) M() {}\n"}, "exported M"},
		"a type":             {"comments", []string{"p/a.go", "// Package p is p.\npackage p\n\ntype T int\n"}, "exported T"},
		"a constant":         {"comments", []string{"p/a.go", "// Package p is p.\npackage p\n\nconst (\n\tX = 1\n)\n"}, "exported X"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, rule := range Rules() {
				if rule.Name != c.rule {
					continue
				}
				var text []string
				for _, f := range rule.Check(snippet(t, c.files...)) {
					text = append(text, f.String())
				}
				found := strings.Join(text, "\n")
				if c.want == "" && found != "" || !strings.Contains(found, c.want) {
					t.Errorf("found %q, want %q", found, c.want)
				}
				return
			}
			t.Errorf("there is no rule %q", c.rule)
		})
	}
}

package lint

import (
	"slices"
	"strconv"
	"strings"
)

// layers puts each package on a line of the table of docs/architecture.md. A package imports only from lines below its own, so
// neighbours on a line do not import each other.
func layers() map[string]int {
	return map[string]int{
		"internal/uncleared": -1,
		"feature":            0, "internal/behind": 0, "internal/disk": 0, "internal/filelock": 0, "internal/interleave": 0, "internal/lint": 0, "internal/material": 0, "internal/memlimit": 0, "internal/nearest": 0, "internal/progress": 0, "internal/stages": 0, "proto/asof/v1": 0, "proto/feast/types": 0,
		"expr": 1, "ondemand": 1, "internal/keysort": 1, "internal/parquetio": 1, "proto/feast/serving": 1,
		"source": 2, "offline": 2, "online": 2, "aggregate": 2, "internal/tabular": 2,
		"internal/simulate": 3,
		"definitions":       3, "pointintime": 3,
		"materialize": 4, "server": 4,
		"internal/monitor":  5,
		"cmd/asof":          6,
		"bench":             7, // benchmarks and tests of everything
		"internal/endtoend": 7, "internal/simulation": 7,
	}
}

// reserved lists the packages that only some of those above them may import.
func reserved() map[string][]string {
	return map[string][]string{
		"proto/asof/v1":       {"server", "cmd/asof", "bench", "internal/endtoend"},
		"proto/feast/serving": {"server"},
		"proto/feast/types":   {"server", "proto/feast/serving"},
		"internal/parquetio":  {"source", "offline", "internal/tabular"},
		"internal/progress":   {"cmd/asof"},
		"internal/monitor":    {"cmd/asof"},
		"internal/simulate":   {"cmd/asof", "internal/endtoend"},
		"internal/lint":       {},
	}
}

// family is a group of import paths from outside, and the packages it stops in.
type family struct {
	prefix string
	in     []string // nil: anywhere
}

// families says where libraries may be imported; the longest prefix that fits decides, and one that is not here may not be imported
// at all outside of tests.
func families() []family {
	parquet := []string{"internal/parquetio", "source", "offline"}
	wire := []string{"server", "proto/asof/v1", "proto/feast/serving", "proto/feast/types", "cmd/asof", "bench"}
	return []family{
		{"github.com/apache/arrow-go/v18/arrow", nil}, // batches travel between packages
		{"github.com/apache/arrow-go/v18/parquet", []string{"internal/tabular"}},
		{"github.com/apache/iceberg-go", []string{"offline"}},
		{"github.com/parquet-go/", parquet},
		{"github.com/andybalholm/brotli", []string{"internal/parquetio"}},
		{"github.com/klauspost/compress", []string{"internal/parquetio", "bench"}},
		{"github.com/pierrec/lz4", []string{"internal/parquetio"}},
		{"github.com/dgraph-io/badger", []string{"online", "bench"}},
		{"github.com/dgraph-io/ristretto", []string{"online"}},
		{"github.com/VictoriaMetrics/fastcache", []string{"online"}},
		{"google.golang.org/grpc", wire},
		{"google.golang.org/protobuf", wire},
		{"google.golang.org/genproto", wire},
		{"github.com/grpc-ecosystem/grpc-gateway", wire},
		// The settings file of the process is YAML too, and its faults have positions.
		{"go.yaml.in/yaml", []string{"definitions", "cmd/asof"}},
		{"github.com/alecthomas/participle", []string{"expr"}},
		{"github.com/bmatcuk/doublestar", []string{"source"}},
		{"github.com/robfig/cron", []string{"definitions", "materialize"}},
		{"github.com/DataDog/sketches-go", []string{"aggregate"}},
		{"github.com/axiomhq/hyperloglog", []string{"aggregate"}},
		{"github.com/prometheus/client_golang", []string{"internal/monitor"}},
		{"github.com/google/uuid", []string{"offline", "materialize"}},
		{"github.com/spf13/cobra", []string{"cmd/asof"}},
		{"github.com/spf13/viper", []string{"cmd/asof"}},
		{"github.com/schollz/progressbar", []string{"cmd/asof", "internal/progress"}},
		{"golang.org/x/term", []string{"cmd/asof", "internal/progress"}},
		{"golang.org/x/sys", []string{"internal/disk", "internal/parquetio", "bench"}},
		{"golang.org/x/sync", nil},
	}
}

// checkImports holds the imports of a package against the three tables.
func checkImports(p *Package) []Finding {
	var found []Finding
	layer, known := layers()[p.Path]
	for _, f := range p.Files {
		if f.Test {
			continue
		}
		if !known {
			return []Finding{p.at(f, f.AST.Package, "package %s is not in the table of layers in internal/lint: put it on a line of docs/architecture.md's table first", p.Path)}
		}
		for _, spec := range f.AST.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				name = spec.Path.Value
			}
			if fault := importFault(p.Path, layer, name); fault != "" {
				found = append(found, p.at(f, spec.Pos(), "%s", fault))
			}
		}
	}
	return found
}

// importFault says why package from, on the given layer, may not import name; "" if it may.
func importFault(from string, layer int, name string) string {
	if own, ok := strings.CutPrefix(name, modulePath); ok {
		below, known := layers()[own]
		if allowed, is := reserved()[own]; is && !slices.Contains(allowed, from) {
			return from + " may not import " + own + ", which is for " + strings.Join(allowed, ", ")
		}
		if !known || below >= layer {
			return from + " may not import " + own + ": imports only point down the table of docs/architecture.md"
		}
		return ""
	}
	if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") {
		return "" // the standard library
	}
	best := family{}
	for _, f := range families() {
		if strings.HasPrefix(name, f.prefix) && len(f.prefix) > len(best.prefix) {
			best = f
		}
	}
	switch {
	case best.prefix == "":
		return "nothing may import " + name + ": add it to the table of families in internal/lint, and to docs/dependencies.md with the reason for it"
	case best.in != nil && !slices.Contains(best.in, from):
		return from + " may not import " + name + ", which stops in " + strings.Join(best.in, ", ")
	}
	return ""
}

// checkNames refuses package names that say nothing.
func checkNames(p *Package) []Finding {
	empty := []string{"util", "utils", "common", "helper", "helpers", "pkg", "misc", "shared", "base", "lib"}
	for part := range strings.SplitSeq(p.Path, "/") {
		if slices.Contains(empty, part) {
			return []Finding{{Place: p.Path, Message: "a package called " + part + " says nothing about what it is: name it for what it does"}}
		}
	}
	return nil
}

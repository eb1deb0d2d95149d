package expr

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/asof-store/asof/feature"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts of testdata give now")

// TestScripts runs testdata/*.txt: a table of columns and their types, and lines of an expression, an arrow, and what it gives:
// its type and the value of each row of the last table above, or an error. go test ./expr -run Scripts -rewrite writes them anew.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(script))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(strings.Split(string(script), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("the script says -, now it is +:\n%s", diff)
			}
		})
	}
}

const resultMark = " -> "

// runScript returns the script with the results that its expressions give now.
func runScript(t *testing.T, script string) string {
	data := &table{}
	lines := strings.Split(script, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case line == "table":
			end := i + 1 + slices.Index(lines[i+1:], "")
			data = readTable(t, lines[i+1:end])
			i = end
		case strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "":
		default:
			src, _, _ := strings.Cut(line, strings.TrimRight(resultMark, " "))
			src = strings.TrimRight(src, " ")
			lines[i] = src + strings.Repeat(" ", max(0, 40-len([]rune(src)))) + resultMark + evaluate(t, src, data)
		}
	}
	return strings.Join(lines, "\n")
}

func evaluate(t *testing.T, src string, data *table) string {
	p, err := Compile(src, data.typeOf, Options{Names: func() []string { return data.names }})
	if err != nil {
		return "error " + err.Error()
	}
	if again, err := Compile(p.SparkSQL(), data.typeOf, Options{}); err != nil || again.SparkSQL() != p.SparkSQL() {
		t.Errorf("%s is printed as %s, which is not read back: %v", src, p.SparkSQL(), err)
	}
	agree(t, p, data)
	a, err := p.Eval(data.column, data.rows)
	if err != nil {
		return "error " + err.Error()
	}
	var values []string
	for i := range data.rows {
		values = append(values, formatValue(valueOf(a, i), p.Type().Kind == feature.Bytes))
	}
	return p.Type().String() + ": " + strings.Join(values, ", ")
}

func readTable(t *testing.T, lines []string) *table {
	data := &table{}
	for _, column := range splitCells(lines[0]) {
		name, typeName, _ := strings.Cut(column, ":")
		typ, err := feature.ParseType(typeName)
		if err != nil {
			t.Fatal(err)
		}
		var values []any
		for _, line := range lines[1:] {
			values = append(values, readValue(t, splitCells(line)[len(data.names)], typ))
		}
		data.add(name, typ, values, 3)
	}
	return data
}

func splitCells(line string) []string {
	cells := strings.Split(line, "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

func readValue(t *testing.T, cell string, typ feature.Type) any {
	if cell == "NULL" {
		return nil
	}
	if typ.List {
		list := []any{}
		for _, e := range strings.Fields(strings.Trim(cell, "[]")) {
			list = append(list, readValue(t, e, feature.Scalar(typ.Kind)))
		}
		return list
	}
	var v any
	var err error
	switch typ.Kind {
	case feature.Bool:
		v, err = strconv.ParseBool(cell)
	case feature.Int32:
		var whole int64
		whole, err = strconv.ParseInt(cell, 10, 32)
		v = int32(whole)
	case feature.Int64:
		v, err = strconv.ParseInt(cell, 10, 64)
	case feature.Float32:
		var f float64
		f, err = strconv.ParseFloat(cell, 32)
		v = float32(f)
	case feature.Float64:
		v, err = strconv.ParseFloat(cell, 64)
	case feature.Timestamp:
		micros, exact, ok := parseTimestamp(cell)
		if !exact || !ok {
			err = fmt.Errorf("no timestamp")
		}
		v = feature.Time(micros)
	case feature.String:
		v = unquoteString(cell)
	case feature.Bytes:
		var b []byte
		b, err = hex.DecodeString(cell)
		v = string(b)
	}
	if err != nil {
		t.Fatalf("%s: %v", cell, err)
	}
	return v
}

func formatValue(v any, isBytes bool) string {
	switch v := v.(type) {
	case nil:
		return "NULL"
	case string:
		if isBytes {
			return hex.EncodeToString([]byte(v))
		}
		return quoteString(v)
	case []any:
		var elements []string
		for _, e := range v {
			elements = append(elements, formatValue(e, isBytes))
		}
		return "[" + strings.Join(elements, " ") + "]"
	}
	return fmt.Sprint(v)
}

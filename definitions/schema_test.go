package definitions

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// compiled returns the JSON Schema, ready to validate.
func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("features.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("features.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaGolden(t *testing.T) { golden(t, "testdata/features.schema.json", string(Schema())) }

// jsonOf returns a YAML node as the JSON that an editor checks; ok is false for what JSON cannot say: tags, keys that are
// no text, keys given twice.
func jsonOf(n *yaml.Node) (v any, ok bool) {
	n = deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := deref(n.Content[i])
			if _, twice := m[key.Value]; twice || !fits(key, textShape) {
				return nil, false
			}
			if m[key.Value], ok = jsonOf(n.Content[i+1]); !ok {
				return nil, false
			}
		}
		return m, n.ShortTag() == "!!map"
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			item, ok := jsonOf(c)
			if !ok {
				return nil, false
			}
			list = append(list, item)
		}
		return list, n.ShortTag() == "!!seq"
	}
	switch n.ShortTag() {
	case "!!null":
		return nil, true
	case "!!bool":
		return strings.EqualFold(n.Value, "true"), true
	case "!!int", "!!float":
		return 1.5, true // no number means anything to the schema
	}
	return n.Value, fits(n, textShape)
}

// agree fails t unless checker and schema judge the document alike.
func agree(t interface {
	Helper()
	Fatalf(string, ...any)
}, schema *jsonschema.Schema, text string, f *file) {
	t.Helper()
	for _, root := range f.docs {
		doc, ok := jsonOf(root)
		if !ok {
			continue
		}
		c := &checker{file: f, bad: map[*yaml.Node]bool{}}
		c.check(root, fileShape(), fileLabel)
		err := schema.Validate(doc)
		if (err == nil) != (len(c.faults) == 0) {
			t.Fatalf("Load's check and the schema differ on\n%s\ncheck: %v\nschema: %v", text, c.faults, err)
		}
	}
}

// TestSchemaAgrees holds the schema against the checker on every file of testdata and the example.
func TestSchemaAgrees(t *testing.T) {
	schema := compiled(t)
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rejected := 0
	for _, path := range append(paths, "testdata/base.yaml", "../features.example.yaml") {
		text := read(t, path)
		f, fault := parseFile(path, text)
		if fault != nil {
			continue
		}
		agree(t, schema, path+":\n"+text, f)
		for _, root := range f.docs {
			if doc, ok := jsonOf(root); ok && schema.Validate(doc) != nil {
				rejected++
			}
		}
	}
	if rejected < 40 {
		t.Errorf("the schema rejects %d files of testdata: too few to mean something", rejected)
	}
}

// TestSchemaAgreesOnRandom does so on random documents whose keys are those of the table.
func TestSchemaAgreesOnRandom(t *testing.T) {
	schema := compiled(t)
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		writeRandom(t, &b, fileShape(), 6)
		f, fault := parseFile("f", b.String())
		if fault != nil {
			t.Fatalf("%s\n%s", b.String(), fault)
		}
		agree(t, schema, b.String(), f)
	})
}

// writeRandom writes flow YAML that mostly has the shape s.
func writeRandom(t *rapid.T, b *strings.Builder, s *shape, depth int) {
	if depth == 0 || rapid.IntRange(0, 40).Draw(t, "off") == 0 {
		b.WriteString(rapid.SampledFrom([]string{"~", "5", "true", "x", `""`, "[]", "{}", "{a: b}", "[1]", "1.5", "2024-01-01", "7d", `"a b"`}).Draw(t, "junk"))
		return
	}
	switch s.kind {
	case textShape:
		choices := []string{"a", "name_1", "7d", "int64", "fail", "1d12h", strings.Repeat("n", nameBytesMax)}
		b.WriteString(rapid.SampledFrom(append(choices, s.options...)).Draw(t, "text"))
	case flagShape:
		b.WriteString("true")
	case numberShape:
		b.WriteString(rapid.SampledFrom([]string{"1", "0.5", "-3", "1e9", ".nan"}).Draw(t, "number"))
	case numbersShape:
		b.WriteString(rapid.SampledFrom([]string{"1", "0.5", "[0, 1]", "[]", "[0.5]"}).Draw(t, "numbers"))
	case scalarShape, valueShape:
		b.WriteString(rapid.SampledFrom([]string{"1", "a", "false"}).Draw(t, "scalar"))
	case listShape:
		b.WriteString("[")
		for i := range rapid.IntRange(s.itemsMin, 2).Draw(t, "items") {
			if i > 0 {
				b.WriteString(", ")
			}
			writeRandom(t, b, s.item, depth-1)
		}
		b.WriteString("]")
	case dictShape:
		b.WriteString("{key: ")
		writeRandom(t, b, s.item, depth-1)
		b.WriteString("}")
	case recordShape:
		b.WriteString("{")
		for _, f := range s.fields {
			if f.required && rapid.IntRange(0, 60).Draw(t, "leave out") == 0 || !f.required && rapid.IntRange(0, 3).Draw(t, "take") > 0 {
				continue
			}
			b.WriteString(f.name + ": ")
			writeRandom(t, b, f.shape, depth-1)
			b.WriteString(", ")
		}
		b.WriteString("}")
	}
}

// FuzzLoad: no bytes make Load panic; what loads has names that do not clash, and loads from a registry record to the
// same model; the schema judges it as the checker does.
func FuzzLoad(f *testing.F) {
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range append(paths, "testdata/base.yaml", "../features.example.yaml") {
		f.Add(read(f, path))
	}
	schema := compiled(f)
	f.Fuzz(func(t *testing.T, text string) {
		if parsed, fault := parseFile("f.yaml", text); fault == nil {
			agree(t, schema, text, parsed)
		}
		m, err := loadText("f.yaml", text)
		if err != nil {
			return
		}
		for _, s := range m.Services {
			if err := s.CheckNames(false); err != nil {
				t.Fatal(err)
			}
		}
		again, err := loadText("f.yaml", text)
		if err != nil || again.Hash != m.Hash {
			t.Fatalf("loaded twice: %v, hashes %s and %s", err, m.Hash, again.Hash)
		}
		if p := NewPlan(m, again); !p.Empty() {
			t.Fatalf("loaded twice, and the plan is\n%s", p)
		}
	})
}

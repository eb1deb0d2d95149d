package definitions

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/source"
	"github.com/google/go-cmp/cmp"
)

var rewrite = flag.Bool("rewrite", false, "write the expected files in testdata anew")

// tables gives the columns of the tables that the tests define sources on, by the directory below data/. They are those
// of the demo, and a column of nothing but NULLs.
func tables(dir string) (*source.Schema, error) {
	text := map[string]string{
		"transactions": `tx_id int64, tx_time timestamp, loaded_at timestamp, customer_id int64, terminal_id int64, amount float64,
			currency string, is_online bool, merchant.category string, merchant.country string, month string, remarks null`,
		"investigations": `tx_id int64, tx_time timestamp, closed_at timestamp, terminal_id int64, is_fraud bool`,
		"customers": `customer_id int64, updated_at timestamp, loaded_at timestamp, birth_year int32, home_country string, income float64,
			segments list<string>`,
		"terminals": `terminal_id int64, updated_at timestamp, risk_band string, lat float64, lon float64, installed_on timestamp`,
		"market":    `as_of timestamp, eur_usd float64, fraud_pressure float64`,
	}[dir]
	if text == "" {
		return nil, feature.Errorf(feature.ErrNotFound, "no file matches %s", dir)
	}
	return schemaOf(text), nil
}

// schemaOf returns the schema that a text such as "a int64, b string" describes; null is a column of NULLs.
func schemaOf(text string) *source.Schema {
	var fields []feature.Field
	for _, column := range strings.Split(text, ",") {
		name, typ, _ := strings.Cut(strings.TrimSpace(column), " ")
		t, _ := feature.ParseType(typ)
		fields = append(fields, feature.Field{Name: name, Type: t})
	}
	return source.NewSchema(fields)
}

// tableOf is a LoadOptions.SchemaOf over tables.
func tableOf(s source.Spec) (*source.Schema, error) {
	return tables(strings.Split(strings.TrimPrefix(s.Glob, "data/"), "/")[0])
}

// loadText loads files given as name, text, name, text, ...
func loadText(files ...string) (*Model, error) {
	var texts []textFile
	for i := 0; i < len(files); i += 2 {
		texts = append(texts, textFile{Name: files[i], Text: files[i+1]})
	}
	return load(texts, "/root", func(name string) string { return name }, LoadOptions{SchemaOf: tableOf})
}

func mustLoad(t testing.TB, files ...string) *Model {
	t.Helper()
	m, err := loadText(files...)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return m
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// golden compares got with the file, or writes it under -rewrite.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(read(t, path), got); diff != "" {
		t.Errorf("%s (-want +got; -rewrite accepts):\n%s", path, diff)
	}
}

// TestBad loads each file of testdata/bad on top of base.yaml; the faults stand in the .txt beside it.
func TestBad(t *testing.T) {
	base := read(t, "testdata/base.yaml")
	paths, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(paths) < 100 {
		t.Fatalf("testdata/bad has %d files, %v", len(paths), err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			_, err := loadText("base.yaml", base, filepath.Base(path), read(t, path))
			var faults Faults
			if !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("Load: got %v, want faults", err)
			}
			if kind := feature.KindOf(err); kind != feature.ErrInvalid {
				t.Errorf("the faults are of kind %v, want %v", kind, feature.ErrInvalid)
			}
			for _, f := range faults {
				if f.Line < 1 || f.Column < 1 || f.File != filepath.Base(path) {
					t.Errorf("fault without a place in the file: %s", f)
				}
			}
			golden(t, strings.TrimSuffix(path, ".yaml")+".txt", err.Error()+"\n")
		})
	}
}

// TestExample loads the example of the repository's root and pins what it means.
func TestExample(t *testing.T) {
	m := mustLoad(t, "features.example.yaml", read(t, "../features.example.yaml"))
	var b strings.Builder
	for _, c := range m.constructs() {
		b.WriteString(c.kind + " " + c.name + "\n")
		for _, a := range c.attributes {
			if a.value == "" {
				continue
			}
			stored := ""
			if a.stored {
				stored = "*"
			}
			b.WriteString("    " + stored + a.name + ": " + a.value + "\n")
		}
	}
	golden(t, "testdata/example.txt", b.String())
	for _, s := range m.Services {
		if err := s.CheckNames(false); err != nil {
			t.Errorf("a service that loads has names that clash: %v", err)
		}
	}
}

func TestSourceColumns(t *testing.T) {
	m := mustLoad(t, "base.yaml", read(t, "testdata/base.yaml"), "v.yaml", `
views:
  - name: v
    entity: customer
    source: customers
    keys: {customer_id: birth_year}
    where: income > 0
    features:
      - {name: year, column: birth_year, type: int64}   # read as what it is declared to be
      - {name: income, type: float64}
      - {name: half, expr: income / 2}
`)
	v, err := m.View("v")
	if err != nil {
		t.Fatal(err)
	}
	want := []feature.Field{{Name: "birth_year", Type: feature.Scalar(feature.Int64)}, {Name: "income", Type: feature.Scalar(feature.Float64)}}
	if diff := cmp.Diff(want, v.SourceColumns()); diff != "" {
		t.Errorf("SourceColumns (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]feature.Field{{Name: "birth_year", Type: feature.Scalar(feature.Int64)}}, v.SourceKeys()); diff != "" {
		t.Errorf("SourceKeys (-want +got):\n%s", diff)
	}
	if name, plain := v.Programs[0].IsColumn(); !plain || name != "birth_year" {
		t.Errorf("a plain column of a wider declared type compiles to %s", v.Programs[0].SparkSQL())
	}
}

// TestWindowedView pins what materialization gets to know of a windowed view.
func TestWindowedView(t *testing.T) {
	m := mustLoad(t, "base.yaml", read(t, "testdata/base.yaml"), "v.yaml", `
views:
  - name: v
    entity: customer
    source: transactions
    where: amount > 0
    granularity: 1h
    aggregations:
      - {function: count, windows: [1d, unbounded]}
      - {function: avg, column: amount, windows: [24h], default: 0.5}
      - {function: sum, column: amount, windows: [7d]}
      - {name: online, function: count, where: is_online, windows: [1d]}
      - {name: cents, function: last_n, expr: cast(amount * 100 as bigint), n: 2, windows: [1d]}
`)
	v, err := m.View("v")
	if err != nil {
		t.Fatal(err)
	}
	var features, states, inputs []string
	for _, f := range v.Features {
		features = append(features, fmt.Sprintf("%s %s %v %s", f.Name, f.Type, f.Default, f.Aggregation.Window))
	}
	for _, s := range v.States {
		states = append(states, s.Name+" "+s.Type.String())
	}
	for i, in := range v.Inputs {
		if p := v.InputPrograms[i]; p.Type() != in.Type {
			t.Errorf("the program of %s gives %s, not %s", in.Name, p.Type(), in.Type)
		}
		inputs = append(inputs, in.Name+" "+in.Type.String()+" = "+v.InputPrograms[i].SparkSQL())
	}
	for _, c := range []struct{ got, want []string }{
		{features, []string{"count_1d int64 0 24h0m0s", "count_unbounded int64 0 0s", "amount_avg_1d float64 0.5 24h0m0s", "amount_sum_7d float64 <nil> 168h0m0s", "online_1d int64 0 24h0m0s", "cents_1d list<int64> <nil> 24h0m0s"}},
		{states, []string{"amount__count int64", "amount__sum float64", "amount__sum_low float64", "amount__sum_exact bytes", "cents__last_2 list<int64>", "online__count int64", "rows__count int64"}},
		{inputs, []string{"amount float64 = amount", "online bool = CASE WHEN is_online THEN TRUE END", "cents int64 = CAST(amount * 100D AS BIGINT)"}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
	if v.HasCreatedTime || v.Programs != nil || len(v.SourceColumns()) != 2 {
		t.Errorf("created time %v, programs %v, source columns %v", v.HasCreatedTime, v.Programs, v.SourceColumns())
	}
}

// TestWideningBesideExpression: where an expression refers to the column too, it keeps its own type there.
func TestWideningBesideExpression(t *testing.T) {
	m := mustLoad(t, "base.yaml", read(t, "testdata/base.yaml"), "v.yaml", `
views:
  - name: v
    entity: customer
    source: customers
    features:
      - {name: year, column: birth_year, type: float64}
      - {name: decade, expr: birth_year % 10}
`)
	v, err := m.View("v")
	if err != nil {
		t.Fatal(err)
	}
	if got := v.SourceColumns()[0].Type; got != feature.Scalar(feature.Int32) {
		t.Errorf("birth_year is read as %s, want int32", got)
	}
	if got := []feature.Type{v.Features[0].Type, v.Features[1].Type}; got[0] != feature.Scalar(feature.Float64) || got[1].Kind == feature.Float64 {
		t.Errorf("the features are of types %v", got)
	}
	for i, p := range v.Programs {
		if p.Type() != v.Features[i].Type {
			t.Errorf("the program of %s gives %s, the feature is %s", v.Features[i].Name, p.Type(), v.Features[i].Type)
		}
	}
}

func TestLoadPaths(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	base := read(t, "testdata/base.yaml")
	write("b/views.yml", base[strings.Index(base, "views:"):])
	write("a.yaml", base[:strings.Index(base, "views:")]+"---\n---\n# nothing\n")
	write("README.md", "not: [definitions")
	write("asof.yaml", "warehouse: elsewhere")
	write(".git/x.yaml", "not: [definitions")
	opts := LoadOptions{SchemaOf: tableOf}
	m, err := Load(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if m.Root != dir || len(m.Views) != 1 || m.Views[0].File != filepath.Join(dir, "b", "views.yml") || m.Sources[0].Root != dir {
		t.Errorf("loaded root %s, views %v", m.Root, m.Views)
	}
	whole := mustLoad(t, "all.yaml", base)
	if whole.Hash != m.Hash {
		t.Error("the hash depends on how definitions are spread over files")
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if m, err := Load(link, opts); err != nil || m.Root != link {
		t.Errorf("through a symbolic link: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "b"), opts); err == nil || !strings.Contains(err.Error(), "views.yml:3:13: view profile: unknown entity customer") {
		t.Errorf("part of the directory: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none"), opts); feature.KindOf(err) != feature.ErrNotFound {
		t.Errorf("a missing path: %v", err)
	}
	if _, err := Load(t.TempDir(), opts); feature.KindOf(err) != feature.ErrNotFound {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestPartial: a file that is no YAML hides what it defines, which gives no faults elsewhere.
func TestPartial(t *testing.T) {
	_, err := loadText("a.yaml", "entities: [", "b.yaml", "views:\n  - {name: v, entity: customer, source: s, ttl: 1w, features: [{name: a}]}\n")
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 2 || faults[0].File != "a.yaml" || !strings.Contains(faults[1].Message, "ttl") {
		t.Errorf("got %v", err)
	}
}

// TestNotUTF8: a registry record could not hold such a text.
func TestNotUTF8(t *testing.T) {
	for _, text := range []string{"\xff\xfea\x00", "description: \xff"} {
		if _, err := loadText("a.yaml", text); err == nil || err.Error() != "a.yaml:1:1: this is not UTF-8 text" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	_, err := load([]textFile{{"base.yaml", read(t, "testdata/base.yaml")}}, "/", func(n string) string { return n },
		LoadOptions{SchemaOf: func(source.Spec) (*source.Schema, error) { return nil, context.Canceled }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a context's error", err)
	}
}

func TestFind(t *testing.T) {
	m := mustLoad(t, "base.yaml", read(t, "testdata/base.yaml"))
	if _, err := m.View("profil"); feature.KindOf(err) != feature.ErrNotFound || !strings.Contains(err.Error(), "did you mean profile?") {
		t.Errorf("got %v", err)
	}
	if _, err := m.Service("x"); feature.KindOf(err) != feature.ErrNotFound {
		t.Errorf("got %v", err)
	}
}

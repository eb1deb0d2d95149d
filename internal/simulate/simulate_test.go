package simulate_test

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/simulate"
	"github.com/asof-store/asof/internal/tabular"
)

func small() simulate.Config {
	return simulate.Config{Seed: 7, End: time.Date(2024, 5, 17, 0, 0, 0, 0, time.UTC), Customers: 100, Payments: 6000}
}

// hashes returns the SHA-256 of every file below dir.
func hashes(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		got[filepath.ToSlash(name)], err = tabular.FileHash(context.Background(), path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func run(t *testing.T, cfg simulate.Config) (string, *simulate.Result) {
	t.Helper()
	dir := t.TempDir()
	res, err := simulate.Run(t.Context(), dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return dir, res
}

func TestSameSeedSameBytes(t *testing.T) {
	a, _ := run(t, small())
	b, _ := run(t, small())
	other := small()
	other.Seed++
	c, _ := run(t, other)
	ha, hb, hc := hashes(t, a), hashes(t, b), hashes(t, c)
	for name, h := range ha {
		if hb[name] != h {
			t.Errorf("%s differs between two runs of one seed", name)
		}
		if hc[name] == h {
			t.Errorf("%s is the same with another seed", name)
		}
	}
	if len(ha) != 4+4+1 { // three months touch four; four more tables; the spine
		t.Errorf("%d files: %v", len(ha), ha)
	}
}

// TestTablesAreWhatDefinitionsExpect holds the columns that features.example.yaml is written for.
func TestTablesAreWhatDefinitionsExpect(t *testing.T) {
	dir, _ := run(t, small())
	for glob, want := range map[string]string{
		"data/transactions/month=2024-05/*.parquet": "tx_id int64, tx_time timestamp[us, tz=UTC], loaded_at timestamp[us, tz=UTC], customer_id int64, terminal_id int64, amount float64, currency utf8, " +
			"is_online bool, merchant struct<category: utf8 nullable, country: utf8>",
		"data/investigations/*.parquet": "tx_id int64, tx_time timestamp[us, tz=UTC], closed_at timestamp[us, tz=UTC], terminal_id int64, is_fraud bool",
		"data/customers/*.parquet":      "customer_id int64, updated_at timestamp[us, tz=UTC], loaded_at timestamp[us, tz=UTC], birth_year int32, home_country utf8, income float64, segments list<element: utf8>",
		"data/terminals/*.parquet":      "terminal_id int64, updated_at timestamp[us, tz=UTC], risk_band utf8, lat float64, lon float64, installed_on date32",
		"data/market/*.parquet":         "as_of timestamp[us, tz=UTC], eur_usd float64, fraud_pressure float64",
		"training.parquet": "tx_id int64, event_timestamp timestamp[us, tz=UTC], customer_id int64, terminal_id int64, payee_id int64, amount float64, is_fraud bool, " +
			"label_time timestamp[us, tz=UTC]",
	} {
		paths, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(glob)))
		if err != nil || len(paths) != 1 {
			t.Fatal(glob, paths, err)
		}
		r, err := tabular.OpenReader(paths[0], tabular.ReaderOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var columns []string
		for _, f := range r.Schema().Fields() {
			columns = append(columns, f.Name+" "+f.Type.String())
		}
		r.Close()
		if got := strings.Join(columns, ", "); got != want {
			t.Errorf("%s has\n%s, want\n%s", glob, got, want)
		}
	}
}

func TestSpineHoldsLabelsThatAreKnown(t *testing.T) {
	cfg := small()
	cfg.Spine, cfg.SpineRows = "training.csv", 500
	dir, res := run(t, cfg)
	if res.Labelled != 500 || res.Frauds < 5 || res.Frauds > 50 || res.Payments < 5000 || res.Payments > 7000 {
		t.Errorf("%+v", res)
	}
	r, err := tabular.OpenReader(filepath.Join(dir, "training.csv"), tabular.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rows := 0
	var before arrow.Timestamp
	for {
		b, err := r.Next(t.Context())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		event := instants(t, b, 1, r)
		label := instants(t, b, 7, r)
		for i := range int(b.NumRows()) {
			if event.Value(i) < before || label.Value(i) > arrow.Timestamp(cfg.End.UnixMicro()) || label.Value(i)-event.Value(i) != 7*86_400_000_000 {
				t.Fatalf("%s: event time %v, label time %v", r.Where(i), event.Value(i), label.Value(i))
			}
			before = event.Value(i)
			rows++
		}
	}
	if rows != res.Labelled {
		t.Errorf("%d rows, the result says %d", rows, res.Labelled)
	}
}

func instants(t *testing.T, b arrow.RecordBatch, column int, r tabular.Reader) *array.Timestamp {
	t.Helper()
	c, err := tabular.Convert(b.Column(column), b.ColumnName(column), feature.Scalar(feature.Timestamp), r.Where)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*array.Timestamp)
}

func TestNothingIsOverwritten(t *testing.T) {
	dir, _ := run(t, small())
	before := hashes(t, dir)
	cfg := small()
	cfg.Seed++
	if _, err := simulate.Run(t.Context(), dir, cfg); feature.KindOf(err) != feature.ErrConflict {
		t.Errorf("got %v", err)
	}
	if after := hashes(t, dir); len(after) != len(before) || after["training.parquet"] != before["training.parquet"] {
		t.Error("files changed")
	}
}

func TestFaultyConfigurations(t *testing.T) {
	for _, cfg := range []simulate.Config{{}, {End: time.Now(), Customers: 1}, {End: time.Now(), Payments: -1}} {
		dir := t.TempDir()
		if _, err := simulate.Run(t.Context(), dir, cfg); feature.KindOf(err) != feature.ErrInvalid {
			t.Errorf("%+v: %v", cfg, err)
		}
		if entries, _ := os.ReadDir(dir); len(entries) > 0 {
			t.Errorf("%+v: left %v", cfg, entries)
		}
	}
}

// BenchmarkRun simulates the demo's 300,000 payments:
//
//	go test -bench Run -benchmem ./internal/simulate
func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		res, err := simulate.Run(b.Context(), filepath.Join(b.TempDir(), "demo"), simulate.Config{Seed: 1, End: time.Date(2024, 5, 17, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(res.Payments), "payments")
		b.ReportMetric(100*float64(res.Frauds)/float64(res.Labelled), "%fraud")
	}
}

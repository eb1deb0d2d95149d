package definitions

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/material"
)

// TestRealTables checks definitions against files, without a SchemaOf of the test's own, and loads them again from the
// registry with the files gone.
func TestRealTables(t *testing.T) {
	data, dir := material.Path(t, "data"), t.TempDir()
	if err := os.Symlink(data, filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "features.yaml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	good := `
entities:
  - {name: driver, keys: {driver_id: int64}}
sources:
  - {name: stats, parquet: data/driver_stats/driver_stats_quickstart.parquet, event_time: event_timestamp, created_time: created}
views:
  - name: driver_stats
    entity: driver
    source: stats
    where: conv_rate >= 0
    features:
      - {name: conv_rate, type: float64, default: 0}
      - {name: trips, column: avg_daily_trips, type: int64}
services:
  - {name: drivers, features: [view: driver_stats]}
`
	write(good)
	m, err := Load(path, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := m.View("driver_stats"); err != nil || v.Features[1].Type != feature.Scalar(feature.Int64) {
		t.Errorf("driver_stats: %+v, %v", v, err)
	}
	r := OpenRegistry(filepath.Join(dir, "warehouse"), RegistryOptions{})
	if _, err := r.Apply(m, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	a, err := r.Current()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := a.Model(); err != nil || again.Hash != m.Hash || again.Root != dir {
		t.Errorf("from the registry: %v", err)
	}
	if _, err := Load(path, LoadOptions{}); err == nil || !strings.Contains(err.Error(), "features.yaml:5:28: source stats: ") {
		t.Errorf("with the files gone: %v", err)
	}
}

package monitor

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/materialize"
)

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// scrape returns asof's own lines of /metrics.
func scrape(t *testing.T, m *Monitor) (lines []string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	group.Go(func() error { return m.ServeMetrics(ctx, listener) })
	url := "http://" + listener.Addr().String()
	answer, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), "go_goroutines ") {
		t.Fatalf("%s, %v\n%s", answer.Status, err, text)
	}
	other, err := http.Get(url + "/")
	if err != nil || other.StatusCode != http.StatusNotFound || other.Body.Close() != nil {
		t.Errorf("another path: %v, %v", other, err)
	}
	cancel()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "asof_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func TestMetrics(t *testing.T) {
	s := newSubject()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	s.view(t, "v", "@hourly")
	s.view(t, "away", "@hourly").Online = false
	s.view(t, "never", "")
	s.reach("v", now.Add(-3*time.Hour))
	s.offline["v"] += 1_500_000
	s.reach("away", now)
	m := s.monitor(t)
	m.Now = func() time.Time { return now }
	m.watch(t.Context())
	m.Ran(materialize.RunRecord{View: "v", Outcome: materialize.RunOK, Seconds: 0.2, Rows: 30, Keys: 4})
	m.Ran(materialize.RunRecord{View: "v", Outcome: materialize.RunFailed, Seconds: 2, Rows: 1})
	m.Published("v", 5)
	want := strings.Split(`asof_build_info{version="1.2.3"} 1
asof_published_keys_total{view="v"} 9
asof_run_rows_total{view="v"} 31
asof_run_seconds_bucket{view="v",le="0.1"} 0
asof_run_seconds_bucket{view="v",le="0.3"} 1
asof_run_seconds_bucket{view="v",le="1"} 1
asof_run_seconds_bucket{view="v",le="3"} 2
asof_run_seconds_bucket{view="v",le="10"} 2
asof_run_seconds_bucket{view="v",le="30"} 2
asof_run_seconds_bucket{view="v",le="100"} 2
asof_run_seconds_bucket{view="v",le="300"} 2
asof_run_seconds_bucket{view="v",le="1000"} 2
asof_run_seconds_bucket{view="v",le="3000"} 2
asof_run_seconds_bucket{view="v",le="10000"} 2
asof_run_seconds_bucket{view="v",le="+Inf"} 2
asof_run_seconds_sum{view="v"} 2.2
asof_run_seconds_count{view="v"} 2
asof_runs_total{outcome="failed",view="v"} 1
asof_runs_total{outcome="ok",view="v"} 1
asof_scheduler_leader 1
asof_view_stale{view="away"} 0
asof_view_stale{view="v"} 1
asof_watermark_age_seconds{store="offline",view="away"} 0
asof_watermark_age_seconds{store="offline",view="v"} 10798.5
asof_watermark_age_seconds{store="online",view="v"} 10800`, "\n")
	if got := scrape(t, m); !slices.Equal(got, want) {
		t.Errorf("the metrics are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestDocumentedMetrics keeps the table of docs/scheduling.md the same as the metrics.
func TestDocumentedMetrics(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "scheduling.md"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("metrics.go")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`"(asof_[a-z_]+)"`).FindAllSubmatch(code, -1)
	if len(names) != 11 {
		t.Errorf("%d metrics are found in metrics.go", len(names))
	}
	for _, name := range names {
		if !strings.Contains(string(text), "| `"+string(name[1])+"`") {
			t.Errorf("docs/scheduling.md lacks %s", name[1])
		}
	}
}

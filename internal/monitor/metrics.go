package monitor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// metrics are the numbers of one server, in a registry of its own. docs/scheduling.md says what each means.
type metrics struct {
	registry       *prometheus.Registry
	runs           *prometheus.CounterVec
	seconds        *prometheus.HistogramVec
	rows           *prometheus.CounterVec
	keys           *prometheus.CounterVec
	verified       *prometheus.CounterVec
	verifyFailures *prometheus.CounterVec
	posts          *prometheus.CounterVec
}

func newMetrics(m *Monitor) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	n := &metrics{
		registry: prometheus.NewRegistry(),
		runs:     counter("asof_runs_total", "Runs of the scheduler that are over, by how they ended.", "view", "outcome"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "asof_run_seconds", Help: "How long runs of the scheduler took.",
			Buckets: []float64{0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000}}, []string{"view"}),
		rows:           counter("asof_run_rows_total", "Rows that runs of the scheduler stored.", "view"),
		keys:           counter("asof_published_keys_total", "Keys that this server has written to its online store, or removed.", "view"),
		verified:       counter("asof_verify_keys_total", "Keys that continuous verification has compared: equal, different, missing online.", "view", "result"),
		verifyFailures: counter("asof_verify_failures_total", "Times that a view could not be verified.", "view"),
		posts:          counter("asof_webhook_events_total", "Events for the webhook: sent, failed, or dropped because too many wait.", "result"),
	}
	build := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "asof_build_info", Help: "1, labelled with the version of asof.",
		ConstLabels: prometheus.Labels{"version": m.Version}}, func() float64 { return 1 })
	leader := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "asof_scheduler_leader", Help: "1 if this server's scheduler starts the runs, 0 if it stands by or is off."},
		func() float64 { return number(m.Leads()) })
	n.registry.MustRegister(n.runs, n.seconds, n.rows, n.keys, n.verified, n.verifyFailures, n.posts, build, leader, newAges(m),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return n
}

func number(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (n *metrics) ran(r materialize.RunRecord) {
	n.runs.WithLabelValues(r.View, string(r.Outcome)).Inc()
	n.seconds.WithLabelValues(r.View).Observe(r.Seconds)
	n.rows.WithLabelValues(r.View).Add(float64(r.Rows))
	n.keys.WithLabelValues(r.View).Add(float64(r.Keys))
}

func (n *metrics) verifiedView(v *materialize.Verification) {
	n.verified.WithLabelValues(v.View, "equal").Add(float64(v.Equal))
	n.verified.WithLabelValues(v.View, "different").Add(float64(v.Different))
	n.verified.WithLabelValues(v.View, "missing").Add(float64(v.Missing))
}

// ages collects how old the views are at the moment of asking; views that are gone are gone from it too.
type ages struct {
	m          *Monitor
	age, stale *prometheus.Desc
}

func newAges(m *Monitor) *ages {
	return &ages{m,
		prometheus.NewDesc("asof_watermark_age_seconds", "How long ago the time is that a view is materialized (offline) or published (online) to.", []string{"view", "store"}, nil),
		prometheus.NewDesc("asof_view_stale", "1 if a tick of the view's schedule that it has not reached is longer ago than stale_after.", []string{"view"}, nil)}
}

// Describe implements prometheus.Collector.
func (a *ages) Describe(to chan<- *prometheus.Desc) {
	to <- a.age
	to <- a.stale
}

// Collect implements prometheus.Collector.
func (a *ages) Collect(to chan<- prometheus.Metric) {
	a.m.mu.Lock()
	defer a.m.mu.Unlock()
	now := a.m.Now()
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for view, w := range a.m.views {
		if w.offline != feature.MinTime {
			gauge(a.age, now.Sub(w.offline.Std()).Seconds(), view, "offline")
		}
		if w.served && w.online != feature.MinTime {
			gauge(a.age, now.Sub(w.online.Std()).Seconds(), view, "online")
		}
		if w.scheduled {
			gauge(a.stale, number(w.stale), view)
		}
	}
}

// ServeMetrics answers /metrics on listener until ctx ends, and then returns nil. It closes listener.
func (m *Monitor) ServeMetrics(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.metrics.registry, promhttp.HandlerOpts{Registry: m.metrics.registry}))
	srv := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 64 << 10}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return feature.Errorf(feature.ErrUnavailable, "serving metrics on %s: %w", listener.Addr(), err)
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return srv.Close() // who asks has a next time
	})
	return group.Wait()
}

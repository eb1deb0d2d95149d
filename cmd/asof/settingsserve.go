package main

import (
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/internal/monitor"
)

// scheduling says how asof serve starts runs.
type scheduling struct {
	RunsMax int           // that go on at once
	Jitter  time.Duration // how long after its tick a run begins, at most
	Timeout time.Duration // of a run; 0: none
}

// watching says what asof serve tells of itself, and to whom.
type watching struct {
	Metrics      string   // host:port of /metrics; "": there are none
	Webhook      *url.URL // nil: nobody is told
	StaleAfter   time.Duration
	VerifyEvery  time.Duration // 0: never
	VerifySample int
}

// serveSettings are the settings of scheduling and watching.
func serveSettings() []setting {
	return []setting{
		{name: "runs_max", fallback: "1", help: "views that the scheduler runs at once", serve: true},
		{name: "run_jitter", fallback: "0s", help: "how long after its tick a run begins at most, always the same for a view and tick", serve: true},
		{name: "run_timeout", fallback: "0s", help: "how long a scheduled run may take before it is stopped and tried again; 0s is for ever", serve: true},
		{name: "stale_after", fallback: "1h", help: "how long ago a tick is that a view has not reached, for the view to be stale", serve: true},
		{name: "webhook", help: "http or https URL that is told of failures and stale views", serve: true},
		{name: "metrics", help: "host:port to serve Prometheus metrics on; off without", serve: true},
		{name: "verify_every", fallback: "0s", help: "how often a sample of what is served is verified; 0s is never", serve: true},
		{name: "verify_sample", fallback: "100", help: "keys of each view in that sample", serve: true},
	}
}

// readServe takes the settings of scheduling and watching.
func (r *settingsReader) readServe(s *settings) (err error) {
	for _, n := range []struct {
		name string
		into *int
	}{{"runs_max", &s.Scheduling.RunsMax}, {"verify_sample", &s.Watching.VerifySample}} {
		if *n.into, err = strconv.Atoi(r.v.GetString(n.name)); err != nil || *n.into < 1 {
			return r.fault(n.name, "%q is no number from 1", r.v.GetString(n.name))
		}
	}
	for _, d := range []struct {
		name string
		into *time.Duration
	}{
		{"run_jitter", &s.Scheduling.Jitter}, {"run_timeout", &s.Scheduling.Timeout},
		{"stale_after", &s.Watching.StaleAfter}, {"verify_every", &s.Watching.VerifyEvery},
	} {
		if *d.into, err = definitions.ParseDuration(r.v.GetString(d.name)); err != nil {
			return r.fault(d.name, "%w", err)
		}
	}
	if every := s.Watching.VerifyEvery; every > 0 && every < time.Second {
		return r.fault("verify_every", "%q is too often: write 1s or more", r.v.GetString("verify_every"))
	}
	if text := r.v.GetString("webhook"); text != "" {
		if s.Watching.Webhook, err = monitor.ParseWebhook(text); err != nil {
			return r.fault("webhook", "%w", err)
		}
	}
	if r.v.GetString("metrics") != "" {
		s.Watching.Metrics, err = r.address("metrics")
	}
	return err
}

// address returns a setting of the form host:port.
func (r *settingsReader) address(name string) (string, error) {
	text := r.v.GetString(name)
	if _, _, err := net.SplitHostPort(text); err != nil {
		return "", r.fault(name, "%q is no address: write host:port, such as 127.0.0.1:7878", text)
	}
	return text, nil
}

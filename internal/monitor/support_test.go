package monitor

import (
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// subject is what a monitor watches in a test.
type subject struct {
	views           []*definitions.View
	offline, online map[string]feature.Time
	fault           error // of reading watermarks
	verified        func(view string, r materialize.VerifyRequest) (materialize.Verification, error)
	log             buffer
}

// buffer may be written and read by several goroutines.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// view adds a view.
func (s *subject) view(t *testing.T, name, schedule string) *definitions.View {
	t.Helper()
	v := &definitions.View{View: &feature.View{Name: name, Online: true, Hash: "1"}, ScheduleText: schedule}
	if schedule != "" {
		var err error
		if v.Schedule, err = definitions.ParseSchedule(schedule); err != nil {
			t.Fatal(err)
		}
	}
	s.views = append(s.views, v)
	return v
}

// reach sets both watermarks of a view.
func (s *subject) reach(view string, at time.Time) {
	s.offline[view], s.online[view] = feature.TimeOf(at), feature.TimeOf(at)
}

func newSubject() *subject {
	return &subject{offline: map[string]feature.Time{}, online: map[string]feature.Time{}}
}

// monitor returns a monitor of s, with a webhook that nobody serves.
func (s *subject) monitor(t *testing.T) *Monitor {
	t.Helper()
	hook, err := url.Parse("http://127.0.0.1:1/")
	if err != nil {
		t.Fatal(err)
	}
	at := func(times map[string]feature.Time, view string) feature.Time {
		if at, ok := times[view]; ok {
			return at
		}
		return feature.MinTime
	}
	return New(Options{
		Views: func() ([]*definitions.View, error) { return s.views, nil },
		Watermarks: func(_ context.Context, view *definitions.View) (offline, online feature.Time, err error) {
			return at(s.offline, view.Name), at(s.online, view.Name), s.fault
		},
		Verify: func(_ context.Context, view *feature.View, r materialize.VerifyRequest) (materialize.Verification, error) {
			return s.verified(view.Name, r)
		},
		Leads: func() bool { return true },
		Host:  "web-1", Listen: "127.0.0.1:7878", Version: "1.2.3", Webhook: hook,
		StaleAfter: time.Hour, VerifySample: 10,
		Now: time.Now, Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	})
}

// told returns the events that wait for the webhook.
func (m *Monitor) told() (events []Event) {
	for {
		select {
		case e := <-m.hook.events:
			events = append(events, e)
		default:
			return events
		}
	}
}

package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// exampleEvent is the one that docs/scheduling.md shows.
func exampleEvent() Event {
	started := time.Date(2026, 1, 31, 0, 0, 0, 500_000_000, time.UTC)
	to := started.Truncate(time.Second)
	return Event{Kind: RunFailed, View: "customer_spend", At: started.Add(2 * time.Second), Host: "web-1", Listen: "127.0.0.1:7878",
		Message: "a run of view customer_spend failed: view customer_spend: no such column",
		Run: &materialize.RunRecord{RunID: "f6b1a0c2-6a57-4c5e-9d0c-2f8f2d5f3a11", View: "customer_spend", By: materialize.ByScheduler, Attempt: 1, PID: 4711, Started: started, Seconds: 1.25,
			Outcome: materialize.RunFailed, To: &to, Error: "view customer_spend: no such column"}}
}

// TestWebhook posts to a server.
func TestWebhook(t *testing.T) {
	type post struct{ method, path, contentType, agent, user, password, body string }
	posts := make(chan post, 10)
	answers := make(chan int, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		user, password, _ := r.BasicAuth()
		posts <- post{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("User-Agent"), user, password, string(body)}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(<-answers)
	}))
	defer srv.Close()
	s := newSubject()
	m := s.monitor(t)
	m.hook.url = strings.Replace(srv.URL, "http://", "http://me:hidden@", 1) + "/hook?token=hidden"
	ctx, cancel := contextFor(t, time.Minute)
	defer cancel()
	want, err := json.Marshal(exampleEvent())
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{200, 204, 302, 404} { // the last two are not tried again
		answers <- code
		m.hook.deliver(ctx, exampleEvent())
		if got := <-posts; got != (post{"POST", "/hook?token=hidden", "application/json", "asof/1.2.3", "me", "hidden", string(want)}) {
			t.Errorf("posted %+v", got)
		}
	}
	log := s.log.String()
	if len(posts) > 0 || strings.Contains(log, "hidden") || strings.Count(log, "the webhook was not told") != 2 || !strings.Contains(log, "it answers 404 Not Found") {
		t.Errorf("%d more posts; the log is\n%s", len(posts), log)
	}
	m.hook.client.CloseIdleConnections()
	srv.Close()
	if _, err := m.hook.post(ctx, nil); err == nil || strings.Contains(err.Error(), "hidden") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a server that is gone: %v", err)
	}
	// What docs/scheduling.md shows is what is posted.
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "scheduling.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	var shown, posted any
	if err := errors.Join(json.Unmarshal([]byte(example), &shown), json.Unmarshal(want, &posted)); err != nil || fmt.Sprint(shown) != fmt.Sprint(posted) {
		t.Errorf("docs/scheduling.md shows %v, posted is %v; %v", shown, posted, err)
	}
}

// roundTrip is a transport without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(code int) *http.Response {
	return &http.Response{StatusCode: code, Status: fmt.Sprint(code), Body: http.NoBody}
}

// TestWebhookTriesAgain: what may pass is tried five times, ever later; an answer that does not come counts after ten seconds.
func TestWebhookTriesAgain(t *testing.T) {
	for name, c := range map[string]struct {
		answers []int // 0: no connection, -1: no answer
		at      []time.Duration
		result  string
	}{
		"at last":       {[]int{500, 0, 429, 408, 200}, []time.Duration{0, 1, 3, 7, 15}, "sent"},
		"never":         {[]int{500, 500, 503, 0, 0, 200}, []time.Duration{0, 1, 3, 7, 15}, "failed"},
		"wrong":         {[]int{400, 200}, []time.Duration{0}, "failed"},
		"hangs":         {[]int{-1, 200}, []time.Duration{0, 11}, "sent"},
		"wrong at last": {[]int{500, 410, 200}, []time.Duration{0, 1}, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := newSubject(), time.Now()
				m := s.monitor(t)
				m.hook.url = "http://example.com/secret"
				var at []time.Duration
				m.hook.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					code := c.answers[len(at)]
					at = append(at, time.Since(start)/time.Second)
					switch code {
					case 0:
						return nil, errors.New("connection refused")
					case -1:
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return answer(code), nil
				})
				m.hook.deliver(t.Context(), exampleEvent())
				if !slices.Equal(at, c.at) {
					t.Errorf("posted after %d s, want %d", at, c.at)
				}
				log := s.log.String()
				if strings.Contains(log, "secret") || (log == "") != (c.result == "sent") {
					t.Errorf("the log is %s", log)
				}
				if got := sample(t, m, `asof_webhook_events_total`, "result", c.result); got != 1 {
					t.Errorf("%v events are %s", got, c.result)
				}
			})
		})
	}
}

// sample returns the value of a metric with a label.
func sample(t *testing.T, m *Monitor, name, label, value string) float64 {
	t.Helper()
	families, err := m.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, one := range f.GetMetric() {
			if f.GetName() == name && one.GetLabel()[0].GetName() == label && one.GetLabel()[0].GetValue() == value {
				return one.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestWebhookDoesNotHoldUp: events beyond the queue are dropped, and nobody waits; at the end the rest is given up.
func TestWebhookDoesNotHoldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSubject()
		m := s.monitor(t)
		m.hook.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		ctx, cancel := contextFor(t, time.Second)
		defer cancel()
		var group errgroup.Group
		group.Go(func() error { return m.hook.run(ctx) })
		m.hook.tell(exampleEvent())
		synctest.Wait() // it is being posted
		start := time.Now()
		for range webhookQueueMax + 3 {
			m.hook.tell(exampleEvent())
		}
		if time.Since(start) > 0 || strings.Count(s.log.String(), "was dropped") != 3 || sample(t, m, "asof_webhook_events_total", "result", "dropped") != 3 {
			t.Errorf("it took %s; the log is\n%s", time.Since(start), &s.log.text)
		}
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		if strings.Contains(s.log.String(), "was not told") {
			t.Errorf("the log is\n%s", &s.log.text)
		}
	})
}

func TestParseWebhook(t *testing.T) {
	for text, ok := range map[string]bool{"https://example.com/hook?token=hidden": true, "http://127.0.0.1:9": true, "http://me:hidden@host/": true,
		"": false, "hidden": false, "ftp://hidden": false, "http://": false, "http:///hidden": false, "http://host:hidden/": false, "://hidden": false, "mailto:hidden@example.com": false} {
		u, err := ParseWebhook(text)
		if (err == nil) != ok || ok && u.String() != text {
			t.Errorf("%q: %v, %v", text, u, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hidden") || feature.KindOf(err) != feature.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

package monitor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// EventKind is what has changed.
type EventKind string

// The kinds of events.
const (
	RunFailed    EventKind = "run_failed"    // a view's runs fail
	RunRecovered EventKind = "run_recovered" // they succeed again
	ViewStale    EventKind = "view_stale"    // a view has missed a tick of its schedule for too long
	ViewFresh    EventKind = "view_fresh"    // it has caught up
	ValuesDiffer EventKind = "values_differ" // verification found values online that training would not see
)

// Event is what the webhook is told, as JSON.
type Event struct {
	Kind    EventKind `json:"event"`
	View    string    `json:"view"`
	At      time.Time `json:"at"`
	Host    string    `json:"host"`   // of the server that tells
	Listen  string    `json:"listen"` // its address
	Message string    `json:"message"`
	// Run is the run that failed or succeeded.
	Run *materialize.RunRecord `json:"run,omitempty"`
	// Watermark is the time that a stale or fresh view is materialized and published to; nil for never.
	Watermark  *time.Time       `json:"watermark,omitempty"`
	Difference *EventDifference `json:"difference,omitempty"`
}

// EventDifference is the first value that differs.
type EventDifference struct {
	Key     string `json:"key"`
	Feature string `json:"feature,omitempty"` // none where the key is missing online
	Online  string `json:"online"`
	Offline string `json:"offline"`
}

const (
	webhookQueueMax = 64 // events that wait
	webhookTries    = 5  // of an event, with pauses of 1, 2, 4 and 8 seconds
	webhookTimeout  = 10 * time.Second
)

// ParseWebhook reads the URL of a webhook. Its errors do not repeat it: it may hold secrets.
func ParseWebhook(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, feature.Errorf(feature.ErrInvalid, "it is no URL of a webhook: write one such as https://example.com/hook")
	}
	return u, nil
}

// webhook posts events, one after another.
type webhook struct {
	url    string
	host   string // what may be logged of it
	agent  string
	client http.Client
	events chan Event
	posts  *prometheus.CounterVec
	log    *slog.Logger
}

func newWebhook(o Options, posts *prometheus.CounterVec) *webhook {
	return &webhook{
		url: o.Webhook.String(), host: o.Webhook.Host, agent: "asof/" + o.Version, events: make(chan Event, webhookQueueMax), posts: posts, log: o.Log,
		client: http.Client{
			Transport: http.DefaultTransport.(*http.Transport).Clone(),
			Timeout:   webhookTimeout,
			// Another place was not meant to be told.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// tell queues an event, and drops it where too many wait: nobody waits for a webhook.
func (w *webhook) tell(e Event) {
	select {
	case w.events <- e:
	default:
		w.posts.WithLabelValues("dropped").Inc()
		w.log.Warn("an event for the webhook was dropped: too many wait", "webhook", w.host, "event", e.Kind, "view", e.View)
	}
}

// run posts events until ctx ends; what waits then is dropped.
func (w *webhook) run(ctx context.Context) error {
	defer w.client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.events:
			w.deliver(ctx, e)
		}
	}
}

// deliver posts an event, again where that may help.
func (w *webhook) deliver(ctx context.Context, e Event) {
	body, err := json.Marshal(e)
	for try := 1; err == nil; try++ {
		var again bool
		if again, err = w.post(ctx, body); err == nil {
			w.posts.WithLabelValues("sent").Inc()
			return
		}
		if !again || try == webhookTries {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second << (try - 1)):
			err = nil
		}
	}
	w.posts.WithLabelValues("failed").Inc()
	w.log.Error("the webhook was not told", "webhook", w.host, "event", e.Kind, "view", e.View, "error", err)
}

// post posts once; again tells whether another time may succeed.
func (w *webhook) post(ctx context.Context, body []byte) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return false, withoutURL(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", w.agent)
	answer, err := w.client.Do(request)
	if err != nil {
		return true, withoutURL(err)
	}
	if err := answer.Body.Close(); err != nil {
		return true, err
	}
	code := answer.StatusCode
	if code >= 200 && code < 300 {
		return false, nil
	}
	again = code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout
	return again, feature.Errorf(feature.ErrUnavailable, "it answers %s", answer.Status)
}

// withoutURL returns what an HTTP client's error says beside the URL, which may hold secrets.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

package monitor

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
)

// TestRunEvents: a failure is told when it is final, or has lasted, once; and that it is over.
func TestRunEvents(t *testing.T) {
	type run struct {
		outcome materialize.Outcome
		attempt int
		want    EventKind // "" for no event
	}
	retried := func(from, to int) (runs []run) {
		for attempt := from; attempt <= to; attempt++ {
			runs = append(runs, run{materialize.RunRetried, attempt, ""})
		}
		return runs
	}
	for name, runs := range map[string][]run{
		"all is well":             {{materialize.RunOK, 1, ""}, {materialize.RunOK, 1, ""}},
		"final":                   {{materialize.RunFailed, 1, RunFailed}, {materialize.RunFailed, 1, ""}, {materialize.RunOK, 1, RunRecovered}, {materialize.RunOK, 1, ""}},
		"passes":                  append(retried(1, 7), run{materialize.RunOK, 8, ""}),
		"lasts":                   append(retried(1, 7), run{materialize.RunRetried, 8, RunFailed}, run{materialize.RunTimeout, 9, ""}, run{materialize.RunOK, 10, RunRecovered}),
		"takes too long":          {{materialize.RunTimeout, 7, ""}, {materialize.RunTimeout, 8, RunFailed}},
		"stopped":                 {{materialize.RunInterrupted, 9, ""}},
		"stopped after a failure": {{materialize.RunFailed, 1, RunFailed}, {materialize.RunInterrupted, 1, ""}, {materialize.RunOK, 1, RunRecovered}},
		"fails again":             {{materialize.RunFailed, 1, RunFailed}, {materialize.RunOK, 1, RunRecovered}, {materialize.RunFailed, 1, RunFailed}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newSubject().monitor(t)
			m.Ran(materialize.RunRecord{View: "other", Outcome: materialize.RunOK, Attempt: 1})
			for i, r := range runs {
				m.Ran(materialize.RunRecord{RunID: fmt.Sprint(i), View: "v", Outcome: r.outcome, Attempt: r.attempt, Error: "no disk"})
				switch told := m.told(); {
				case len(told) > 1 || len(told) == 1 && told[0].Kind != r.want || len(told) == 0 && r.want != "":
					t.Fatalf("after run %d, %+v, these events are told: %+v", i, r, told)
				case len(told) == 1 && (told[0].View != "v" || told[0].Run.RunID != fmt.Sprint(i) || told[0].Host != "web-1" || told[0].Listen != "127.0.0.1:7878" || told[0].At.IsZero()):
					t.Fatalf("the event is %+v", told[0])
				case len(told) == 1 && r.want == RunFailed && !strings.HasSuffix(told[0].Message, "failed: no disk"):
					t.Fatalf("the message is %q", told[0].Message)
				}
			}
		})
	}
}

// TestStale follows views over two days: each change is told once, and a schedule that has just ticked makes nothing stale.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, start := newSubject(), time.Now() // at midnight
		s.view(t, "daily", "@daily")
		s.view(t, "often", "*/15 * * * *")
		s.view(t, "never", "@daily")
		s.view(t, "whenever", "")
		changed := s.view(t, "changed", "@daily")
		m := s.monitor(t)
		var told []string
		look := func() {
			m.watch(t.Context())
			for _, e := range m.told() {
				told = append(told, fmt.Sprintf("%s %s %s", time.Since(start).Truncate(time.Minute), e.Kind, e.View))
				if known := e.Watermark != nil; known != (e.View == "daily" || e.View == "often") || known && feature.TimeOf(*e.Watermark) != min(s.offline[e.View], s.online[e.View]) {
					t.Errorf("the watermark of %+v is %v", e, e.Watermark)
				}
			}
		}
		s.reach("changed", start.Add(48*time.Hour))
		for range 48 * 60 {
			at := time.Since(start)
			if at < 20*time.Hour || at > 30*time.Hour { // nothing runs between
				s.reach("often", time.Now().Truncate(15*time.Minute))
			}
			if at < 25*time.Hour || at >= 26*time.Hour {
				if at.Hours() != 24 { // the run takes a while
					s.reach("daily", time.Now().Truncate(time.Hour))
				}
			}
			if at == 26*time.Hour {
				s.online["daily"] = feature.TimeOf(start) // published by none
			}
			if at == 40*time.Hour {
				changed.Hash = "2" // and no run comes
				delete(s.offline, "changed")
				delete(s.online, "changed")
			}
			s.fault = nil
			if at >= 22*time.Hour && at < 23*time.Hour {
				s.fault = errors.New("the disk is away")
			}
			look()
			time.Sleep(time.Minute)
		}
		want := []string{"1h1m0s view_stale never", "21h0m0s view_stale often", "26h0m0s view_stale daily", "26h1m0s view_fresh daily", "30h1m0s view_fresh often", "41h1m0s view_stale changed"}
		if !slices.Equal(told, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
		if log := s.log.String(); strings.Count(log, "the disk is away") != 5 { // once for each view
			t.Errorf("the log is\n%s", log)
		}
		s.views = nil
		look()
		if len(m.views) > 0 {
			t.Errorf("views that are gone are still watched: %v", m.views)
		}
	})
}

// TestRun: everything begins at once, goes on, and ends with the context.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSubject()
		s.view(t, "v", "@daily")
		verified := 0
		s.verified = func(string, materialize.VerifyRequest) (materialize.Verification, error) {
			verified++
			return materialize.Verification{View: "v"}, nil
		}
		m := s.monitor(t)
		m.VerifyEvery = time.Minute
		ctx, cancel := contextFor(t, 150*time.Second)
		defer cancel()
		if err := m.Run(ctx); err != nil || verified != 3 || m.views["v"] == nil {
			t.Errorf("verified %d times; %v", verified, err)
		}
	})
}

// TestVerify: keys are counted by how they compare, and a difference is told once for each publication.
func TestVerify(t *testing.T) {
	s := newSubject()
	s.view(t, "a", "")
	s.view(t, "b", "")
	s.view(t, "offline", "").Online = false
	m := s.monitor(t)
	v := &verifier{m, map[string]publication{}}
	seeds := map[uint64]bool{}
	now := materialize.Verification{View: "a", Watermark: 1, Snapshot: 7, Keys: 10, Equal: 10}
	var fault error
	s.verified = func(view string, r materialize.VerifyRequest) (materialize.Verification, error) {
		seeds[r.Seed] = true
		switch {
		case view == "offline" || r.Sample != 10:
			t.Errorf("view %s is verified with %+v", view, r)
		case view == "b":
			return materialize.Verification{}, fault
		}
		return now, nil
	}
	verify := func(wantEvents int) {
		t.Helper()
		before := strings.Count(s.log.String(), "not what training would see")
		v.verify(t.Context())
		told := m.told()
		if logged := strings.Count(s.log.String(), "not what training would see") - before; len(told) != wantEvents || logged != wantEvents {
			t.Errorf("told %+v, logged %d, want %d", told, logged, wantEvents)
		}
		for _, e := range told {
			if e.Kind != ValuesDiffer || e.View != "a" || *e.Difference != (EventDifference{"customer_id=7", "spend", "3", "4"}) {
				t.Errorf("told %+v of %+v", e, e.Difference)
			}
		}
	}
	fault = feature.Errorf(feature.ErrConflict, "published meanwhile")
	verify(0)
	fault = feature.Errorf(feature.ErrNotFound, "never published")
	verify(0)
	fault = feature.Errorf(feature.ErrUnavailable, "interrupted")
	now = materialize.Verification{View: "a", Watermark: 1, Snapshot: 7, Keys: 10, Equal: 7, Different: 2, Missing: 1,
		Differences: []materialize.Difference{{Key: "customer_id=7", Feature: "spend", Online: "3", Offline: "4"}, {Key: "customer_id=8"}}}
	verify(1)
	verify(0)
	now.Watermark = 2
	verify(1)
	now.Snapshot = 8
	verify(1)
	verify(0)
	for _, want := range []string{"key=customer_id=7", "feature=spend", "online=3", "offline=4"} {
		if !strings.Contains(strings.ReplaceAll(s.log.String(), `"`, ""), want) {
			t.Errorf("the log lacks %s:\n%s", want, &s.log.text)
		}
	}
	if strings.Count(s.log.String(), "could not be verified") != 1 || len(seeds) != 14 {
		t.Errorf("%d draws; the log is\n%s", len(seeds), &s.log.text)
	}
	got := scrape(t, m)
	for _, want := range []string{`asof_verify_keys_total{result="equal",view="a"} 55`, `asof_verify_keys_total{result="different",view="a"} 10`,
		`asof_verify_keys_total{result="missing",view="a"} 5`, `asof_verify_failures_total{view="b"} 5`} {
		if !slices.Contains(got, want) {
			t.Errorf("the metrics lack %s:\n%s", want, strings.Join(got, "\n"))
		}
	}
}

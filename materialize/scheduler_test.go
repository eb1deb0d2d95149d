package materialize

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
)

// scheduled is a view beside what happens to it.
type scheduled struct {
	*definitions.View
	watermark feature.Time
	takes     time.Duration
	fails     []error // of its next runs; nil is a success
	running   bool
	began     []string // minutes and seconds since the start
	attempts  []int    // as the runs were told
}

func newScheduled(t *testing.T, name, schedule string) *scheduled {
	t.Helper()
	parsed, err := definitions.ParseSchedule(schedule)
	if err != nil {
		t.Fatal(err)
	}
	return &scheduled{View: &definitions.View{View: &feature.View{Name: name, Schedule: parsed}}, watermark: feature.MinTime}
}

// simulated runs a scheduler for a while in time of its own, which starts on the hour.
func simulated(t *testing.T, s *Scheduler, length time.Duration, views ...*scheduled) {
	t.Helper()
	parallel := s.Parallel
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		byName := map[string]*scheduled{}
		for _, v := range views {
			byName[v.Name] = v
		}
		var mu sync.Mutex // of running
		running := 0
		s.Log = slog.New(slog.DiscardHandler)
		s.Views = func() (all []*definitions.View, err error) {
			for _, v := range views {
				all = append(all, v.View)
			}
			return all, nil
		}
		s.Watermarks = func(_ context.Context, v *definitions.View) (offline, online feature.Time, err error) {
			return feature.MaxTime, byName[v.Name].watermark, nil
		}
		s.Run = func(ctx context.Context, view *definitions.View, attempt int) error {
			v := byName[view.Name]
			v.attempts = append(v.attempts, attempt)
			if !s.Leads() {
				t.Error("a scheduler runs a view that does not lead")
			}
			mu.Lock()
			if v.running || running == max(1, parallel) {
				t.Errorf("%s runs beside itself or too many others", v.Name)
			}
			v.running, running = true, running+1
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				v.running, running = false, running-1
			}()
			at := time.Since(start)
			v.began = append(v.began, fmt.Sprintf("%d:%02d", int(at.Minutes()), int(at.Seconds())%60))
			began := feature.TimeOf(time.Now())
			select {
			case <-time.After(v.takes):
			case <-ctx.Done():
				return ctx.Err()
			}
			if len(v.fails) > 0 {
				err := v.fails[0]
				v.fails = v.fails[1:]
				if err != nil {
					return err
				}
			}
			v.watermark = began
			return nil
		}
		ctx, cancel := context.WithTimeout(context.Background(), length)
		defer cancel()
		if err := s.Serve(ctx); err != nil {
			t.Error(err)
		}
		if running > 0 || s.Leads() {
			t.Error("Serve has returned before its runs, or leads still")
		}
	})
}

func (s *scheduled) want(t *testing.T, began string) {
	t.Helper()
	if got := strings.Join(s.began, " "); got != began {
		t.Errorf("%s began to run at %s, want %s", s.Name, got, began)
	}
}

// TestSchedule: a view that was missed, however often, runs once when the scheduler starts, and then at its ticks.
func TestSchedule(t *testing.T) {
	v, w := newScheduled(t, "v", "*/10 * * * *"), newScheduled(t, "w", "@every 15m")
	none := &scheduled{View: &definitions.View{View: &feature.View{Name: "none"}}}
	simulated(t, &Scheduler{Parallel: 2}, 31*time.Minute, v, w, none)
	v.want(t, "0:00 10:00 20:00 30:00")
	w.want(t, "0:00 15:00 30:00")
	none.want(t, "")
}

// TestScheduleOfLongRuns: a run that takes longer than a tick is followed by one run, never by two at once.
func TestScheduleOfLongRuns(t *testing.T) {
	v := newScheduled(t, "v", "*/10 * * * *")
	v.takes = 25 * time.Minute
	simulated(t, &Scheduler{Parallel: 2}, time.Hour, v)
	v.want(t, "0:00 25:00 50:00")
}

// TestScheduleOfOne: with one run at a time the others wait for its end.
func TestScheduleOfOne(t *testing.T) {
	v, w := newScheduled(t, "v", "@hourly"), newScheduled(t, "w", "@hourly")
	v.takes, w.takes = 90*time.Second, 90*time.Second
	simulated(t, &Scheduler{Parallel: 1}, 30*time.Minute, v, w)
	began := slices.Sorted(slices.Values(append(v.began, w.began...)))
	if got := strings.Join(began, " "); got != "0:00 1:30" {
		t.Errorf("runs began at %s", got)
	}
}

// TestScheduleOfFailures: what may pass is tried again after 1, 2, 4, ... seconds, anything else at the next tick.
func TestScheduleOfFailures(t *testing.T) {
	v, w := newScheduled(t, "v", "*/10 * * * *"), newScheduled(t, "w", "*/10 * * * *")
	away := feature.Errorf(feature.ErrUnavailable, "the disk is away")
	v.fails = []error{away, away, feature.Errorf(feature.ErrConflict, "somebody was first"), nil}
	w.fails = []error{feature.Errorf(feature.ErrInvalid, "a sum does not fit")}
	simulated(t, &Scheduler{Parallel: 2}, 15*time.Minute, v, w)
	v.want(t, "0:00 0:01 0:03 0:07 10:00")
	if want := []int{1, 2, 3, 4, 1}; !slices.Equal(v.attempts, want) {
		t.Errorf("the attempts of v are %v, want %v", v.attempts, want)
	}
	w.want(t, "0:00 10:00")
}

// TestScheduleStops: a run under way is told that it is over, and waited for.
func TestScheduleStops(t *testing.T) {
	v := newScheduled(t, "v", "@hourly")
	v.takes = 24 * time.Hour
	simulated(t, &Scheduler{Parallel: 1}, time.Minute, v)
	v.want(t, "0:00")
}

// TestScheduleTimeout: a run that takes too long is stopped, and tried again as what may pass is.
func TestScheduleTimeout(t *testing.T) {
	v, w := newScheduled(t, "v", "@hourly"), newScheduled(t, "w", "@hourly")
	v.takes, w.takes = time.Hour, 2*time.Minute-1
	simulated(t, &Scheduler{Parallel: 2, Timeout: 2 * time.Minute}, 7*time.Minute, v, w)
	v.want(t, "0:00 2:01 4:03 6:07")
	w.want(t, "0:00")
	if want := []int{1, 2, 3, 4}; !slices.Equal(v.attempts, want) {
		t.Errorf("the attempts are %v, want %v", v.attempts, want)
	}
}

// TestTimeoutIsAnOutcome: what ends a run decides what it is called.
func TestTimeoutIsAnOutcome(t *testing.T) {
	running, stopped := t.Context(), canceled(t, context.Canceled)
	late := canceled(t, errTimeout)
	away, wrong := feature.Errorf(feature.ErrUnavailable, "away"), feature.Errorf(feature.ErrInvalid, "wrong")
	taken := feature.Errorf(feature.ErrConflict, "taken")
	for _, c := range []struct {
		ctx     context.Context
		err     error
		starter Starter
		want    Outcome
	}{
		{running, nil, ByScheduler, RunOK},
		{late, nil, ByScheduler, RunOK}, // it was done just then
		{late, context.Canceled, ByScheduler, RunTimeout},
		{late, away, ByScheduler, RunTimeout},
		{stopped, context.Canceled, ByScheduler, RunInterrupted},
		{stopped, context.Canceled, ByCommand, RunInterrupted},
		{running, away, ByScheduler, RunRetried},
		{running, taken, ByScheduler, RunRetried},
		{running, wrong, ByScheduler, RunFailed},
		{running, away, ByCommand, RunFailed},
	} {
		if got := outcomeOf(c.ctx, c.err, c.starter); got != c.want {
			t.Errorf("a run of the %s that ends with %v (%v) is %s, want %s", c.starter, c.err, context.Cause(c.ctx), got, c.want)
		}
	}
}

func canceled(t *testing.T, cause error) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	return ctx
}

// TestScheduleJitter: runs begin after their ticks, not together, and at the same times in every process.
func TestScheduleJitter(t *testing.T) {
	began := func() (all []string) {
		v, w := newScheduled(t, "v", "*/10 * * * *"), newScheduled(t, "w", "*/10 * * * *")
		simulated(t, &Scheduler{Parallel: 2, Jitter: 5 * time.Minute}, 55*time.Minute, v, w)
		for i, at := range slices.Concat(v.began, w.began) {
			var minutes, seconds int
			if _, err := fmt.Sscanf(at, "%d:%d", &minutes, &seconds); err != nil {
				t.Fatal(err)
			}
			if minutes/10 != i%6 || minutes%10 >= 5 {
				t.Errorf("run %d begins at %s", i, at)
			}
		}
		if len(v.began) != 6 || len(w.began) != 6 || slices.Equal(v.began, w.began) {
			t.Errorf("the runs begin at %v and %v", v.began, w.began)
		}
		return slices.Concat(v.began, w.began)
	}
	if first, second := began(), began(); !slices.Equal(first, second) {
		t.Errorf("the runs begin at %v, and another time at %v", first, second)
	}
}

// TestJitterEndsBeforeTheNextTick draws ticks and bounds, and looks at how evenly many views are spread.
func TestJitterEndsBeforeTheNextTick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Scheduler{Jitter: time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "jitter"))}
		tick := feature.Time(rapid.Int64Range(0, 4e15).Draw(t, "tick"))
		next := tick.Add(time.Duration(rapid.Int64Range(1, 86_400).Draw(t, "seconds")) * time.Second)
		got := s.jitter(rapid.String().Draw(t, "view"), tick, next)
		if got < 0 || got > 0 && got >= s.Jitter || tick.Add(got) >= next {
			t.Fatalf("jitter %s of a tick at %s before one at %s is %s", s.Jitter, tick, next, got)
		}
	})
	s := Scheduler{Jitter: time.Hour}
	var quarters [4]int
	for i := range 1000 {
		quarters[s.jitter(fmt.Sprint("view_", i), 1_700_000_000_000_000, feature.MaxTime)/(15*time.Minute)]++
	}
	if slices.Min(quarters[:]) < 200 {
		t.Errorf("of 1000 views %v begin in the quarters of the jitter", quarters)
	}
}

// place is a leader's place for tests.
type place struct{ taken atomic.Bool }

func (p *place) lead() (release func() error, err error) {
	if !p.taken.CompareAndSwap(false, true) {
		return nil, feature.Errorf(feature.ErrUnavailable, "process 4711 leads")
	}
	return func() error { p.taken.Store(false); return nil }, nil
}

// TestStandBy: of two schedulers one leads; the other follows it meanwhile, and takes over when it is gone.
func TestStandBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, p := time.Now(), &place{}
		var said strings.Builder
		var followed []time.Duration
		ran := map[string]time.Duration{}
		var mu sync.Mutex // of ran
		v, log := newScheduled(t, "v", "@daily"), slog.New(slog.NewTextHandler(&said, nil))
		scheduler := func(name string) *Scheduler {
			return &Scheduler{
				Lead:  p.lead,
				Log:   log.With("who", name),
				Views: func() ([]*definitions.View, error) { return []*definitions.View{v.View}, nil },
				Watermarks: func(context.Context, *definitions.View) (offline, online feature.Time, err error) {
					return feature.MinTime, feature.MaxTime, nil
				},
				Follow: func(context.Context) { followed = append(followed, time.Since(start)) },
				Run: func(context.Context, *definitions.View, int) error {
					mu.Lock()
					defer mu.Unlock()
					ran[name] = time.Since(start)
					return nil
				},
			}
		}
		first, second := scheduler("first"), scheduler("second")
		var group errgroup.Group
		ctx, stop := context.WithCancel(t.Context())
		group.Go(func() error { return first.Serve(ctx) })
		synctest.Wait()
		other, stopOther := context.WithCancel(t.Context())
		group.Go(func() error { return second.Serve(other) })
		time.Sleep(12*time.Second + time.Millisecond)
		if !first.Leads() || second.Leads() {
			t.Error("the first scheduler does not lead, or both do")
		}
		stop()
		time.Sleep(leadPoll + time.Millisecond)
		if first.Leads() || !second.Leads() {
			t.Error("the second scheduler has not taken over")
		}
		time.Sleep(time.Minute)
		stopOther()
		if err := group.Wait(); err != nil {
			t.Error(err)
		}
		if want := []time.Duration{0, 5 * time.Second, 10 * time.Second}; !slices.Equal(followed, want) {
			t.Errorf("the second has followed after %v, want %v", followed, want)
		}
		if ran["first"] != 0 || ran["second"] != 13*time.Second || len(ran) != 2 || p.taken.Load() {
			t.Errorf("they ran the view after %v; the place is taken: %t", ran, p.taken.Load())
		}
		if log := said.String(); strings.Count(log, "stands by") != 1 || !strings.Contains(log, "process 4711 leads") || strings.Count(log, "this scheduler leads") != 2 {
			t.Errorf("the log is\n%s", log)
		}
	})
}

// TestLead: a warehouse has one leader, who is named.
func TestLead(t *testing.T) {
	warehouse := t.TempDir()
	// An earlier leader with a long process id was killed.
	if err := os.WriteFile(filepath.Join(warehouse, leaderFile), []byte("pid 99999999999\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	release, err := Lead(warehouse)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Lead(warehouse)
	if want := fmt.Sprintf("process %d schedules the runs in warehouse %s", os.Getpid(), warehouse); feature.KindOf(err) != feature.ErrUnavailable || err.Error() != want {
		t.Errorf("a second leader gets %v, want %s", err, want)
	}
	if text, err := os.ReadFile(filepath.Join(warehouse, leaderFile)); err != nil || string(text) != fmt.Sprintf("pid %d\n", os.Getpid()) {
		t.Errorf("the lock holds %q, %v", text, err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	release, err = Lead(warehouse)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := Lead(filepath.Join(warehouse, "nowhere")); feature.KindOf(err) != feature.ErrUnavailable {
		t.Errorf("a warehouse that is not there: %v", err)
	}
}

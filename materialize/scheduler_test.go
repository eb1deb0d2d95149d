package materialize

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
func simulated(t *testing.T, parallel int, length time.Duration, views ...*scheduled) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		byName := map[string]*scheduled{}
		for _, v := range views {
			byName[v.Name] = v
		}
		running := 0
		s := &Scheduler{
			Parallel: parallel,
			Log:      slog.New(slog.DiscardHandler),
			Views: func() (all []*definitions.View, err error) {
				for _, v := range views {
					all = append(all, v.View)
				}
				return all, nil
			},
			Watermark: func(_ context.Context, v *definitions.View) (feature.Time, error) {
				return byName[v.Name].watermark, nil
			},
		}
		s.Run = func(ctx context.Context, view *definitions.View) error {
			v := byName[view.Name]
			if v.running || running == max(1, parallel) {
				t.Errorf("%s runs beside itself or too many others", v.Name)
			}
			v.running, running = true, running+1
			defer func() { v.running, running = false, running-1 }()
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
		if running > 0 {
			t.Error("Serve has returned before its runs")
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
	simulated(t, 2, 31*time.Minute, v, w, none)
	v.want(t, "0:00 10:00 20:00 30:00")
	w.want(t, "0:00 15:00 30:00")
	none.want(t, "")
}

// TestScheduleOfLongRuns: a run that takes longer than a tick is followed by one run, never by two at once.
func TestScheduleOfLongRuns(t *testing.T) {
	v := newScheduled(t, "v", "*/10 * * * *")
	v.takes = 25 * time.Minute
	simulated(t, 2, time.Hour, v)
	v.want(t, "0:00 25:00 50:00")
}

// TestScheduleOfOne: with one run at a time the others wait for its end.
func TestScheduleOfOne(t *testing.T) {
	v, w := newScheduled(t, "v", "@hourly"), newScheduled(t, "w", "@hourly")
	v.takes, w.takes = 90*time.Second, 90*time.Second
	simulated(t, 1, 30*time.Minute, v, w)
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
	simulated(t, 2, 15*time.Minute, v, w)
	v.want(t, "0:00 0:01 0:03 0:07 10:00")
	w.want(t, "0:00 10:00")
}

// TestScheduleStops: a run under way is told that it is over, and waited for.
func TestScheduleStops(t *testing.T) {
	v := newScheduled(t, "v", "@hourly")
	v.takes = 24 * time.Hour
	simulated(t, 1, time.Minute, v)
	v.want(t, "0:00")
}

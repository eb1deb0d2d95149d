package progress_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/asof-store/asof/internal/progress"
)

// clock is a clock that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

func TestLinesEveryFewSeconds(t *testing.T) {
	var out bytes.Buffer
	c := &clock{time.Unix(0, 0)}
	d := progress.New(&out, progress.Options{Now: c.now})
	a, b := d.Start("profile", 300_000), d.Start("visits", 0)
	for range 6 {
		c.advance(time.Second)
		a.Add(20_000)
		b.Add(1)
	}
	a.Done("")
	c.advance(4 * time.Second)
	b.Add(2000)
	b.Done("2,006 rows, 3 files")
	b.Done("again")
	a.Fail()
	want := `profile: 100,000 of 300,000 rows (33%), 20,000 rows/s, 10s left
visits: 5 rows, 1 rows/s
profile: 120,000 rows in 6s, 20,000 rows/s
visits: 2,006 rows, 200 rows/s
visits: 2,006 rows, 3 files
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestBarKeepsLinesApart(t *testing.T) {
	var out bytes.Buffer
	c := &clock{time.Unix(0, 0)}
	d := progress.New(&out, progress.Options{Terminal: true, Now: c.now})
	a, b := d.Start("profile", 100), d.Start("visits", 50)
	c.advance(time.Second)
	a.Add(100)
	fmt.Fprintln(d, "a log's line")
	a.Done("all done")
	b.Add(60) // more than was said
	b.Fail()
	screen := lastLines(out.String())
	if got := strings.Join(screen, "|"); got != "a log's line|profile: all done|" {
		t.Errorf("the screen shows %q, from %q", got, out.String())
	}
	if !strings.Contains(out.String(), "profile, visits") || !strings.Contains(out.String(), "/150") {
		t.Errorf("no bar in %q", out.String())
	}
}

// lastLines returns what a terminal shows of text in which a carriage return starts the line anew.
func lastLines(text string) []string {
	var screen []string
	for _, line := range strings.Split(text, "\n") {
		parts := strings.Split(line, "\r")
		screen = append(screen, strings.TrimSpace(parts[len(parts)-1]))
	}
	return screen
}

func TestManyTasksAtOnce(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var out bytes.Buffer
		d := progress.New(&out, progress.Options{Terminal: terminal})
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				task := d.Start(fmt.Sprintf("view%d", i), int64(i*100))
				defer task.Fail()
				for range 100 {
					task.Add(7)
				}
				task.Done(fmt.Sprintf("view %d is done", i))
			})
		}
		wg.Wait()
		for i := range 8 {
			if !strings.Contains(out.String(), fmt.Sprintf("view%d: view %d is done\n", i, i)) {
				t.Errorf("view %d is not reported: %q", i, out.String())
			}
		}
	}
}

func TestCountAndTook(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567", -123: "-123"} {
		if got := progress.Count(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "0s", 1234567: "1ms", 2345 * time.Millisecond: "2.3s", 100400 * time.Millisecond: "1m40s"} {
		if got := progress.Took(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

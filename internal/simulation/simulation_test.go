package simulation

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

var (
	seedFlag = flag.Uint64("seed", 0, "play the history of this seed alone, and tell what happens in it")
	forFlag  = flag.Duration("for", 20*time.Second, "play new histories for so long")
)

// TestSimulation plays histories of which each is made of a seed, and fails with the seed of the first that does not end well, in as
// few steps as will do.
func TestSimulation(t *testing.T) {
	if *seedFlag != 0 {
		h := newHistory(*seedFlag)
		trace, err := play(t, h)
		t.Logf("%s\n%s", h, strings.Join(trace, "\n"))
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	long := *forFlag
	if testing.Short() {
		long = min(long, 5*time.Second)
	}
	var group errgroup.Group
	var played, failed atomic.Int64
	end := time.Now().Add(long)
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() error {
			for time.Now().Before(end) && failed.Load() == 0 {
				h := newHistory(rand.Uint64() | 1)
				if _, err := play(t, h); err != nil {
					failed.Add(1)
					return fmt.Errorf("%w\n%s\ngo test ./internal/simulation -run TestSimulation -seed %d\n%s", err, h, h.seed, shortest(t, h))
				}
				played.Add(1)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d histories ended well", played.Load())
}

// TestReplay plays histories twice: the same things happen, but for the names that files get.
func TestReplay(t *testing.T) {
	chosen := regexp.MustCompile(`[0-9a-f-]{8,}|[0-9]{6,}`)
	for seed := range uint64(8) {
		h := newHistory(seed + 1)
		var told [2]string
		for i := range told {
			trace, err := play(t, h)
			told[i] = chosen.ReplaceAllString(fmt.Sprint(strings.Join(trace, "\n"), err), "*")
		}
		if diff := cmp.Diff(told[0], told[1]); diff != "" {
			t.Fatalf("seed %d: %s", h.seed, diff)
		}
	}
}

// play plays a history in a directory of its own and returns what happened.
func play(t *testing.T, h history) (trace []string, err error) {
	dir, err := os.MkdirTemp(memoryDir(), "asof-simulation-*")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}()
	w, err := newWorld(dir, h)
	if err != nil {
		return nil, err
	}
	for _, s := range h.steps {
		if err := w.step(s); err != nil {
			return w.trace, err
		}
	}
	if err := w.settle(); err != nil {
		return w.trace, err
	}
	return w.trace, w.final()
}

// memoryDir is where syncing costs nothing, if there is such a place.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// shortest leaves out whatever a failing history fails without, and tells the rest of it.
func shortest(t *testing.T, h history) string {
	trace, err := play(t, h)
	if err == nil {
		return "and when it is played again it ends well"
	}
	try := func(steps []step) bool {
		shorter := h
		shorter.steps = steps
		now, e := play(t, shorter)
		if e != nil {
			h, trace, err = shorter, now, e
		}
		return e != nil
	}
	for again := true; again; {
		again = false
		for i := len(h.steps) - 1; i >= 0; i-- {
			if try(slices.Delete(slices.Clone(h.steps), i, i+1)) {
				again = true
				continue
			}
			simpler := slices.Clone(h.steps)
			if simpler[i].fault, simpler[i].with = (fault{}), ""; simpler[i] != h.steps[i] && try(simpler) {
				again = true
			}
		}
	}
	return fmt.Sprintf("The shortest that fails like that:\n%s%s\n%v", h, strings.Join(trace, "\n"), err)
}

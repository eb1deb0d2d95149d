package memlimit

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// current returns how much the heap grows before it is collected, in percent.
func current() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// TestSet follows the growth of the heap through collections, and the limit.
func TestSet(t *testing.T) {
	before, limit := current(), debug.SetMemoryLimit(-1)
	defer func() {
		debug.SetGCPercent(before)
		debug.SetMemoryLimit(limit)
	}()
	const setting = 1 << 30
	Set(setting)
	if got := debug.SetMemoryLimit(-1); got != setting/firstPart {
		t.Fatalf("%d bytes until the heap is collected", got)
	}
	for end := time.Now().Add(time.Minute); current() != percent || debug.SetMemoryLimit(-1) != setting; runtime.GC() {
		if time.Now().After(end) {
			t.Fatalf("%d percent of %d bytes after collections", current(), debug.SetMemoryLimit(-1))
		}
	}
	Set(1)
	SetServing(math.MaxInt64)
	for range 3 {
		collected := make(chan struct{})
		runtime.AddCleanup(new([8]int64), func(of chan struct{}) { close(of) }, collected)
		runtime.GC()
		<-collected // and, most likely, what Set has left to be done, which is to change nothing
		if got := current(); got != percentServing {
			t.Fatalf("%d percent of a server", got)
		}
	}
	if SetServing(1); debug.SetMemoryLimit(-1) != least {
		t.Fatalf("a limit of %d", debug.SetMemoryLimit(-1))
	}
}

// Package memlimit keeps a process near a memory setting.
package memlimit

import (
	"runtime"
	"runtime/debug"
)

// least is what a process needs for its stores and buffers, whatever the setting.
const least = 256 << 20

// How much the heap grows, in percent of what lives, before it is collected.
const (
	percent        = 20
	percentServing = 2000
)

// firstPart is the part of a memory setting that is in use when the heap is collected for the first time.
const firstPart = 6

// Set makes Go's collector aim at the given number of bytes. Big columns hold no pointers, so collecting at a fifth of the usual growth costs less than memory does that
// the system has not given yet. Near the limit it collects more often, and not at all before a part of it is in use: until then nearly all lives, and each time it looks through
// megabytes full of pointers, which are those of the libraries that a command is made of.
func Set(bytes int64) {
	first := max(least, bytes) / firstPart
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(first)
	runtime.AddCleanup(new([8]int64), func(struct{}) { // when the heap has been collected
		if now := debug.SetMemoryLimit(-1); now == first { // else something else has been set since
			set(percent, bytes)
		}
	}, struct{}{})
}

// SetServing is Set for a process that answers requests: what lives is small and what requests leave behind much, so that collecting at the usual growth
// would go on all the time, and the slowest requests are those that meet it. The limit holds.
func SetServing(bytes int64) { set(percentServing, bytes) }

func set(percent int, bytes int64) {
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(max(least, bytes))
}

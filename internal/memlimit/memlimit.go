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
	percent = 35
	// percentFirst is for the first time: what lives when a command begins are a few megabytes full of pointers, of the libraries that it is made of, and looking through them
	// at every few megabytes more takes longer than a small export does otherwise.
	percentFirst   = 1000
	percentServing = 2000
)

// Set makes Go's collector aim at the given number of bytes. Big columns hold no pointers, so collecting at a third of the usual growth costs less than memory does that
// the system has not given yet. Near the limit it collects more often.
func Set(bytes int64) {
	set(percentFirst, bytes)
	runtime.AddCleanup(new([8]int64), func(struct{}) { // when the heap has been collected
		if now := debug.SetGCPercent(percent); now != percentFirst {
			debug.SetGCPercent(now) // something else has been set since
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

// Package memlimit keeps a process near a memory setting.
package memlimit

import "runtime/debug"

// least is what a process needs for its stores and buffers, whatever the setting.
const least = 256 << 20

// Set makes Go's collector aim at the given number of bytes. Big columns hold no pointers, so collecting at half the usual growth costs
// little; it brought the peak of the 2 M x 20 M export of docs/benchmarks.md from 605 MB to 464 MB. Near the limit it collects more often yet.
func Set(bytes int64) { set(50, bytes) }

// SetServing is Set for a process that answers requests: what lives is small and what requests leave behind much, so that collecting at the usual growth
// would go on all the time, and the slowest requests are those that meet it. The limit holds.
func SetServing(bytes int64) { set(2000, bytes) }

func set(percent int, bytes int64) {
	debug.SetGCPercent(percent)
	debug.SetMemoryLimit(max(least, bytes))
}

// Command bench measures asof on generated data, every figure in a process of its own.
//
// The data is seeded, made once below -dir and written through the real stores: history by offline.Store.Replace, the
// spine by the writer of training sets. Each measurement starts this program again for one operation and takes the
// operation's own time, the process's processor time and its peak resident memory as the operating system counts them.
// A measurement is repeated, and its median shown.
//
//	go run ./bench                # everything; several minutes the first time, which makes the data
//	go run ./bench -only join     # one of join, linear, memory, materialize, online
//
// docs/benchmarks.md has the figures and says what limits them.
package main

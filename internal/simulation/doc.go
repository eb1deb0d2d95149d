// Package simulation lets two machines' worth of trouble happen to a small feature store, thousands of times: random histories of
// runs, late, rewritten and deleted source files, changed definitions and two schedulers on one warehouse, in which processes are
// killed, the power fails, the disk fills up and reads and writes fail at any durable operation. Whatever happened, one run later
// everything is as if nothing had.
//
// Each history is made of a number, its seed:
//
//	go test ./internal/simulation -run TestSimulation             # for a few seconds
//	make simulate MINUTES=10                                      # for ten minutes
//	go test ./internal/simulation -run TestSimulation -seed 4711  # one history, told step by step
package simulation

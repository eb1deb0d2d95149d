// Package pointintime joins spine rows to feature history as of each row's own time, without leaking the future.
//
// The join is a merge. The spine's rows are sorted by (key, as-of time); every run of an offline snapshot is already
// sorted by (key, event time, created time). Both are walked once, which gives for each spine row the run and row
// of its answer; then each wanted feature column is decoded once and gathered. Runs are independent of each other: the
// better candidate, by (event time, created time, order of runs), stays. So the join needs no merge of files, reads a
// key of any number of rows in pieces, and takes time linear in spine plus history.
//
//	spine chunk --sort--> (key, as-of) --+
//	                                     +--walk--> (run, row) per spine row --gather--> columns in spine order
//	run 0, run 1, ... (key, event) ------+
//
// Memory is the spine chunk, its answers and, per worker, one run; never the history. [Join] answers one chunk,
// [Export] streams a whole spine file into a training set.
package pointintime

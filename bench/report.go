package main

import (
	"fmt"
	"io"
	"strings"
)

// report is what a suite has to say, to whoever waits for it and to docs/benchmarks.md.
type report struct {
	out   io.Writer
	text  strings.Builder
	plots []plot
}

func (r *report) printf(format string, args ...any) {
	fmt.Fprintf(io.MultiWriter(r.out, &r.text), format+"\n", args...)
}

// show prints a figure as a line of a table.
func (r *report) show(what string, f figure, unit string) {
	r.printf("%-50s %8.2f s  %8.2f s cpu  %6d MB peak  %12.0f %s/s", what, f.Seconds, f.CPU, f.Peak>>20, float64(f.Count)/f.Seconds, unit)
}

// close prints how a suite, or a case of it, stands beside its peer. That the results are equal has been seen before: nothing is measured
// to its end where they are not.
func (r *report) close(name string, ours, peer figure) {
	r.printf("bench %s ratio_time=%.2f ratio_memory=%.2f equal=true", name, peer.Seconds/ours.Seconds, float64(peer.Peak)/float64(ours.Peak))
}

// unequal prints that a suite has ended because results differ.
func (r *report) unequal(name string) {
	r.printf("bench %s ratio_time=0 ratio_memory=0 equal=false", name)
}

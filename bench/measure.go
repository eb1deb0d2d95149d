package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
)

// task is one operation for a process of its own.
type task struct {
	Do      string // a name of tasks
	Data    string // directory that it reads
	Out     string // directory or file that it writes
	History int    // rows
	Commits int
	Spine   int   // rows
	Keys    int   // of events
	Windows int   // over events
	Memory  int64 // bytes; 0 is the operation's default
}

// outcome is what the process of a task tells of it.
type outcome struct {
	Seconds float64 // of the operation, without starting the process and opening what it reads
	Count   int64   // of what it did: rows, keys, calls
}

func tasks() map[string]func(context.Context, task) (outcome, error) {
	return map[string]func(context.Context, task) (outcome, error){
		"make-history": makeHistory, "make-spine": makeSpine, "make-source": makeSource, "make-online": makeOnline,
		"export": taskExport, "join": taskJoin, "materialize": taskMaterialize, "materialize-all": taskMaterializeAll, "materialize-more": taskMaterializeMore, "publish": taskPublish, "get": taskGet,
		"make-events": makeEvents, "make-events-spine": makeEventsSpine, "export-windows": taskExportWindows,
	}
}

// figure is a measured outcome.
type figure struct {
	outcome
	CPU  float64 // user and system seconds of the whole process
	Peak int64   // bytes of resident memory
}

// measure does t in a new process.
func measure(ctx context.Context, t task) (figure, error) {
	self, err := os.Executable()
	if err != nil {
		return figure{}, err
	}
	text, err := json.Marshal(t)
	if err != nil {
		return figure{}, err
	}
	return measureCommand(exec.CommandContext(ctx, self, "-child", string(text)))
}

// measureCommand runs a command that prints an outcome.
func measureCommand(c *exec.Cmd) (figure, error) {
	c.Stderr = os.Stderr
	text, err := c.Output()
	if err != nil {
		return figure{}, fmt.Errorf("%s: %w", c.Path, err)
	}
	var f figure
	if err := json.Unmarshal(text, &f.outcome); err != nil {
		return f, fmt.Errorf("%s printed %.200q: %w", c.Path, text, err)
	}
	f.CPU = (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
	if usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage); ok {
		f.Peak = usage.Maxrss << 10 // kilobytes on Linux
	}
	return f, nil
}

// median repeats a measurement and returns the one of median time, with the greatest peak of all.
func (b *bench) median(once func() (figure, error)) (figure, error) {
	var figures []figure
	for range b.repeat {
		f, err := once()
		if err != nil {
			return f, err
		}
		figures = append(figures, f)
	}
	return medianOf(figures), nil
}

// medianOf returns the figure of median time, with the greatest peak of all.
func medianOf(figures []figure) figure {
	slices.SortFunc(figures, func(a, b figure) int { return cmp.Compare(a.Seconds, b.Seconds) })
	f := figures[len(figures)/2]
	for _, other := range figures {
		f.Peak = max(f.Peak, other.Peak)
	}
	return f
}

// show prints a figure as a line of a table.
func show(what string, f figure, unit string) {
	fmt.Printf("%-46s %8.2f s  %8.2f s cpu  %6d MB peak  %12.0f %s/s\n", what, f.Seconds, f.CPU, f.Peak>>20, float64(f.Count)/f.Seconds, unit)
}

// measured measures t as often as b repeats and prints the figure.
func (b *bench) measured(ctx context.Context, what, unit string, t task) (figure, error) {
	f, err := b.median(func() (figure, error) { return measure(ctx, t) })
	if err == nil {
		show(what, f, unit)
	}
	return f, err
}

// made returns the directory called name with the data that t makes there, which it makes unless a note says that it is
// there already. Tables know their own place, so nothing is moved.
func (b *bench) made(ctx context.Context, name string, t task) (string, error) {
	t.Out = b.path(name)
	note := t.Out + ".made"
	if _, err := os.Stat(note); err == nil {
		return t.Out, nil
	}
	fmt.Printf("making %s\n", t.Out)
	if err := os.RemoveAll(t.Out); err != nil {
		return "", err
	}
	if _, err := measure(ctx, t); err != nil {
		return "", err
	}
	return t.Out, os.WriteFile(note, nil, 0o644)
}

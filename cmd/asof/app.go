package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/internal/progress"
)

// app is what the verbs share: where they write, the clock, and the settings of the call.
type app struct {
	stdout   io.Writer         // results
	progress *progress.Display // what happens meanwhile, on stderr; logs go through it
	stderr   io.Writer         // faults
	now      func() time.Time
	log      *slog.Logger
	called   *cobra.Command // the verb that ran; nil where the command line did not get that far
}

func newApp(stdout, stderr io.Writer, terminal bool, now func() time.Time) *app {
	display := progress.New(stderr, progress.Options{Terminal: terminal, Now: now})
	return &app{stdout: stdout, stderr: stderr, progress: display, now: now, log: slog.New(slog.NewTextHandler(display, nil))}
}

// run executes a command line and returns the exit code. What went wrong is on stderr then.
func (a *app) run(ctx context.Context, args []string) int {
	return a.runRoot(ctx, newRootCommand(a, verbs(a)...), args)
}

func (a *app) runRoot(ctx context.Context, root *cobra.Command, args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(a.stderr, "asof: a fault of asof itself: %v\n%s", p, debug.Stack())
			code = exitCode(nil, true)
		}
	}()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if ctx.Err() != nil {
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintf(a.stderr, "asof: %v\n", err)
		}
		fmt.Fprintln(a.stderr, "asof: interrupted")
		return exitInterrupted
	}
	var faults definitions.Faults
	if errors.As(err, &faults) { // each line begins with its place, for editors to jump to
		fmt.Fprintf(a.stderr, "%v\nasof: the definitions have %s\n", err, counted(len(faults), "fault"))
		return exitCode(err, false)
	}
	fmt.Fprintf(a.stderr, "asof: %v\n", err)
	if a.called == nil {
		fmt.Fprintln(a.stderr, "Run 'asof --help', or 'asof VERB --help', to see what it takes.")
		return exitUsage
	}
	return exitCode(err, false)
}

// printf writes a result to stdout.
func (a *app) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(a.stdout, format, args...)
	return err
}

// counted is a number of things in words: "1 fault", "2 faults".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

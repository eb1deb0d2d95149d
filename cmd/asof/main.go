// Command asof is a feature store in one binary: it computes features from Parquet tables, exports training sets that are correct at
// each row's moment, and serves the latest values.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() { os.Exit(run()) }

// run executes the process's command line and returns its exit code.
func run() int {
	a := newApp(os.Stdout, os.Stderr, term.IsTerminal(int(os.Stderr.Fd())), time.Now)
	terminated, stopTerminate := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stopTerminate()
	ctx, stop := signal.NotifyContext(terminated, os.Interrupt)
	defer stop()
	// The first signal asks the verb to leave everything consistent; the second does what it does everywhere. Stopping the contexts
	// here would do that too, and make every signal look like both.
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })
	signal.Ignore(syscall.SIGXFSZ) // so that a file too large is a write that fails
	code := a.run(ctx, os.Args[1:])
	if code == exitInterrupted && terminated.Err() != nil {
		code = exitTerminated
	}
	return code
}

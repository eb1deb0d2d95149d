package main

import (
	"fmt"
	"strings"

	"github.com/asof-store/asof/feature"
)

// The exit codes that are not those of an error kind.
const (
	exitOK          = 0
	exitUsage       = 2   // the command line is wrong; so is other input, by exitKinds
	exitInterrupted = 130 // as shells say it: 128 + SIGINT
	exitTerminated  = 143 // 128 + SIGTERM
)

// exitKind is the exit code of a kind of errors.
type exitKind struct {
	kind    error
	code    int
	meaning string
}

// exitKinds is the one table from error kinds to exit codes; docs/cli.md and asof --help print it.
func exitKinds() []exitKind {
	return []exitKind{
		{feature.ErrInternal, 1, "a fault of asof itself, or one of unknown kind"},
		{feature.ErrInvalid, exitUsage, "the command line, a definition or a file's content is wrong: the same call will fail again"},
		{feature.ErrNotFound, 3, "what was named does not exist"},
		{feature.ErrConflict, 4, "somebody else was first: look again and repeat"},
		{feature.ErrCorrupt, 5, "stored data is damaged"},
		{feature.ErrUnavailable, 6, "a disk, file, lock or server is out of reach or taken: it may pass"},
	}
}

// exitCode returns the code of err's kind, the first of the table where it has none or asof panicked.
func exitCode(err error, panicked bool) int {
	kinds := exitKinds()
	if !panicked {
		for _, k := range kinds {
			if feature.KindOf(err) == k.kind {
				return k.code
			}
		}
	}
	return kinds[0].code
}

// exitHelp returns the table as asof --help shows it.
func exitHelp() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Exit codes:\n  %3d  all went well\n", exitOK)
	for _, k := range exitKinds() {
		fmt.Fprintf(&b, "  %3d  %s\n", k.code, k.meaning)
	}
	fmt.Fprintf(&b, "  %3d  interrupted; everything is left consistent, and the next run goes on\n", exitInterrupted)
	fmt.Fprintf(&b, "  %3d  terminated; the same", exitTerminated)
	return b.String()
}

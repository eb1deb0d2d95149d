package simulation

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// history is what happens, from the first file to the last run. A seed makes all of it.
type history struct {
	seed  uint64
	sizes sizes
	steps []step
}

// sizes are such that files, row groups and spills end in the midst of small tables.
type sizes struct {
	rowGroupRows, pageRows int
	fileBytes, memory      int64
}

// step is one thing that happens.
type step struct {
	do    verb
	who   int    // the process that does it
	with  verb   // what happens at the same time, "" for nothing
	salt  uint64 // of whatever else there is to choose
	fault fault  // that meets the process
}

// verb is what is done.
type verb string

const (
	run      verb = "run"       // brings all views up to now
	runRange verb = "range"     // materializes a range of one view again
	syncing  verb = "sync"      // publishes what is behind
	syncFull verb = "sync full" // publishes everything
	tag      verb = "tag"       // gives the snapshot of a view a tag, as an export does
	source   verb = "source"    // a source file appears, changes or goes
	define   verb = "define"    // the definitions change, and one process or all of them hear of it
	restart  verb = "restart"   // a process ends and starts again
	cut      verb = "cut"       // the power fails while nothing is going on
)

// fault is what goes wrong once in a step.
type fault struct {
	kind faultKind
	when moment
	on   string // the operations that are counted; "": all of those that the kind is about
	at   int    // how many of them go well before
}

type faultKind string

const (
	none         faultKind = ""
	failing      faultKind = "fails"
	killed       faultKind = "is killed"
	powerless    faultKind = "loses its power"
	full         faultKind = "finds the disk full from then on"
	unreadable   faultKind = "cannot read"
	unreadableOn faultKind = "cannot read from then on"
)

// moment is when a fault happens to an operation: it is not there afterwards, in part, or there all the same.
type moment string

const (
	before moment = "before"
	midway moment = "midway"
	after  moment = "after"
)

// stepsMax is the most steps of a history.
const stepsMax = 24

// newHistory returns the history of a seed.
func newHistory(seed uint64) history {
	r := rand.New(rand.NewPCG(seed, 0))
	h := history{seed: seed, sizes: sizes{
		rowGroupRows: 1 + r.IntN(20), pageRows: 1 + r.IntN(10), fileBytes: pick[int64](r, 1, 400, 1<<20), memory: pick[int64](r, 1, 4000, 1<<20),
	}}
	for range 1 + r.IntN(stepsMax) {
		s := step{do: pick(r, run, run, run, run, runRange, runRange, syncing, syncFull, tag, source, source, source, source, define, restart, cut),
			who: r.IntN(schedulers), salt: r.Uint64()}
		if s.acts() {
			s.fault = newFault(r)
			if r.IntN(4) == 0 {
				s.with = pick(r, run, run, run, runRange, syncing, tag, source, source)
			}
		}
		h.steps = append(h.steps, s)
	}
	return h
}

// acts tells whether a process does the step.
func (s step) acts() bool {
	return s.do == run || s.do == runRange || s.do == syncing || s.do == syncFull || s.do == tag
}

func newFault(r *rand.Rand) fault {
	f := fault{
		kind: pick(r, none, none, failing, failing, killed, killed, killed, powerless, powerless, powerless, full, unreadable, unreadableOn),
		when: pick(r, before, midway, after), at: r.IntN(1 << r.IntN(9)),
	}
	switch f.kind {
	case none:
		return fault{}
	case failing, killed, powerless: // some operations are rare, and matter the more
		if f.on = pick(r, "", "put", "put", "link", "sync directory", "sync", "write", "create", "truncate", "remove", "rename"); f.on != "" {
			f.at = r.IntN(1 << r.IntN(6))
		}
	}
	return f
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// String tells the history.
func (h history) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %+v\n", h.seed, h.sizes)
	for i, s := range h.steps {
		fmt.Fprintf(&b, "%2d. %s\n", i+1, s)
	}
	return b.String()
}

func (s step) String() string {
	text := string(s.do)
	if s.acts() {
		text = fmt.Sprintf("process %d: %s", s.who, s.do)
	}
	if s.with != "" {
		text += fmt.Sprintf(", and a %s at the same time", s.with)
	}
	if f := s.fault; f.kind != none {
		text += fmt.Sprintf("; it %s", f.kind)
		if f.kind == failing || f.kind == killed || f.kind == powerless {
			text += fmt.Sprintf(" %s", f.when)
		}
		text += fmt.Sprintf(" operation %s %d", f.on, f.at)
	}
	return text + fmt.Sprintf(" (salt %d)", s.salt)
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// task is one operation for a process of its own.
type task struct {
	Do       string // a name of tasks
	Data     string // directory that it reads
	Out      string // file or directory that it writes
	Spine    int    // rows of the spine
	Near     int    // the spine asks for so many keys that are neighbours; 0: for all
	Windows  int    // how many of windowDays
	Hourly   bool   // tiles of an hour, else exact
	Memory   int64  // bytes; 0 is the operation's default
	Keep     bool   // what is at Out, and go on from there
	Publish  bool   // to an online store beside the history, as asof materialize does
	Until    int    // the time is just before the end of so many stretches of the source; 0: the clock's
	Defaults bool   // Badger's options, not those of asof
	Limit    string // the name of one
	Shape    shape  // of the data
	Load     load   // on a server
}

// outcome is what the process of a task tells of it.
type outcome struct {
	Seconds float64 // of the operation, without starting the process and opening what it reads
	Count   int64   // of what it did: rows, keys, requests
	Read    int64   // bytes of data files that were read, where that is counted
	Of      int64   // bytes that these files have
	P50     float64 // milliseconds, of requests
	P99     float64
	Digest  string // of a history's rows
	Unequal string // what differs of two results that were compared; "" if nothing does
}

func tasks() map[string]func(context.Context, task) (outcome, error) {
	return map[string]func(context.Context, task) (outcome, error){
		"make-history": makeHistory, "make-spine": makeSpine, "make-source": makeSource, "make-events": makeEvents, "make-online": makeOnline,
		"export": taskExport, "export-counted": taskExportCounted, "check-export": taskCheckExport, "export-windows": taskExportWindows,
		"materialize": taskMaterialize, "digest": taskDigest, "publish": taskPublish, "make-prepared": makePrepared, "check-published": taskCheckPublished, "write-batch": taskWriteBatch,
		"serve": taskServe, "echo": taskEcho, "load": taskLoad, "limit": taskLimit,
	}
}

// figure is a measured outcome.
type figure struct {
	outcome
	CPU  float64 // user and system seconds of the whole process
	Peak int64   // bytes of resident memory
}

// process is a task that runs in a process of its own.
type process struct {
	command *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
}

// begin starts a command that reads the JSON of input and prints JSON.
func begin(c *exec.Cmd, input any) (*process, error) {
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	p := &process{command: c, in: in, answers: json.NewDecoder(out)}
	if err := json.NewEncoder(in).Encode(input); err != nil {
		return nil, errors.Join(err, in.Close(), c.Wait())
	}
	return p, nil
}

// end tells the process that nothing more comes, takes its outcome and waits for its end.
func (p *process) end() (figure, error) {
	var f figure
	err := p.in.Close()
	if answer := p.answers.Decode(&f.outcome); answer != nil {
		err = errors.Join(err, fmt.Errorf("it printed no outcome: %w", answer))
	}
	if err := errors.Join(err, p.command.Wait()); err != nil {
		return f, fmt.Errorf("%s: %w", p.command.Path, err)
	}
	f.CPU = (p.command.ProcessState.UserTime() + p.command.ProcessState.SystemTime()).Seconds()
	if usage, ok := p.command.ProcessState.SysUsage().(*syscall.Rusage); ok {
		f.Peak = usage.Maxrss << 10 // kilobytes on Linux
	}
	return f, nil
}

// beginTask starts t.
func beginTask(ctx context.Context, t task) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return begin(exec.CommandContext(ctx, self, childFlag), t)
}

// measure does t in a new process.
func measure(ctx context.Context, t task) (figure, error) {
	p, err := beginTask(ctx, t)
	if err != nil {
		return figure{}, err
	}
	f, err := p.end()
	if err != nil {
		return f, fmt.Errorf("%s: %w", t.Do, err)
	}
	return f, nil
}

// makeWay removes what an earlier turn has made at a path, and waits until nothing is on its way to the disk any more. Freeing a large file takes the system tens of milliseconds, of
// which a part comes with the next sync; and what a contender has not synced would keep the disk busy while the next one works. peer.py does the same.
func makeWay(path string) error {
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	unix.Sync()
	return nil
}

// contender is one of those that do the same work.
type contender struct {
	name string
	once func(context.Context) (figure, error)
	// check compares what once has just made with what it must be, see outcome.Unequal; nil: nobody knows what that is.
	check func(context.Context) (figure, error)
}

// inTurn has the contenders work one after the other, again and again, and returns the medians of each. A first turn, in which all
// results are compared, does not count.
func (b *bench) inTurn(ctx context.Context, contenders []contender) ([]figure, error) {
	turns := make([][]figure, len(contenders))
	for turn := range 1 + b.repeat {
		for i, c := range contenders {
			f, err := c.once(ctx)
			if err == nil && turn == 0 {
				err = c.compare(ctx)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			if b.counts(turn) {
				turns[i] = append(turns[i], f)
			}
		}
	}
	medians := make([]figure, len(contenders))
	for i := range turns {
		medians[i] = medianOf(turns[i])
	}
	return medians, nil
}

// counts tells whether the figures of a turn count: those of the first only if there is no other.
func (b *bench) counts(turn int) bool { return turn > 0 || b.repeat == 0 }

// compare fails with errUnequal unless the contender's result is what it must be.
func (c contender) compare(ctx context.Context) error {
	if c.check == nil {
		return nil
	}
	f, err := c.check(ctx)
	if err == nil && f.Unequal != "" {
		err = fmt.Errorf("%w: %s", errUnequal, f.Unequal)
	}
	return err
}

// medianOf returns the median of each number of figures.
func medianOf(figures []figure) figure {
	f := figures[0]
	f.Seconds = median(figures, func(f figure) float64 { return f.Seconds })
	f.Count = median(figures, func(f figure) int64 { return f.Count })
	f.CPU = median(figures, func(f figure) float64 { return f.CPU })
	f.Peak = median(figures, func(f figure) int64 { return f.Peak })
	f.P50 = median(figures, func(f figure) float64 { return f.P50 })
	f.P99 = median(figures, func(f figure) float64 { return f.P99 })
	return f
}

func median[N int64 | float64](figures []figure, of func(figure) N) N {
	var all []N
	for _, f := range figures {
		all = append(all, of(f))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// made returns the directory called name with the data that t makes there, which it makes once in a process. What an earlier one has made is not taken: a file that has left
// the system's memory since and was read again lies there in small pages, from which it is read more slowly than from those that it was written to. Tables know their own place,
// so nothing is moved.
func (b *bench) made(ctx context.Context, name string, t task) (string, error) {
	t.Out = b.path(name)
	if b.has[name] {
		return t.Out, nil
	}
	fmt.Fprintf(b.out, "making %s\n", t.Out)
	if err := os.RemoveAll(t.Out); err != nil {
		return "", err
	}
	if _, err := measure(ctx, t); err != nil {
		return "", err
	}
	b.has[name] = true
	return t.Out, nil
}

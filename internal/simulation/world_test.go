package simulation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
)

// schedulers is how many processes materialize the one warehouse, each with an online store of its own.
const schedulers = 2

// world is where a history takes place: a directory with source files and a warehouse, the processes, and a clock.
type world struct {
	*machine
	dir      string
	sizes    sizes
	now      feature.Time
	modified time.Time // of the source file that was written last
	meaning  meaning
	observer *process // whom nothing ever happens to

	promised  map[string]feature.Time // by view: to where a run has said that the history goes
	histories map[int64][]string      // rows by snapshot
	tags      map[string][]string     // by view: those that have been given
}

func newWorld(dir string, h history) (*world, error) {
	r := rand.New(rand.NewPCG(h.seed, 1))
	w := &world{
		machine: &machine{disk: newPlatter(filepath.Join(dir, "warehouse")), random: r},
		dir:     dir, sizes: h.sizes, now: 100 * second, modified: time.Unix(1_700_000_000, 0), meaning: newMeaning(r),
		promised: map[string]feature.Time{}, histories: map[int64][]string{}, tags: map[string][]string{},
	}
	for _, sub := range []string{"src", "warehouse"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	for i := range schedulers {
		w.processes = append(w.processes, w.newProcess(fmt.Sprint("process ", i)))
	}
	w.observer = w.newProcess("observer")
	w.processes[1].late = pick[feature.Time](r, 0, 0, 1, 3) * second
	err := errors.Join(w.writeSource("a", r), w.define())
	for _, p := range append(w.processes, w.observer) {
		err = errors.Join(err, w.start(p))
	}
	return w, err
}

func (w *world) newProcess(name string) *process {
	p := &process{name: name, machine: w.machine, online: &kv{}}
	p.online.process = p
	return p
}

// start starts a process, anew if it was running: it opens its stores and reads the definitions.
func (w *world) start(p *process) (err error) {
	p.dead = false
	if p.store, err = offline.Open(context.Background(), w.disk.dir, offline.Options{
		Disk: p, RowGroupRows: w.sizes.rowGroupRows, PageRows: w.sizes.pageRows, FileBytes: w.sizes.fileBytes,
	}); err != nil {
		return err
	}
	values, err := online.New(p.online, online.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return err
	}
	p.engine = &materialize.Engine{Offline: p.store, Online: values, Now: func() time.Time { return (w.now - p.late).Std() },
		Memory: w.sizes.memory, Workers: 1, TempDir: w.dir, Version: "simulation"}
	return w.load(p)
}

// define writes the definitions.
func (w *world) define() error {
	return os.WriteFile(filepath.Join(w.dir, "features.yaml"), []byte(w.meaning.yaml()), 0o644)
}

// load lets a process read the definitions.
func (w *world) load(p *process) (err error) {
	if p.model, err = definitions.Load(filepath.Join(w.dir, "features.yaml"), definitions.LoadOptions{}); err != nil {
		return err
	}
	for _, s := range p.model.Sources {
		s.Spec.Disk = p
	}
	p.verified = false
	return nil
}

func (w *world) source(name string) string { return filepath.Join(w.dir, "src", name+".parquet") }

func (w *world) writeSource(name string, r *rand.Rand) error {
	w.modified = w.modified.Add(time.Second)
	w.tell("%s.parquet is written", name)
	return writeSource(w.source(name), w.now, w.modified, r)
}

// changeSource writes a source file, new or in place of another, or removes one; the first stays.
func (w *world) changeSource(r *rand.Rand) error {
	name := pick(r, "a", "b", "c", "d")
	if name != "a" && r.IntN(3) == 0 {
		w.tell("%s.parquet is removed", name)
		if err := os.Remove(w.source(name)); err == nil || errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	return w.writeSource(name, r)
}

// step does a step, starts again who has died in it, and looks at what there is.
func (w *world) step(s step) error {
	w.random = rand.New(rand.NewPCG(s.salt, 2))
	w.tell("-- %s", s)
	p := w.processes[s.who]
	var err error
	switch {
	case s.acts():
		w.now += feature.Time(w.random.IntN(6)) * second
		err = w.actions(p, s)
	case s.do == source:
		err = w.changeSource(w.random)
	case s.do == define:
		w.meaning.change(w.random)
		err = w.define()
		if err == nil && w.random.IntN(2) == 0 {
			err = w.load(w.processes[1-s.who])
		}
		err = errors.Join(err, w.load(p))
	case s.do == restart:
		err = w.start(p)
	case s.do == cut:
		w.cut()
	}
	if err = errors.Join(err, w.broken); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	for _, p := range w.processes {
		if !p.dead {
			continue
		}
		w.tell("%s starts again", p.name)
		if err := w.start(p); err != nil {
			return fmt.Errorf("starting again after %s: %w", s, err)
		}
	}
	if err := w.look(); err != nil {
		return fmt.Errorf("after %s: %w", s, err)
	}
	return nil
}

// actions lets a process do what the step says, and meanwhile somebody else something else, and judges what comes of it.
func (w *world) actions(p *process, s step) error {
	p.arm(s.fault)
	defer p.arm(fault{})
	if s.with == "" {
		err := w.action(p, s.do, w.random)
		return w.judge(p, err, false)
	}
	other := w.processes[1-s.who]
	random := rand.New(rand.NewPCG(s.salt, 3)) // of its own: the turns draw from the step's
	first, second := &act{do: func() error { return w.action(p, s.do, w.random) }}, &act{do: func() error { return w.action(other, s.with, random) }}
	if s.with == source {
		other = w.newProcess("user")
		second.do = func() error {
			for range random.IntN(60) {
				other.pause()
			}
			return w.changeSource(random)
		}
	}
	p.act, other.act = first, second
	w.together(first, second)
	p.act, other.act = nil, nil
	if s.with == source {
		return errors.Join(w.judge(p, first.err, true), second.err)
	}
	return errors.Join(w.judge(p, first.err, true), w.judge(other, second.err, true))
}

// judge says whether an error may come of what a process did. Others at work, and disks that fail, are troubles that may pass, and must
// say so: it is those that a scheduler tries again.
func (w *world) judge(p *process, err error, others bool) error {
	kind := feature.KindOf(err)
	switch {
	case err == nil || p.dead:
		return nil
	case (p.struck || others) && (kind == feature.ErrUnavailable || kind == feature.ErrConflict):
		w.tell("%s: %v", p.name, err)
		return nil
	}
	return fmt.Errorf("%s fails with an error of kind %q: %w", p.name, kind, err)
}

// action does a verb.
func (w *world) action(p *process, do verb, r *rand.Rand) error {
	ctx := context.Background()
	switch do {
	case run:
		results, err := p.engine.Run(ctx, p.model.Views, materialize.Request{})
		w.promise(p, results)
		return err
	case runRange:
		return w.runRange(p, r)
	case tag:
		return w.tag(p, r)
	case syncing:
		_, err := p.engine.Sync(ctx, p.model.Views)
		return err
	}
	_, err := p.engine.SyncFull(ctx, p.model.Views)
	return err
}

// promise notes to where runs have said that histories go. One that had nothing to do says nothing of its own.
func (w *world) promise(p *process, results []materialize.Result) {
	for _, r := range results {
		if r.Snapshot != 0 && !p.dead {
			w.promised[r.View] = max(w.promised[r.View], r.Watermark)
		}
	}
}

// runRange materializes a range of a view that leaves no hole, perhaps in chunks. Of a view whose definition has changed there is none.
func (w *world) runRange(p *process, r *rand.Rand) error {
	view := p.model.Views[r.IntN(len(p.model.Views))]
	now := w.now - p.late
	from := now - feature.Time(r.IntN(25))*second
	to := from + feature.Time(r.IntN(int((now-from)/second)+1))*second
	snapshot, err := w.observer.store.Snapshot(context.Background(), view.Name)
	switch {
	case errors.Is(err, feature.ErrNotFound): // the history is to begin at from
	case err != nil:
		return err
	default:
		progress := snapshot.Progress()
		from = min(from, progress.Watermark+1)
		if to = max(to, from); progress.Start != feature.MinTime {
			to = max(to, progress.Start)
		}
		if err := snapshot.Close(); err != nil {
			return err
		}
	}
	if to > now {
		return nil // the process's clock is behind where the history begins
	}
	request := materialize.Request{From: &from, To: &to, NewestFirst: r.IntN(2) == 0, Chunk: time.Duration(r.IntN(6)) * 2 * time.Second}
	changed := w.changed(p, view.Name)
	results, err := p.engine.Run(context.Background(), []*definitions.View{view}, request)
	w.promise(p, results)
	if errors.Is(err, feature.ErrInvalid) && (changed || w.changed(p, view.Name)) { // another may change it meanwhile, or change it back
		return nil
	}
	return err
}

// tag gives the snapshot of a view a tag.
func (w *world) tag(p *process, r *rand.Rand) error {
	view, name := p.model.Views[r.IntN(len(p.model.Views))].Name, fmt.Sprintf("tag-%x", r.Uint64())
	snapshot, err := p.store.Snapshot(context.Background(), view)
	if errors.Is(err, feature.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = errors.Join(snapshot.Tag(context.Background(), name), snapshot.Close())
	if err == nil {
		w.tags[view] = append(w.tags[view], name)
	}
	return err
}

// changed tells whether a view's history is of another definition than the process's.
func (w *world) changed(p *process, name string) bool {
	snapshot, err := w.observer.store.Snapshot(context.Background(), name)
	if err != nil {
		return false
	}
	defer func() { _ = snapshot.Close() }()
	view, err := p.model.View(name)
	return err == nil && snapshot.Progress().Hash != view.Hash
}

// settle starts everything again, perhaps after a power cut, and runs everything once more.
func (w *world) settle() error {
	w.random = rand.New(rand.NewPCG(uint64(w.now), 4))
	w.tell("-- and once more")
	if w.random.IntN(2) == 0 {
		w.cut()
	}
	for _, p := range w.processes {
		if err := w.start(p); err != nil {
			return fmt.Errorf("starting again: %w", err)
		}
	}
	for _, p := range w.processes {
		if _, err := p.engine.Run(context.Background(), p.model.Views, materialize.Request{}); err != nil {
			return fmt.Errorf("running once more: %w", err)
		}
	}
	return errors.Join(w.broken, w.look())
}

// views returns the views' names.
func (w *world) views() []string {
	var names []string
	for _, v := range w.observer.model.Views {
		names = append(names, v.Name)
	}
	return slices.Sorted(slices.Values(names))
}

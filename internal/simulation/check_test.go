package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/online"
)

// look holds what there is against what must be true at any time, whatever was interrupted: histories can be read and keep their
// promises, and what a process serves is what training sees, unless the store itself says that it is behind.
func (w *world) look() error {
	if err := w.disk.check(); err != nil {
		return err
	}
	if !w.disk.looked {
		for _, name := range w.views() {
			if err := w.lookAt(name); err != nil {
				return fmt.Errorf("view %s: %w", name, err)
			}
		}
	}
	w.disk.looked = true
	for _, p := range w.processes {
		if p.verified {
			continue
		}
		p.verified = true
		for _, view := range p.model.Views {
			v, err := p.engine.Verify(context.Background(), view.View, materialize.VerifyRequest{})
			if err == nil && !v.OK() {
				err = fmt.Errorf("online and training differ: %+v", v)
			}
			if err != nil && !errors.Is(err, feature.ErrNotFound) && !errors.Is(err, feature.ErrUnavailable) {
				return fmt.Errorf("%s, view %s: %w", p.name, view.Name, err)
			}
		}
	}
	return nil
}

// lookAt reads a view's history. What a snapshot holds never changes, and it reaches to where runs have said.
func (w *world) lookAt(name string) error {
	snapshot, err := w.observer.store.Snapshot(context.Background(), name)
	if errors.Is(err, feature.ErrNotFound) && w.promised[name] == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	rows, err := historyOf(snapshot)
	if err := errors.Join(err, snapshot.Close()); err != nil {
		return err
	}
	if at := snapshot.Progress().Watermark; at < w.promised[name] {
		return fmt.Errorf("its history goes to %s, after a run has said that it goes to %s", at, w.promised[name])
	}
	before, known := w.histories[snapshot.ID()]
	if known && !slices.Equal(rows, before) {
		return fmt.Errorf("snapshot %d has changed: %s", snapshot.ID(), difference(rows, before))
	}
	w.histories[snapshot.ID()] = rows
	return w.lookForTags(name)
}

// lookForTags looks for the tags of a view in the newest version of its table's metadata.
func (w *world) lookForTags(name string) error {
	versions, err := filepath.Glob(filepath.Join(w.disk.dir, "features", name, "metadata", "v*.metadata.json"))
	if err != nil {
		return err
	}
	newest := slices.MaxFunc(versions, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	text, err := os.ReadFile(newest)
	if err != nil {
		return err
	}
	for _, tag := range w.tags[name] {
		if !strings.Contains(string(text), fmt.Sprintf("%q", tag)) {
			return fmt.Errorf("%s, which was given, is not in %s", tag, filepath.Base(newest))
		}
	}
	return nil
}

// historyOf returns the rows of a history in order, as text, and fails where their order or their times are not what they should be.
func historyOf(s *offline.Snapshot) ([]string, error) {
	ctx, progress := context.Background(), s.Progress()
	var names []string
	for _, f := range s.Fields() {
		names = append(names, f.Name)
	}
	var all []storedRow
	runs, err := s.Runs(ctx)
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		columns, err := run.Read(ctx, names, nil)
		if err != nil {
			return nil, err
		}
		rows := make([]storedRow, run.Rows())
		for i := range rows {
			rows[i] = rowOf(s, names, columns, i)
			if at := rows[i].event; at > progress.Watermark || at < progress.Start {
				return nil, fmt.Errorf("%s lies outside of the history, which goes from %s to %s", rows[i].text, progress.Start, progress.Watermark)
			}
		}
		if !slices.IsSortedFunc(rows, storedRow.compare) {
			return nil, fmt.Errorf("a run is not sorted: %v", rows)
		}
		all = append(all, rows...)
	}
	slices.SortStableFunc(all, storedRow.compare)
	texts := make([]string, len(all))
	for i, row := range all {
		texts[i] = row.text
	}
	return texts, nil
}

// storedRow is a row with its place in the order of a history.
type storedRow struct {
	place feature.Key
	event feature.Time
	text  string
}

func (r storedRow) compare(o storedRow) int { return slices.Compare(r.place, o.place) }

func rowOf(s *offline.Snapshot, names []string, columns []arrow.Array, i int) (row storedRow) {
	var cells []string
	for c, name := range names {
		cells = append(cells, name+"="+cellText(columns[c], i))
		if name == feature.EventTimeColumn {
			row.event = feature.Time(columns[c].(*array.Timestamp).Value(i))
		}
	}
	place := func(name string) {
		if c := slices.Index(names, name); c >= 0 {
			row.place, _ = feature.AppendKeyPart(row.place, columns[c], i) // a NULL is the lowest, and only the last part may be one
		}
	}
	for _, k := range s.Keys() {
		place(k.Name)
	}
	place(feature.EventTimeColumn)
	place(feature.CreatedTimeColumn)
	row.text = strings.Join(cells, " ")
	return row
}

// difference shows where two histories begin to differ.
func difference(got, want []string) string {
	for i := range max(len(got), len(want)) {
		if i >= len(got) {
			return fmt.Sprintf("%d rows of %d are there; missing is %s", len(got), len(want), want[i])
		}
		if i >= len(want) {
			return fmt.Sprintf("%d rows are there, and %d should be; too many is %s", len(got), len(want), got[i])
		}
		if got[i] != want[i] {
			return fmt.Sprintf("row %d is %s, and should be %s", i, got[i], want[i])
		}
	}
	return "nothing differs"
}

// final holds a world in which everything has run once more against one without a past.
func (w *world) final() error {
	scratch, err := offline.Open(context.Background(), filepath.Join(w.dir, "scratch"), offline.Options{})
	if err != nil {
		return err
	}
	for _, view := range w.processes[0].model.Views {
		if err := errors.Join(w.checkOffline(view.View), w.fromScratch(scratch, view.Name)); err != nil {
			return fmt.Errorf("view %s: %w", view.Name, err)
		}
	}
	for _, p := range w.processes {
		if err := errors.Join(w.atRest(p), w.checkOnline(p)); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		for _, view := range p.model.Views {
			v, err := p.engine.Verify(context.Background(), view.View, materialize.VerifyRequest{})
			if err == nil && (!v.OK() || v.Watermark < w.now) {
				err = fmt.Errorf("at %s it says %+v", w.now, v)
			}
			if err == nil {
				err = w.compareExport(p, view.Name)
			}
			if err != nil {
				return fmt.Errorf("verifying %s of %s: %w", view.Name, p.name, err)
			}
		}
	}
	return nil
}

// checkOnline derives all that must hold of a process's online store from what is stored.
func (w *world) checkOnline(p *process) error {
	var views []*feature.View
	for _, v := range p.model.Views {
		views = append(views, v.View)
	}
	var faults []error
	err := p.engine.Online.Check(context.Background(), views, func(f online.Finding) {
		faults = append(faults, fmt.Errorf("%s: %s", f.Where, f.What))
	})
	return errors.Join(append(faults, err)...)
}

// checkOffline derives all that must hold of a view's table from what is stored. A crash in the midst of a tag may leave a temporary
// file; nothing else is left over.
func (w *world) checkOffline(view *feature.View) error {
	var faults []error
	_, err := w.observer.store.Check(context.Background(), view, offline.CheckOptions{}, func(f offline.Finding) {
		if !f.Remark || !strings.HasSuffix(f.Where, ".tmp") {
			faults = append(faults, fmt.Errorf("%s: %s", f.Where, f.What))
		}
	})
	return errors.Join(append(faults, err)...)
}

// atRest fails where a process that has run finds something left to do: to compute, to publish, or to clear away.
func (w *world) atRest(p *process) error {
	results, err := p.engine.Run(context.Background(), p.model.Views, materialize.Request{})
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Snapshot != 0 || r.Published.Keys > 0 {
			return fmt.Errorf("a run of view %s finds something left to do: %+v", r.View, r)
		}
	}
	served := p.online.rows
	if err := w.start(p); err != nil {
		return err
	}
	if len(p.online.rows) != len(served) {
		return fmt.Errorf("a start clears away %d records of %d", len(served)-len(p.online.rows), len(served))
	}
	return nil
}

// fromScratch compares the history of a view with one that is made in an empty warehouse from the source files as they are.
func (w *world) fromScratch(scratch *offline.Store, name string) error {
	ctx := context.Background()
	got, err := w.observer.store.Snapshot(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = got.Close() }()
	request := materialize.Request{}
	if start := got.Progress().Start; start != feature.MinTime {
		request.From = &start
	}
	view, err := w.processes[0].model.View(name)
	if err != nil {
		return err
	}
	engine := &materialize.Engine{Offline: scratch, Now: func() time.Time { return w.now.Std() }, TempDir: w.dir}
	if _, err := engine.Run(ctx, []*definitions.View{view}, request); err != nil {
		return err
	}
	want, err := scratch.Snapshot(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = want.Close() }()
	rows, err := historyOf(got)
	if err != nil {
		return err
	}
	once, err := historyOf(want)
	if err == nil && !slices.Equal(rows, once) {
		err = fmt.Errorf("the history is not that of the source files: %s", difference(rows, once))
	}
	return err
}

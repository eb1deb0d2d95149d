package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/asof-store/asof/internal/disk"
	"github.com/asof-store/asof/offline"
	"github.com/asof-store/asof/pointintime"
)

// usual is the data that most suites are about: 20 M rows of history, 1 M integer keys over a year, 4 features.
func (b *bench) usual() shape {
	return shape{Kind: intKeys, Keys: b.rows(million), Rows: b.rows(20 * million), Days: 360, Views: 1, Features: 4, Commits: 1}
}

// benchExportAsof exports 2 M rows, of a history that was written at once and of one that came in eight commits.
func benchExportAsof(ctx context.Context, b *bench, r *report) error {
	inEight := b.usual()
	inEight.Commits = 8
	if _, err := b.besideExport(ctx, r, "export-asof-8-commits", "8 commits", exportOf(inEight, b.rows(2*million))); err != nil {
		return err
	}
	_, err := b.besideExport(ctx, r, "export-asof", "1 commit", exportOf(b.usual(), b.rows(2*million)))
	return err
}

// benchExportFiveViews exports 20 features of five views, whose 100 M rows of history are removed afterwards.
func benchExportFiveViews(ctx context.Context, b *bench, r *report) error {
	s := b.usual()
	s.Views = 5
	if _, err := b.besideExport(ctx, r, "export-five-views", "5 views", exportOf(s, b.rows(2*million))); err != nil {
		return err
	}
	return b.discardHistory(s)
}

// benchExportStringKeys exports with keys that are UUIDs, and with two-part keys. The suite's own line is that of the lesser ratio.
func benchExportStringKeys(ctx context.Context, b *bench, r *report) error {
	return worst(r, "export-string-keys", func(kind keyKind) (standing, error) {
		s := b.usual()
		s.Kind = kind
		return b.besideExport(ctx, r, "export-string-keys-"+string(kind), string(kind)+" keys", exportOf(s, b.rows(2*million)))
	}, uuidKeys, pairKeys)
}

// benchExportSmallSpine exports 1,000 rows: of keys from all over the history, and of 100 keys that are neighbours, as the customers of
// one region are. The suite's own line is that of the lesser ratio.
func benchExportSmallSpine(ctx context.Context, b *bench, r *report) error {
	return worst(r, "export-small-spine", func(near int) (standing, error) {
		t := exportOf(b.usual(), 1000)
		t.Near = near
		name := map[int]string{0: "scattered", 100: "near"}[near]
		st, err := b.besideExport(ctx, r, "export-small-spine-"+name, name+" keys", t)
		if err != nil {
			return st, err
		}
		t.Do = "export-counted"
		if t, err = b.exportData(ctx, t); err != nil {
			return st, err
		}
		f, err := measure(ctx, t)
		if err != nil {
			return st, err
		}
		r.printf("  %s of %s of data files read: %.1f %%", bytesText(f.Read), bytesText(f.Of), 100*float64(f.Read)/float64(f.Of))
		return st, nil
	}, 0, 100)
}

// benchLinear exports with histories and spines of other sizes: time must grow as they do.
func benchLinear(ctx context.Context, b *bench, r *report) error {
	var byHistory []standing
	for _, rows := range []int{5 * million, 10 * million, 20 * million} {
		s := b.usual()
		s.Rows = b.rows(rows)
		st, err := b.besideExport(ctx, r, "", fmt.Sprintf("%d M of history", rows/million), exportOf(s, b.rows(2*million)))
		if err != nil {
			return err
		}
		byHistory = append(byHistory, st.at(rows))
	}
	r.plotStandings("linear", "2 M spine rows: export against rows of history", byHistory)
	for _, rows := range []int{million / 2, million} {
		if _, err := b.besideExport(ctx, r, "", fmt.Sprintf("%.1f M spine rows", float64(rows)/million), exportOf(b.usual(), b.rows(rows))); err != nil {
			return err
		}
	}
	return nil
}

// exportOf is the task of exporting a spine of so many rows.
func exportOf(s shape, spine int) task { return task{Do: "export", Shape: s, Spine: spine} }

// exportData makes the data that t is about.
func (b *bench) exportData(ctx context.Context, t task) (task, error) {
	var err error
	if t.Data, err = b.made(ctx, "history-"+t.Shape.name(), task{Do: "make-history", Shape: t.Shape}); err != nil {
		return t, err
	}
	name := fmt.Sprintf("spine-%d-of-%d-%s-keys-near-%d", t.Spine, t.Shape.Keys, t.Shape.Kind, t.Near)
	spines, err := b.made(ctx, name, task{Do: "make-spine", Shape: t.Shape, Spine: t.Spine, Near: t.Near})
	t.Out = filepath.Join(spines, trainingName)
	return t, err
}

// discardHistory removes a history that is too large to lie about.
func (b *bench) discardHistory(s shape) error {
	name := "history-" + s.name()
	delete(b.has, name)
	return os.RemoveAll(b.path(name))
}

// trainingName is the file that an export writes, beside its spine.
const trainingName = "training.parquet"

func (t task) spinePath() string { return filepath.Join(filepath.Dir(t.Out), spineName) }

// besideExport measures an export in turn with the peers. What asof exports is compared with what the generator knows, and the peers'
// training sets with that. name is that of the closing line; "" leaves it out.
func (b *bench) besideExport(ctx context.Context, r *report, name, what string, t task) (standing, error) {
	t, err := b.exportData(ctx, t)
	if err != nil {
		return standing{}, err
	}
	check := t
	check.Do = "check-export"
	contenders := []contender{{name: "asof", once: doing(t), check: doing(check)}}
	if b.python != "" {
		ask, err := exportQuestion(ctx, t)
		if err != nil {
			return standing{}, err
		}
		contenders = append(contenders, b.peers(ask, peerDuckDB, peerPolars)...)
	}
	return b.stand(ctx, r, name, what, "spine rows", int64(t.Spine), contenders)
}

// exportQuestion is what a peer is asked instead of t.
func exportQuestion(ctx context.Context, t task) (question, error) {
	q := question{Do: "asof", Spine: t.spinePath(), Ours: t.Out, Few: t.Spine <= 1000}
	for _, k := range t.Shape.keyFields() {
		q.Keys = append(q.Keys, k.Name)
	}
	q.Columns = append(append(q.Columns, q.Keys...), timeColumn, labelColumn)
	for _, view := range t.Shape.views() {
		files, err := historyFiles(ctx, t.Data, view.Name)
		if err != nil {
			return q, err
		}
		h := peerHistory{Files: files}
		for i := range view.Features {
			h.Features = append(h.Features, view.Features[i].Name)
		}
		q.History, q.Columns = append(q.History, h), append(q.Columns, h.Features...)
	}
	return q, nil
}

// taskExport exports the training set of t.
func taskExport(ctx context.Context, t task) (outcome, error) { return export(ctx, t, disk.OS{}) }

// taskExportCounted is taskExport, counting the bytes of data files that it reads.
func taskExportCounted(ctx context.Context, t task) (outcome, error) {
	counting := &countingDisk{}
	o, err := export(ctx, t, counting)
	o.Read = counting.read.Load()
	return o, err
}

func export(ctx context.Context, t task, d disk.FS) (o outcome, err error) {
	store, err := offline.Open(ctx, t.Data, offline.Options{Disk: d})
	if err != nil {
		return o, err
	}
	svc, snapshots := service("bench", t.Shape.views(), 0), map[string]*offline.Snapshot{}
	defer func() {
		for _, s := range snapshots {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := makeWay(t.Out); err != nil {
		return o, err
	}
	begun := time.Now()
	for _, ref := range svc.Refs {
		s, err := store.Snapshot(ctx, ref.View.Name)
		if err != nil {
			return o, err
		}
		snapshots[ref.View.Name] = s
		o.Of += s.Bytes()
	}
	m, err := pointintime.Export(ctx, svc, snapshots, t.spinePath(), t.Out, pointintime.ExportOptions{Memory: t.Memory})
	if err != nil {
		return o, err
	}
	o.Seconds, o.Count = time.Since(begun).Seconds(), m.Rows
	return o, nil
}

// historyFiles returns the data files of a view's history, in order.
func historyFiles(ctx context.Context, warehouse, view string) (paths []string, err error) {
	store, err := offline.Open(ctx, warehouse, offline.Options{})
	if err != nil {
		return nil, err
	}
	snapshot, err := store.Snapshot(ctx, view)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	for _, f := range snapshot.Files() {
		paths = append(paths, f.Path)
	}
	return paths, nil
}

package source

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

// partRows is about how many rows a part has: some tens of milliseconds of work, so that workers end at nearly the same time.
const partRows = 1 << 18

// ReadParts is [Read] by several workers at once. The row groups of the files make parts, which are numbered in source order; a part is read by one
// worker, which calls yield with the part's number and its own, from 0. Batches of one part come in source order.
//
// It fails as Read does, with the error that is first in source order; batches of later parts may have been handed out by then.
func ReadParts(ctx context.Context, spec Spec, request Request, workers int, yield func(worker, part int, b Batch) error) (Stats, error) {
	files := slices.Clone(request.Files)
	if files == nil {
		var err error
		if files, err = Files(ctx, spec); err != nil {
			return Stats{}, err
		}
	}
	p := &parts{reader: newReader(&spec, &request, files, nil), files: files}
	var group errgroup.Group
	for w := range max(1, workers) {
		group.Go(func() error {
			for p.readNext(ctx, w, yield) {
			}
			return nil
		})
	}
	_ = group.Wait() // errors are in p
	if err := p.end(); err != nil {
		return Stats{}, err
	}
	return p.reader.stats, nil
}

// parts deals the parts of a source to workers.
type parts struct {
	mu      sync.Mutex
	reader  *reader // what all of them find out
	files   []FileStat
	at      int // file to open next
	current *openFile
	group   int // of current, to be dealt next
	dealt   int // parts
	skipped bool
	failed  int // the first part that has failed, by number, if err is not nil
	err     error
}

// openFile is a file of which parts are being read.
type openFile struct {
	file    *parquetio.File
	stat    *FileStat
	inputs  []input
	reading int  // parts
	dealt   bool // all of it
}

// part is a stretch of row groups of one file.
type part struct {
	of       *openFile
	number   int
	from, to int // row groups
}

// readNext reads the next part, and reports whether there was one.
func (p *parts) readNext(ctx context.Context, worker int, yield func(worker, part int, b Batch) error) bool {
	p.mu.Lock()
	next, ok := p.next()
	p.mu.Unlock()
	if !ok {
		return false
	}
	r := *p.reader // what does not change is shared
	stat := *next.of.stat
	r.stats, stat.RowsRead = Stats{}, 0
	r.yield = func(b Batch) error { return yield(worker, next.number, b) }
	fr := &fileReader{reader: &r, file: next.of.file, stat: &stat, inputs: slices.Clone(next.of.inputs)}
	err := fr.readGroups(ctx, next.from, next.to)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reader.stats.Rows += r.stats.Rows
	p.reader.stats.Skipped += r.stats.Skipped
	to := next.of.stat
	to.RowsRead += stat.RowsRead
	to.MinEvent, to.MaxEvent = min(to.MinEvent, stat.MinEvent), max(to.MaxEvent, stat.MaxEvent)
	if err != nil {
		p.fail(next.number, p.reader.spec.changedSince(to, err))
	}
	next.of.reading--
	p.close(next.of)
	return true
}

// next deals a part, opening files as it comes to them. After a failure there are no more: what lies before it in source order has been
// dealt, so that the first error in that order is among those to come.
func (p *parts) next() (part, bool) {
	for p.err == nil {
		if p.current != nil {
			if groups := p.current.file.RowGroups(); p.group < len(groups) {
				next := part{of: p.current, number: p.dealt, from: p.group}
				for rows := 0; p.group < len(groups) && rows < partRows; p.group++ {
					rows += groups[p.group].Rows
				}
				next.to = p.group
				p.dealt++
				p.current.reading++
				return next, true
			}
			p.current.dealt = true
			p.close(p.current)
			p.current = nil
			continue
		}
		if p.at == len(p.files) {
			break
		}
		p.at++
		if stat := &p.files[p.at-1]; p.reader.passes(stat) {
			p.skipped = true
		} else if err := p.open(stat); err != nil {
			p.dealt++
			p.fail(p.dealt-1, err)
		}
	}
	return part{}, false
}

// passes reports whether a file is known to have no rows in the range that is wanted. One whose bounds are not known, or that has no event
// times at all, is looked at.
func (r *reader) passes(stat *FileStat) bool {
	return !stat.Events().Empty() && !stat.Events().Overlaps(r.request.Range)
}

func (p *parts) open(stat *FileStat) error {
	f, err := p.reader.openFile(stat)
	if err != nil {
		return err
	}
	p.current, p.group = &openFile{file: f.file, stat: stat, inputs: f.inputs}, 0
	return nil
}

// close closes a file of which nothing is left to be read.
func (p *parts) close(f *openFile) {
	if f.reading > 0 || !f.dealt && p.err == nil {
		return
	}
	if f == p.current {
		p.current = nil
	}
	err := f.file.Close()
	if err != nil {
		err = p.reader.spec.errorf(feature.ErrUnavailable, "closing %s: %w", f.file.Path(), err)
	}
	if err = p.reader.spec.changedSince(f.stat, err); err != nil {
		p.fail(p.dealt, err)
	}
}

func (p *parts) fail(number int, err error) {
	if p.err == nil || number < p.failed {
		p.failed, p.err = number, err
	}
}

// end is called when nobody reads any more.
func (p *parts) end() error {
	if p.current != nil { // after a failure
		p.close(p.current)
	}
	if p.err != nil {
		return p.err
	}
	p.reader.stats.Files = p.files
	if p.skipped {
		return nil // those may have a column that the others lack
	}
	return p.reader.checkFound()
}

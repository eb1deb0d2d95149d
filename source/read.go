package source

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
	"github.com/asof-store/asof/internal/parquetio"
	"github.com/asof-store/asof/internal/stages"
)

// Read hands the rows whose event time lies in the request's range to yield, in source order: by the paths of the
// files, then by row. Row groups whose statistics place them outside the range are not read. Memory does not
// grow with the size of a file, but with the batch and the widest page.
//
// A batch is lent to yield, which has to retain what it keeps of it: its memory serves the batches to come.
//
// An error of yield ends the read and is returned as it is. So does a column that cannot be read as the type wanted,
// or that no file has (ErrInvalid), and a damaged file (ErrCorrupt); batches handed out before an error are true
// but not all. A file that changes while it is read, or has changed since its survey, is ErrUnavailable.
func Read(ctx context.Context, spec Spec, request Request, yield func(Batch) error) (Stats, error) {
	files := slices.Clone(request.Files)
	if files == nil {
		var err error
		if files, err = Files(ctx, spec); err != nil {
			return Stats{}, err
		}
	}
	r := newReader(&spec, &request, files, yield)
	for i := range files {
		if err := r.readFile(ctx, &files[i]); err != nil {
			return Stats{}, err
		}
	}
	if err := r.checkFound(); err != nil {
		return Stats{}, err
	}
	r.stats.Files = files
	return r.stats, nil
}

// reader is one call of Read.
type reader struct {
	spec    *Spec
	request *Request
	yield   func(Batch) error
	// columns are event time, created time if there is one, keys and columns, in this order; keys are
	// columns[firstKey:firstColumn].
	columns               []feature.Field
	firstKey, firstColumn int
	folderKinds           map[string]feature.Kind
	schema                *arrow.Schema
	batchRows             int
	memory                *parquetio.Memory // of batches, which is that of batches before

	found []bool // per column: some file or folder has it
	names map[string]bool
	stats Stats
}

func newReader(spec *Spec, request *Request, files []FileStat, yield func(Batch) error) *reader {
	r := &reader{spec: spec, request: request, yield: yield, folderKinds: folderTypes(files), batchRows: request.BatchRows,
		memory: &parquetio.Memory{}, names: map[string]bool{}}
	if r.batchRows <= 0 {
		r.batchRows = BatchRows
	}
	timestamp := feature.Scalar(feature.Timestamp)
	r.columns = append(r.columns, feature.Field{Name: spec.EventTime, Type: timestamp})
	names := []string{feature.EventTimeColumn}
	if spec.CreatedTime != "" {
		r.columns = append(r.columns, feature.Field{Name: spec.CreatedTime, Type: timestamp})
		names = append(names, feature.CreatedTimeColumn)
	}
	r.firstKey = len(r.columns)
	r.columns = append(r.columns, request.Keys...)
	r.firstColumn = len(r.columns)
	r.columns = append(r.columns, request.Columns...)
	r.found = make([]bool, len(r.columns))
	fields := make([]arrow.Field, len(r.columns))
	for i, c := range r.columns {
		if i >= len(names) {
			names = append(names, c.Name)
		}
		fields[i] = arrow.Field{Name: names[i], Type: c.Type.Arrow(), Nullable: true}
	}
	r.schema = arrow.NewSchema(fields, nil)
	return r
}

// checkFound makes an error of a column that no file has.
func (r *reader) checkFound() error {
	for i, found := range r.found {
		if found {
			continue
		}
		if near := nearest.Name(r.columns[i].Name, slices.Sorted(maps.Keys(r.names))); near != "" {
			return r.spec.errorf(feature.ErrInvalid, "no file has a column %s: did you mean %s?", r.columns[i].Name, near)
		}
		return r.spec.errorf(feature.ErrInvalid, "no file has a column %s", r.columns[i].Name)
	}
	return nil
}

// readFile reads one file and completes its stat.
func (r *reader) readFile(ctx context.Context, stat *FileStat) error {
	fr, err := r.openFile(stat)
	if err != nil {
		return err
	}
	err = fr.readGroups(ctx, 0, len(fr.file.RowGroups()))
	if closed := fr.file.Close(); err == nil && closed != nil {
		err = r.spec.errorf(feature.ErrUnavailable, "closing %s: %w", fr.file.Path(), closed)
	}
	return r.spec.changedSince(stat, err)
}

// openFile opens a file and finds its columns.
func (r *reader) openFile(stat *FileStat) (*fileReader, error) {
	clock := r.request.Stats.Start(stages.Decode)
	f, err := r.spec.open(stat.Path, r.request.Stats)
	if err != nil {
		return nil, r.spec.changedSince(stat, r.spec.wrap(err))
	}
	clock.Stop(0, 0)
	f.UseMemory(r.memory)
	stat.RowsRead, stat.Rows = 0, f.Rows()
	fr := &fileReader{reader: r, file: f, stat: stat, inputs: make([]input, len(r.columns))}
	for _, c := range f.Columns() {
		r.names[c.Path] = true
	}
	for i := range r.columns {
		if err := fr.bind(i); err != nil {
			return nil, r.spec.changedSince(stat, errors.Join(err, f.Close()))
		}
	}
	return fr, nil
}

// changedSince returns err, or ErrUnavailable where the file is not the one of stat any more: whatever was read, and whatever went wrong,
// may then be of two files.
func (s *Spec) changedSince(stat *FileStat, err error) error {
	path := s.path(stat.Path)
	now, statErr := os.Stat(path)
	if statErr == nil && stat.SameVersion(FileStat{Size: now.Size(), ModTime: now.ModTime()}) {
		return err
	}
	return s.errorf(feature.ErrUnavailable, "%s changed while it was being read: run again when it is complete (%v)", path, firstOf(err, statErr))
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// fileReader reads one file.
type fileReader struct {
	*reader
	file   *parquetio.File
	stat   *FileStat
	inputs []input // as columns
}

// readGroups reads the row groups [from, to).
func (r *fileReader) readGroups(ctx context.Context, from, to int) error {
	for g := from; g < to; g++ {
		if r.prune(g) {
			continue
		}
		if err := r.readGroup(ctx, g, r.file.RowGroups()[g]); err != nil {
			return err
		}
	}
	return nil
}

// bind finds where the values of column i come from in this file.
func (r *fileReader) bind(i int) error {
	want := r.columns[i]
	c, ok := r.file.Column(want.Name)
	if ok {
		r.found[i] = true
		switch {
		case c.ReadsAs(want.Type):
			r.inputs[i] = input{kind: fromFile}
		case c.Convertible && c.Type.Kind == 0: // nothing but NULLs, in another shape
			r.inputs[i] = input{kind: missing}
		default:
			return r.spec.errorf(feature.ErrInvalid, "%s: column %s is %s, which cannot be read as %s: %s",
				r.file.Path(), want.Name, describe(c), want.Type, advice(c, i < r.firstKey))
		}
		return nil
	}
	for _, f := range folders(r.stat.Path) {
		if f.name == want.Name {
			r.found[i] = true
			in, err := r.constant(f, want.Type)
			r.inputs[i] = in
			return err
		}
	}
	if _, other := r.folderKinds[want.Name]; other {
		r.found[i] = true
	}
	r.inputs[i] = input{kind: missing}
	return nil
}

func describe(c parquetio.ColumnInfo) string {
	if c.Convertible && c.Type.Kind != 0 {
		return c.Type.String() + " (" + c.Physical + ")"
	}
	return c.Physical
}

func advice(c parquetio.ColumnInfo, isTime bool) string {
	switch {
	case isTime:
		return "take a column of timestamps or dates"
	case !c.Convertible:
		return "take another column"
	}
	return "declare it as " + c.Type.String() + ", cast it in an expression, or write the file again"
}

// prune reports whether no row of a row group can lie in the range, or be a bad row for want of an event time.
func (r *fileReader) prune(group int) bool {
	if r.inputs[0].kind != fromFile {
		return false
	}
	from, to, ok := r.eventBounds(group)
	if !ok {
		return false
	}
	r.widen(from, to)
	nulls, _ := r.file.NullCount(group, r.spec.EventTime)
	return nulls == 0 && !r.request.Range.Overlaps(feature.Range{From: from, To: to})
}

func (r *fileReader) eventBounds(group int) (from, to feature.Time, ok bool) {
	low, high, ok := r.file.Bounds(group, r.spec.EventTime)
	if !ok {
		return 0, 0, false
	}
	from, ok1 := low.(feature.Time)
	to, ok2 := high.(feature.Time)
	return from, to, ok1 && ok2
}

func (r *fileReader) widen(from, to feature.Time) {
	r.stat.MinEvent, r.stat.MaxEvent = min(r.stat.MinEvent, from), max(r.stat.MaxEvent, to)
}

// bad turns a bad row into an error, unless such rows are skipped. Row is its number in the file.
func (r *fileReader) bad(row int64, column int, what string) error {
	if r.spec.BadRows == BadRowsSkip {
		r.stats.Skipped++
		return nil
	}
	var why strings.Builder
	if r.inputs[column].kind == missing {
		why.WriteString(" (the file has no such column)")
	}
	return r.spec.errorf(feature.ErrInvalid, "%s: row %d: the %s %s is NULL%s: mend the file, or set bad_rows: skip to leave such rows out",
		r.file.Path(), row, what, r.columns[column].Name, why.String())
}

package materialize

import (
	"context"
	"errors"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/keysort"
)

// mergeFanIn is the greatest number of spilled runs that are merged at once; it bounds memory to that many batches. More are
// merged in several passes.
const mergeFanIn = 64

func (s *externalSort[K]) merge(ctx context.Context, yield func(arrow.RecordBatch) error) error {
	if len(s.spilled) == 0 {
		return s.emit(ctx, yield)
	}
	if s.rows > 0 {
		if err := s.spill(ctx); err != nil {
			return err
		}
	}
	for len(s.spilled) > mergeFanIn {
		file, err := newSpill(s.dir, s.schema)
		if err != nil {
			return err
		}
		if err := errors.Join(s.mergeRuns(ctx, s.spilled[:mergeFanIn], file.write), file.finish()); err != nil {
			return errors.Join(err, file.close())
		}
		for _, f := range s.spilled[:mergeFanIn] {
			if err := f.close(); err != nil {
				return errors.Join(err, file.close())
			}
		}
		// The merged run takes the place of the runs that it came from, so that order among equals is kept.
		s.spilled = append([]*spill{file}, s.spilled[mergeFanIn:]...)
	}
	return s.mergeRuns(ctx, s.spilled, yield)
}

// mergeRuns yields the rows of runs, which are in source order, as one sorted sequence.
func (s *externalSort[K]) mergeRuns(ctx context.Context, runs []*spill, yield func(arrow.RecordBatch) error) error {
	var sequences []keysort.Sequence
	for _, run := range runs {
		reader, err := run.read()
		if err != nil {
			return err
		}
		sequences = append(sequences, func() (arrow.RecordBatch, error) {
			batch, err := reader.Read()
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			if err != nil {
				return nil, feature.Errorf(feature.ErrUnavailable, "sorting: cannot read back a temporary file: %w", err)
			}
			batch.Retain() // the reader lets go of a batch when it reads the next
			return batch, nil
		})
	}
	return keysort.Merge(ctx, s.view.Keys, s.view.HasCreatedTime, sequences, sortedBatchRows, yield)
}

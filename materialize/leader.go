package materialize

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/filelock"
)

// leaderFile is what the leading scheduler of a warehouse locks, in the warehouse's directory. It holds the process id of the leader:
//
//	pid 4711
const leaderFile = "scheduler.lock"

// Lead takes the place of the one scheduler that starts runs in a warehouse; release gives it up, as the death of the process does. It
// fails with ErrUnavailable while another scheduler has it, and names that one's process.
func Lead(warehouse string) (release func() error, err error) {
	path := filepath.Join(warehouse, leaderFile)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "locking the warehouse for scheduling: %w", err)
	}
	err = filelock.Try(file)
	switch {
	case errors.Is(err, filelock.ErrTaken):
		err = feature.Errorf(feature.ErrUnavailable, "process %s schedules the runs in warehouse %s", filelock.Holder(file), warehouse)
	case err != nil:
		err = feature.Errorf(feature.ErrUnavailable, "locking %s for scheduling: %w", path, err)
	default: // a crash here leaves the name of an earlier leader in a lock that is free
		if err = errors.Join(file.Truncate(0), write(file, filelock.Sign())); err == nil {
			return func() error { return filelock.Release(file) }, nil
		}
		err = feature.Errorf(feature.ErrUnavailable, "signing %s: %w", path, err)
	}
	return nil, errors.Join(err, file.Close())
}

func write(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

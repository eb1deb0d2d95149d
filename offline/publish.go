package offline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/asof-store/asof/feature"
)

// writeTemporary writes metadata under a name that no reader looks at, and makes it and all that it refers to in its
// directory durable.
func (s *Store) writeTemporary(dir string, r *run, meta table.Metadata) (string, error) {
	content, err := json.Marshal(meta)
	if err != nil {
		return "", feature.Errorf(feature.ErrInternal, "encoding table metadata: %w", err)
	}
	content = sealed(content)
	path := filepath.Join(dir, uuid.NewString()+".metadata.json"+tmpSuffix)
	var f *durableFile
	if r != nil {
		f, err = r.create(stepMetadata, path)
	} else {
		f, err = s.createUnlisted(path)
	}
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close(), s.opts.Disk.SyncDir(dir)); err != nil {
		return "", errors.Join(feature.Errorf(feature.ErrUnavailable, "writing table metadata: %w", err), s.opts.Disk.Remove(path))
	}
	return path, nil
}

// createUnlisted makes a file outside of a run. A crash leaves it about; tags alone are written so.
func (s *Store) createUnlisted(path string) (*durableFile, error) {
	if err := s.opts.Step(stepMetadata, false); err != nil {
		return nil, err
	}
	f, err := s.opts.Disk.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, feature.Errorf(feature.ErrUnavailable, "writing table metadata: %w", err)
	}
	return &durableFile{File: f, kind: stepMetadata, step: s.opts.Step}, nil
}

// writeHint tells other engines where to begin looking for the newest version. They look further from there, so a hint
// that is behind after a crash does no harm, and its name is not synced. Its content is: they might not know what to make of half of it.
func (s *Store) writeHint(dir string, number int) error {
	if err := s.opts.Step(stepHint, false); err != nil {
		return err
	}
	tmp := filepath.Join(dir, fmt.Sprintf("version-hint.%d%s", number, tmpSuffix))
	f, err := s.opts.Disk.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err == nil {
		_, err = f.Write([]byte(strconv.Itoa(number)))
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err == nil {
		err = s.opts.Disk.Rename(tmp, filepath.Join(dir, "version-hint.text"))
	}
	if err != nil {
		_ = s.opts.Disk.Remove(tmp) // which is small
		return feature.Errorf(feature.ErrUnavailable, "writing version-hint.text: %w", err)
	}
	return s.opts.Step(stepHint, true)
}

// committer is the catalog of a run's table for iceberg-go: it commits through [Store.publish].
type committer struct {
	run  *run
	base *version // what the transaction builds on; nil to create the table
	// staged comes before the transaction's own updates: a rebuild's new schema. The transaction was begun on metadata
	// that has it.
	staged []table.Update
	// created is the metadata of a table that does not exist yet.
	created table.Metadata
	done    *version // what was published
}

// table returns the table as iceberg-go is to see it, with the given metadata.
func (c *committer) table(meta table.Metadata, location string) *table.Table {
	return table.New(table.Identifier{namespace, c.run.view}, meta, location,
		func(context.Context) (icebergio.IO, error) {
			return filesystem{store: c.run.store, sums: checksumsOf(meta), run: c.run}, nil
		}, c)
}

// LoadTable would serve iceberg-go's retries of a failed commit. CommitTable retries by itself and never asks for them.
func (c *committer) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	return nil, feature.Errorf(feature.ErrInternal, "view %s: a commit was retried", c.run.view)
}

// CommitTable publishes the updates if the requirements hold.
func (c *committer) CommitTable(ctx context.Context, _ table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	done, err := c.run.store.publish(ctx, c.run.view, c.run, func(now *version) (table.Metadata, error) {
		return c.build(now, reqs, updates)
	})
	if err != nil {
		return nil, "", err
	}
	c.done = done
	return done.meta, done.location, nil
}

func (c *committer) build(now *version, reqs []table.Requirement, updates []table.Update) (table.Metadata, error) {
	if (now == nil) != (c.base == nil) {
		return nil, c.conflict(errors.New("the table was made or removed"))
	}
	meta, location := c.created, ""
	if now != nil {
		meta, location = now.meta, now.location
		if meta.CurrentSchema().ID != c.base.meta.CurrentSchema().ID {
			return nil, c.conflict(errors.New("its schema was changed"))
		}
	}
	c.run.sums.addChecksums(updates)
	for _, r := range reqs {
		if err := r.Validate(meta); err != nil {
			return nil, c.conflict(err)
		}
	}
	next, err := stage(meta, location, append(c.staged[:len(c.staged):len(c.staged)], updates...))
	if err != nil {
		return nil, c.conflict(err)
	}
	return next, nil
}

func (c *committer) conflict(err error) error {
	return feature.Errorf(feature.ErrConflict, "view %s: another writer has changed its table meanwhile (%w): run again", c.run.view, err)
}

// stage returns metadata with updates applied. location is where meta is stored, "" when it is not.
func stage(meta table.Metadata, location string, updates []table.Update) (table.Metadata, error) {
	b, err := table.MetadataBuilderFromBase(meta, location)
	if err != nil {
		return nil, err
	}
	for _, u := range updates {
		if err := u.Apply(b); err != nil {
			return nil, err
		}
	}
	return b.Build()
}

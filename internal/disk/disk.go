// Package disk is the file system that stores lie on: the operating system's, or in tests one that fails, fills up and loses its power.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// FS is a file system. Its methods do what the functions of package os with their names do, and fail with the same errors.
type FS interface {
	OpenFile(path string, flag int, perm fs.FileMode) (File, error)
	Mkdir(path string, perm fs.FileMode) error
	Link(from, to string) error
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes the names in a directory durable: what was made, renamed and removed there stays so when the power fails.
	SyncDir(path string) error
}

// File is an open file. What was written is durable after Sync, its name not before SyncDir of its directory.
type File interface {
	fs.File
	io.ReaderAt
	io.WriterAt
	io.WriteSeeker
	io.ReaderFrom
	Sync() error
	Truncate(size int64) error
	Name() string
	Fd() uintptr
}

// OS is the operating system's file system.
type OS struct{}

// OpenFile opens a file.
func (OS) OpenFile(path string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err // and no File that holds a nil pointer
	}
	return f, nil
}

// Mkdir makes a directory.
func (OS) Mkdir(path string, perm fs.FileMode) error { return os.Mkdir(path, perm) }

// Link gives a file another name.
func (OS) Link(from, to string) error { return os.Link(from, to) }

// Rename gives a file another name in place of its own.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove removes a name.
func (OS) Remove(path string) error { return os.Remove(path) }

// SyncDir makes the names in a directory durable.
func (OS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

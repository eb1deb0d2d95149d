//go:build unix

// Package filelock gives a file, or a directory, to one process at a time. The kernel frees a dead process's lock, so a lock needs no repair; the file
// itself stays for ever, since removing it would let two processes lock two different files.
package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// File is an open file that can be locked.
type File interface {
	io.ReaderAt
	io.Closer
	Fd() uintptr
}

// ErrTaken is what [Try] fails with while somebody else has the file.
var ErrTaken = errors.New("the file is locked")

// Try locks f, or fails with ErrTaken at once. The lock belongs to the opened file: another opening of it is somebody else, in the same
// process too.
func Try(f File) error { return try(f, syscall.LOCK_EX) }

// TryShared is Try beside others that share the file.
func TryShared(f File) error { return try(f, syscall.LOCK_SH) }

func try(f File, how int) error {
	err := lock(f, how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return ErrTaken
	}
	return err
}

// Wait locks f when it becomes free.
func Wait(f File) error { return lock(f, syscall.LOCK_EX) }

func lock(f File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// Release frees the lock and closes f. It is unlocked before the file is closed: a process that this one is just starting holds a copy of
// the file until it runs its own program, and with it, without that, the lock.
func Release(f File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

// Sign is the line by which the holder of a lock names itself at the beginning of its file.
func Sign() string { return fmt.Sprintf("pid %d\n", os.Getpid()) }

// Holder returns the process id that the lock's holder has written, "(unknown)" where it has not got so far. More may stand on the line.
func Holder(f File) string {
	var pid int
	if _, err := fmt.Fscanf(io.NewSectionReader(f, 0, 64), "pid %d", &pid); err != nil {
		return "(unknown)"
	}
	return fmt.Sprint(pid)
}

package main

import (
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"

	"github.com/asof-store/asof/internal/disk"
)

// countingDisk is the operating system's file system, and counts the bytes that are read of data files.
type countingDisk struct {
	disk.OS
	read atomic.Int64
}

// OpenFile opens a file whose reads are counted.
func (d *countingDisk) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := d.OS.OpenFile(path, flag, perm)
	if err != nil || !strings.HasSuffix(path, ".parquet") {
		return f, err
	}
	return &countingFile{File: f, read: &d.read}, nil
}

type countingFile struct {
	disk.File
	read *atomic.Int64
}

// ReadAt counts what it reads.
func (f *countingFile) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	f.read.Add(int64(n))
	return n, err
}

// Read counts what it reads.
func (f *countingFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.read.Add(int64(n))
	return n, err
}

func bytesText(n int64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d MB", n>>20)
}

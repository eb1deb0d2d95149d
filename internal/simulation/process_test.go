package simulation

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/offline"
)

// process is one process: what it does to the disk and to its online store goes through here, where it fails and dies.
type process struct {
	name     string
	machine  *machine
	online   *kv
	dead     bool // nothing that it does has an effect any more
	fault    fault
	writes   int // since the fault was armed
	reads    int
	struck   bool // the fault has happened
	act      *act // what it is doing, where others do something at the same time
	verified bool // what it serves has not changed since it was verified

	late   feature.Time // how far its clock is behind
	model  *definitions.Model
	store  *offline.Store
	engine *materialize.Engine
}

var errDead = errors.New("the process is dead")

// arm sets the fault that is to happen.
func (p *process) arm(f fault) { p.fault, p.writes, p.reads, p.struck = f, 0, 0, false }

// effect is something that a process does to what is durable.
type effect struct {
	what, path string
	do         func() error
	part       func(r *rand.Rand) // does a part of it; nil: it has none
	grows      bool               // a full disk has no room for it
}

func (e effect) error(errno syscall.Errno) error {
	return &fs.PathError{Op: e.what, Path: e.path, Err: errno}
}

// write does an effect, or what the process's fault makes of it.
func (p *process) write(e effect) error {
	p.pause()
	if p.dead {
		return errDead
	}
	at, f := p.writes, p.fault
	if f.on == "" || f.on == e.what {
		p.writes++
	} else {
		at = -1
	}
	p.machine.tell("%s %s %s", p.name, e.what, filepath.Base(e.path))
	switch {
	case f.kind == full && at >= f.at && e.grows:
		p.struck = true
		p.half(e)
		return e.error(syscall.ENOSPC)
	case at != f.at || f.kind != failing && f.kind != killed && f.kind != powerless:
		return e.do()
	}
	p.struck = true
	switch f.when {
	case midway:
		p.half(e)
	case after:
		if err := e.do(); err != nil {
			return err
		}
	}
	p.machine.tell("%s: %s %s it", p.name, f.kind, f.when)
	switch f.kind {
	case killed:
		p.dead = true
		return errDead
	case powerless:
		p.machine.cut()
		return errDead
	}
	return e.error(syscall.EIO)
}

// half does a part of an effect.
func (p *process) half(e effect) {
	if e.part != nil {
		e.part(p.machine.random)
	}
}

// read fails where the fault says so.
func (p *process) read(what, path string) error {
	p.pause()
	if p.dead {
		return errDead
	}
	at, f := p.reads, p.fault
	p.reads++
	if f.kind == unreadable && at == f.at || f.kind == unreadableOn && at >= f.at {
		p.struck = true
		p.machine.tell("%s: %s %s fails", p.name, what, filepath.Base(path))
		return effect{what: what, path: path}.error(syscall.EIO)
	}
	return nil
}

// OpenFile opens a file, and makes it where the flags say so.
func (p *process) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	d := p.machine.disk
	var f *os.File
	open := func() (err error) {
		f, err = os.OpenFile(path, flag, perm)
		return err
	}
	switch {
	case flag&os.O_CREATE == 0 || d.names[path] != nil && flag&(os.O_EXCL|os.O_TRUNC) == 0:
		if err := p.read("open", path); err != nil {
			return nil, err
		}
		if err := open(); err != nil {
			return nil, err
		}
	default:
		err := p.write(effect{what: "create", path: path, grows: d.names[path] == nil, do: func() error {
			if err := open(); err != nil {
				return err
			}
			d.add(path, false)
			if flag&os.O_TRUNC != 0 {
				d.written(d.names[path], 0)
			}
			return nil
		}})
		if err != nil {
			if f != nil {
				_ = f.Close()
			}
			return nil, err
		}
	}
	return &file{File: f, process: p, node: d.names[path]}, nil
}

// Mkdir makes a directory.
func (p *process) Mkdir(path string, perm fs.FileMode) error {
	return p.entry("mkdir", path, true, func() error { return os.Mkdir(path, perm) }, func(d *platter) { d.add(path, true) })
}

// Link gives a file another name.
func (p *process) Link(from, to string) error {
	return p.entry("link", to, true, func() error { return os.Link(from, to) }, func(d *platter) { d.names[to] = d.names[from] })
}

// Rename gives a file another name in place of its own.
func (p *process) Rename(from, to string) error {
	return p.entry("rename", to, true, func() error { return os.Rename(from, to) }, func(d *platter) {
		d.names[to] = d.names[from]
		delete(d.names, from)
	})
}

// Remove removes a name.
func (p *process) Remove(path string) error {
	return p.entry("remove", path, false, func() error { return os.Remove(path) }, func(d *platter) { delete(d.names, path) })
}

// SyncDir makes the names in a directory durable.
func (p *process) SyncDir(path string) error {
	return p.entry("sync directory", path, false, func() error { return nil }, func(d *platter) { d.syncDir(path) })
}

// entry does an effect on names, and notes it.
func (p *process) entry(what, path string, grows bool, do func() error, note func(*platter)) error {
	return p.write(effect{what: what, path: path, grows: grows, do: func() error {
		if err := do(); err != nil {
			return err
		}
		note(p.machine.disk)
		p.machine.disk.looked = false
		return nil
	}})
}

// file is an open file of a process.
type file struct {
	*os.File
	process *process
	node    *node
}

func (f *file) Write(b []byte) (int, error) {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	return f.put(b, at, func(b []byte) (int, error) { return f.File.Write(b) })
}

func (f *file) WriteAt(b []byte, at int64) (int, error) {
	return f.put(b, at, func(b []byte) (int, error) { return f.File.WriteAt(b, at) })
}

// ReadFrom keeps io.Copy from going past Write.
func (f *file) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{f}, r) }

// put writes b from a place on, or the part of it that a fault leaves.
func (f *file) put(b []byte, at int64, write func([]byte) (int, error)) (n int, err error) {
	some := func(b []byte) (err error) {
		n, err = write(b)
		f.process.machine.disk.written(f.node, at)
		return err
	}
	err = f.process.write(effect{what: "write", path: f.Name(), grows: true, do: func() error { return some(b) }, part: func(r *rand.Rand) {
		_ = some(b[:r.IntN(len(b)+1)])
	}})
	return n, err
}

func (f *file) Truncate(size int64) error {
	return f.process.write(effect{what: "truncate", path: f.Name(), do: func() error {
		f.process.machine.disk.written(f.node, size)
		return f.File.Truncate(size)
	}})
}

func (f *file) Sync() error {
	return f.process.write(effect{what: "sync", path: f.Name(), do: func() error { return f.process.machine.disk.sync(f.node, f.Name()) }})
}

func (f *file) ReadAt(b []byte, at int64) (int, error) {
	if err := f.process.read("read", f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(b, at)
}

func (f *file) Read(b []byte) (int, error) {
	if err := f.process.read("read", f.Name()); err != nil {
		return 0, err
	}
	return f.File.Read(b)
}

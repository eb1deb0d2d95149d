package simulation

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// platter is the disk that the processes of a history share. What is on it lies in a directory of the operating system's, in
// memory, and is read there; beside it the platter knows what would be left if the power failed now.
type platter struct {
	dir    string
	names  map[string]*node // what there is, by path
	kept   map[string]*node // what is there for certain after the power has failed
	looked bool             // nothing has changed since the histories on it were looked at
}

// node is a file or a directory.
type node struct {
	dir     bool
	content []byte // of a file, as of its last sync
	synced  bool   // nothing was written since
	solid   int    // bytes from the first that nothing has touched since
}

func newPlatter(dir string) *platter {
	return &platter{dir: dir, names: map[string]*node{}, kept: map[string]*node{}}
}

// add notes that there is a file or directory at path, unless that is known.
func (p *platter) add(path string, dir bool) {
	if p.names[path] == nil {
		p.names[path] = &node{dir: dir, synced: true}
	}
}

// written notes that the content of the file has changed from a place on.
func (p *platter) written(n *node, from int64) {
	n.synced, n.solid, p.looked = false, min(n.solid, int(from)), false
}

// sync notes that the content of the file, which has the given name, is durable.
func (p *platter) sync(n *node, path string) error {
	content, err := os.ReadFile(path)
	n.content, n.synced, n.solid = content, err == nil, len(content)
	return err
}

// syncDir notes that the names in a directory are durable.
func (p *platter) syncDir(dir string) {
	for path, n := range p.names {
		if filepath.Dir(path) == dir {
			p.kept[path] = n
		}
	}
	maps.DeleteFunc(p.kept, func(path string, _ *node) bool { return filepath.Dir(path) == dir && p.names[path] == nil })
}

// cut is what a power cut does: each name that was not synced is there or not, and each file that was not synced has its old
// content, its new one, a part of it, or zeros where it has grown.
func (p *platter) cut(r *rand.Rand) error {
	paths := slices.Collect(maps.Keys(p.names))
	for path := range p.kept {
		if p.names[path] == nil {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths) // parents first
	left := map[string]*node{}
	for _, path := range paths {
		n, was := p.names[path], p.kept[path]
		if n != was && r.IntN(2) == 0 {
			n = was
		}
		if parent := filepath.Dir(path); n == nil || parent != p.dir && left[parent] == nil {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			continue
		}
		after, err := p.survivor(path, n, r)
		if err != nil {
			return err
		}
		left[path] = after
	}
	p.names, p.kept, p.looked = left, maps.Clone(left), false
	return nil
}

// survivor puts at path what a power cut leaves of n.
func (p *platter) survivor(path string, n *node, r *rand.Rand) (*node, error) {
	if n.dir {
		return n, ignoreExist(os.Mkdir(path, 0o755))
	}
	content := n.content
	if !n.synced && n == p.names[path] {
		now, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		content = torn(n.content, now, n.solid, r)
	} else if n == p.names[path] {
		return n, nil // as it is
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return &node{content: content, synced: true, solid: len(content)}, os.WriteFile(path, content, 0o644)
}

func ignoreExist(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// torn returns what may be left of a file that had the content was when it was synced, and now has another, which begins with solid
// bytes of the old one.
func torn(was, now []byte, solid int, r *rand.Rand) []byte {
	part := solid + r.IntN(len(now)-solid+1)
	switch r.IntN(4) {
	case 0:
		return was
	case 1:
		return now
	case 2:
		return bytes.Clone(now[:part])
	default:
		zeros := bytes.Clone(now)
		clear(zeros[part:])
		return zeros
	}
}

// check fails when something has written to the directory past the platter, which would then know nothing of it.
func (p *platter) check() error {
	return filepath.WalkDir(p.dir, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && path != p.dir && p.names[path] == nil {
			err = fmt.Errorf("%s was written past the disk", strings.TrimPrefix(path, p.dir))
		}
		return err
	})
}

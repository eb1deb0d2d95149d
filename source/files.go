package source

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
	"github.com/asof-store/asof/internal/parquetio"
	"github.com/asof-store/asof/internal/stages"
	"github.com/bmatcuk/doublestar/v4"
)

// Files returns the source's files in source order, by their paths. It looks at folders alone, and fails with
// ErrNotFound when nothing matches the glob.
func Files(ctx context.Context, spec Spec) ([]FileStat, error) {
	base, pattern := doublestar.SplitPattern(filepath.ToSlash(spec.Glob))
	dir := filepath.FromSlash(base)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(spec.Root, dir)
	}
	var files []FileStat
	err := doublestar.GlobWalk(os.DirFS(dir), pattern, func(match string, entry fs.DirEntry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if isHidden(match, pattern) {
			return nil
		}
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(match))) // follows symbolic links
		if err != nil {
			return err
		}
		if info.Mode().IsRegular() {
			files = append(files, FileStat{Path: path.Join(base, match), Size: info.Size(), ModTime: info.ModTime(), MinEvent: feature.MaxTime, MaxEvent: feature.MinTime})
		}
		return nil
	}, doublestar.WithFailOnIOErrors())
	switch {
	case errors.Is(err, doublestar.ErrBadPattern):
		return nil, spec.errorf(feature.ErrInvalid, "%q is no glob: a [ or { in it is not closed", spec.Glob)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, spec.errorf(feature.ErrUnavailable, "looking for %s: %w", spec.Glob, err)
	case len(files) == 0:
		return nil, spec.errorf(feature.ErrNotFound, "no file matches %s in %s: put files there, or correct the path", spec.Glob, rootName(spec.Root))
	}
	slices.SortFunc(files, func(a, b FileStat) int { return cmp.Compare(a.Path, b.Path) })
	return slices.CompactFunc(files, func(a, b FileStat) bool { return a.Path == b.Path }), nil // {a,b} may find one twice
}

func rootName(root string) string {
	if root == "" {
		return "the current folder"
	}
	return root
}

// isHidden reports whether a path has a name that begins with _ or . and that the pattern does not spell out.
func isHidden(match, pattern string) bool {
	for name := range strings.SplitSeq(match, "/") {
		if name != "" && (name[0] == '_' || name[0] == '.') && !slices.Contains(strings.Split(pattern, "/"), name) {
			return true
		}
	}
	return false
}

// open opens a file that [Files] has found; stats, which may be nil, is told of what is read of it, within the time of decoding.
func (s *Spec) open(file string, stats *stages.Stats) (*parquetio.File, error) {
	d := s.Disk
	if d == nil {
		d = disk.OS{}
	}
	if stats != nil {
		d = timedDisk{d, stats}
	}
	return parquetio.OpenOn(d, s.path(file))
}

// timedDisk measures the reading of its files.
type timedDisk struct {
	disk.FS
	stats *stages.Stats
}

func (d timedDisk) OpenFile(path string, flag int, perm fs.FileMode) (disk.File, error) {
	f, err := d.FS.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return timedFile{f, d.stats}, nil
}

type timedFile struct {
	disk.File
	stats *stages.Stats
}

func (f timedFile) ReadAt(b []byte, off int64) (int, error) {
	begun := time.Now()
	n, err := f.File.ReadAt(b, off)
	f.stats.Within(stages.Decode, stages.Read, time.Since(begun), 0, int64(n))
	return n, err
}

// path is where a file of the source is opened.
func (s *Spec) path(file string) string {
	if filepath.IsAbs(file) {
		return filepath.FromSlash(file)
	}
	return filepath.Join(s.Root, filepath.FromSlash(file))
}

// hiveNull is how Hive and everybody after it names the folder of NULL.
const hiveNull = "__HIVE_DEFAULT_PARTITION__"

// folder is a column that the path of a file gives: a folder named key=value.
type folder struct {
	name, value string
	null        bool
}

// folders returns the columns that a file's path gives.
func folders(file string) []folder {
	var found []folder
	for name := range strings.SplitSeq(path.Dir(file), "/") {
		key, value, ok := strings.Cut(name, "=")
		if !ok || key == "" {
			continue
		}
		if plain, err := url.PathUnescape(value); err == nil {
			value = plain
		}
		found = append(found, folder{name: key, value: value, null: value == hiveNull})
	}
	return found
}

// folderTypes returns the type of each folder column: int64 when every value in all files is an integer, else string.
func folderTypes(files []FileStat) map[string]feature.Kind {
	types := map[string]feature.Kind{}
	for _, f := range files {
		for _, c := range folders(f.Path) {
			kind, seen := types[c.name]
			if !seen {
				kind = feature.Int64
			}
			if _, err := strconv.ParseInt(c.value, 10, 64); err != nil && !c.null {
				kind = feature.String
			}
			types[c.name] = kind
		}
	}
	return types
}

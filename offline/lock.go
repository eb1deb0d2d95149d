//go:build unix

package offline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/disk"
	"github.com/asof-store/asof/internal/filelock"
)

// lockFile is what a writer of a view's table locks, in the table's directory. While a run is going on it holds the run's
// journal:
//
//	pid 4711 <checksum>
//	run <prefix of the run's data files> <checksum>
//	file data/<prefix>-00001.parquet <checksum>
//	file metadata/....avro <checksum>
//
// Each line ends with the checksum of what is before it. Each file of a run is listed, durably, before it is created. Who gets the
// lock and finds a journal knows that its run has died: what the journal lists is removed, unless the run's commit is in the table. The kernel frees a dead
// process's lock. The file itself stays for ever: removing it would let two writers lock two different files.
const lockFile = "asof.lock"

// journal is a held lock.
type journal struct {
	disk disk.FS
	dir  string // the table's
	file disk.File
}

// errWriting tells that somebody else has the lock.
var errWriting = feature.Errorf(feature.ErrUnavailable, "is being written")

// acquire locks the table in dir, and returns what the journal of a dead run lists.
func acquire(d disk.FS, view, dir string) (*journal, string, []string, error) {
	file, err := d.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, "", nil, feature.Errorf(feature.ErrUnavailable, "view %s: locking its table: %w", view, err)
	}
	if err := filelock.Try(file); err != nil {
		defer file.Close()
		if errors.Is(err, filelock.ErrTaken) {
			return nil, "", nil, fmt.Errorf("view %s %w by process %s: wait for it, or stop it", view, errWriting, filelock.Holder(file))
		}
		return nil, "", nil, feature.Errorf(feature.ErrUnavailable, "view %s: locking %s: %w", view, file.Name(), err)
	}
	j := &journal{disk: d, dir: dir, file: file}
	prefix, files, err := j.read()
	if err != nil {
		return nil, "", nil, errors.Join(feature.Errorf(feature.ErrUnavailable, "view %s: reading %s: %w", view, file.Name(), err), file.Close())
	}
	return j, prefix, files, nil
}

// read returns the run that the journal tells of. A last line without its end was being written when the process died, and
// its file had not been created yet. A journal that is damaged tells of nothing, so that no file is removed by a wrong name, or for a
// commit that is not found under a wrong one; the files that it listed are then those of nobody.
func (j *journal) read() (prefix string, files []string, err error) {
	content, err := io.ReadAll(io.NewSectionReader(j.file, 0, 1<<30))
	if err != nil {
		return "", nil, err
	}
	lines, right := journalLines(content)
	if !right {
		return "", nil, nil
	}
	for _, line := range lines {
		if name, ok := strings.CutPrefix(line, "run "); ok {
			prefix = name
		}
		if name, ok := strings.CutPrefix(line, "file "); ok && filepath.IsLocal(name) {
			files = append(files, name)
		}
	}
	return prefix, files, nil
}

// journalLines returns the lines of a journal without their checksums. right is false where one does not match; a journal of an asof
// that wrote none has none in any line.
func journalLines(content []byte) (lines []string, right bool) {
	checked := 0
	for line := range strings.Lines(string(content[:bytes.LastIndexByte(content, '\n')+1])) {
		line = strings.TrimSuffix(line, "\n")
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[at+1:] == checksum([]byte(line[:at])) {
			checked, line = checked+1, line[:at]
		}
		lines = append(lines, line)
	}
	return lines, checked == 0 || checked == len(lines)
}

// begin starts the journal of a run.
func (j *journal) begin(prefix string) error {
	if err := j.file.Truncate(0); err != nil {
		return err
	}
	return j.append(strings.TrimSuffix(filelock.Sign(), "\n"), "run "+prefix)
}

// note lists a file, which lies in the table's directory, before it is created.
func (j *journal) note(path string) error {
	name, err := filepath.Rel(j.dir, path)
	if err != nil {
		return err
	}
	return j.append("file " + name)
}

func (j *journal) append(lines ...string) error {
	var text []byte
	for _, line := range lines {
		text = fmt.Appendf(text, "%s %s\n", line, checksum([]byte(line)))
	}
	end, err := j.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := j.file.WriteAt(text, end); err != nil {
		return err
	}
	return j.file.Sync()
}

// forget removes the listed files, those that end in tmpSuffix alone when the run's commit is in the table, and then
// the journal. A crash between leaves a journal of files that are gone, which the next one forgets again.
func (j *journal) forget(files []string, committed bool) error {
	for _, name := range files {
		if committed && !strings.HasSuffix(name, tmpSuffix) {
			continue
		}
		if err := j.disk.Remove(filepath.Join(j.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	// Else a power cut could bring back what was removed, or take the commit away, when no journal lists the files any more.
	if len(files) > 0 {
		for _, sub := range []string{"data", "metadata"} {
			if err := j.disk.SyncDir(filepath.Join(j.dir, sub)); err != nil {
				return err
			}
		}
	}
	if err := j.file.Truncate(0); err != nil {
		return err
	}
	return j.file.Sync()
}

// release frees the lock.
func (j *journal) release() error { return filelock.Release(j.file) }

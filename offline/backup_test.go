package offline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// copied is a part of a warehouse's files, by path.
type copied map[string]string

// copyFiles copies the files of a warehouse that are wanted.
func copyFiles(t *testing.T, dir string, wanted func(name string) bool) copied {
	t.Helper()
	files := copied{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !wanted(d.Name()) {
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// copyHead copies the newest version of the table's metadata.
func copyHead(t *testing.T, dir string) copied {
	t.Helper()
	files := copyFiles(t, dir, func(name string) bool {
		return strings.HasPrefix(name, "v") && strings.HasSuffix(name, ".metadata.json")
	})
	newest := slices.Max(slices.Collect(maps.Keys(files))) // there are fewer than ten
	return copied{newest: files[newest]}
}

// copyRest copies what metadata points to.
func copyRest(t *testing.T, dir string) copied {
	t.Helper()
	return copyFiles(t, dir, func(name string) bool { return strings.HasSuffix(name, ".avro") || strings.HasSuffix(name, ".parquet") })
}

// restore makes dir what was copied.
func restore(t *testing.T, dir string, parts ...copied) {
	t.Helper()
	err := os.RemoveAll(dir)
	for _, files := range parts {
		for path, content := range files {
			err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(content), 0o600))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCopyWhileWriting copies a table while a run writes to it, first its newest metadata, then what that points to, each at every durable step. Such
// a copy is the history before the run or after it, and the next run goes on from it. The other way round it is not: metadata
// may point to what was not there yet when the rest was copied.
func TestCopyWhileWriting(t *testing.T) {
	dir, ctx := tempDir(t), context.Background()
	prepareRuns(t, dir, 1)
	var heads, rests []copied
	o := smallFiles
	o.Step = func(string, bool) error {
		heads, rests = append(heads, copyHead(t, dir)), append(rests, copyRest(t, dir))
		return nil
	}
	snapshot, err := second(openStore(t, dir, o))
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshot.Close(); err != nil {
		t.Fatal(err)
	}
	seen, torn := map[string]bool{}, 0
	for i, head := range heads {
		for j, rest := range rests {
			name := slices.Sorted(maps.Keys(head))[0]
			if key := fmt.Sprint(head, rest); seen[key] {
				continue
			} else {
				seen[key] = true
			}
			restore(t, dir, head, rest)
			if j < i {
				faults := 0
				_, err := openStore(t, dir, smallFiles).Check(ctx, purchases(), CheckOptions{}, func(f Finding) {
					if !f.Remark {
						faults++
					}
				})
				if faults > 0 || err != nil {
					torn++
				}
				continue
			}
			runs := 1
			if strings.HasSuffix(name, "v2.metadata.json") {
				runs = 2
			}
			checkHistory(t, dir, runs)
			if runs == 1 {
				snapshot, err := second(openStore(t, dir, smallFiles))
				if err != nil {
					t.Fatalf("metadata of step %d, the rest of step %d: the next run: %v", i, j, err)
				}
				if err := snapshot.Close(); err != nil {
					t.Fatal(err)
				}
				checkHistory(t, dir, 2)
			}
		}
	}
	if len(seen) < 10 || torn == 0 {
		t.Errorf("%d different copies, of which %d in the wrong order are torn: too few to tell anything", len(seen), torn)
	}
}

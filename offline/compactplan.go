package offline

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/asof-store/asof/feature"
)

// mergedFilesMax is how many files are merged into one at most: a piece of each is held in memory. More are merged in several rounds.
const mergedFilesMax = 64

// roundRowsMax is after how many rows a commit takes no more files: a minute's work, in which no run gets to the view.
const roundRowsMax = 64 << 20

// merges returns the files that one commit is to merge, group by group, each in the order of [Snapshot.Files]. That this package has written
// a file is taken from the manifest at first, and then asked of the files themselves: those of a group and those that lie in its time.
func (s *Snapshot) merges(o CompactOptions) ([][]dataFile, error) {
	files := slices.Clone(s.files)
	asked := map[string]bool{}
	for {
		groups, sound := mergesOf(files, o, s.store.opts.FileBytes), true
		for _, group := range groups {
			span := spanOf(group)
			for i := range files {
				f := &files[i]
				if !f.Sorted || asked[f.Path] || !f.Events.Overlaps(span) {
					continue
				}
				is, err := s.isOurs(f)
				if err != nil {
					return nil, err
				}
				asked[f.Path], f.Sorted, sound = true, is, sound && is
			}
		}
		if sound {
			return groups, nil
		}
	}
}

// isOurs reports whether this package has written a file.
func (s *Snapshot) isOurs(f *dataFile) (bool, error) {
	h, err := s.handles.acquire(f)
	if err != nil {
		return false, err
	}
	defer s.handles.release(h)
	value, _ := h.file.KeyValue(sortedBy)
	return value == sortedByASOF, nil
}

// mergesOf decides which files are merged. Those of a size, from one power of eight rows to the next, are grouped as they follow each other in
// time; a group is merged that has enough files for the merged one to be of another size, or enough bytes for it to be left alone
// from then on. So each row is written again once for each size, and no more than o.Files-1 files stay of a size whose groups are small enough.
func mergesOf(files []dataFile, o CompactOptions, fileBytes int64) (merges [][]dataFile) {
	var foreign []feature.Range
	bySize := [22][]dataFile{}
	total := int64(0)
	for _, f := range files {
		total += f.Rows
		if !f.Sorted {
			foreign = append(foreign, f.Events)
		} else if f.Bytes <= fileBytes/2 {
			size := (bits.Len64(uint64(f.Rows)) - 1) / 3
			bySize[size] = append(bySize[size], f)
		}
	}
	apart := func(group []dataFile) bool { return !slices.ContainsFunc(foreign, spanOf(group).Overlaps) }
	taken := int64(0)
	for _, some := range bySize {
		slices.SortStableFunc(some, func(a, b dataFile) int { return cmp.Compare(a.Events.From, b.Events.From) })
		for len(some) > 0 && taken < roundRowsMax {
			n, rows, bytes := 0, int64(0), int64(0)
			for n < min(len(some), mergedFilesMax) && rows+some[n].Rows <= total/int64(o.Share) && bytes+some[n].Bytes <= fileBytes && apart(some[:n+1]) {
				n, rows, bytes = n+1, rows+some[n].Rows, bytes+some[n].Bytes
			}
			if n >= o.Files || n > 1 && bytes > fileBytes/2 {
				merges, taken = append(merges, inOrder(some[:n])), taken+rows
			}
			some = some[max(n, 1):]
		}
	}
	return merges
}

// spanOf returns the event times from the first to the last of some files.
func spanOf(files []dataFile) feature.Range {
	span := files[0].Events
	for _, f := range files[1:] {
		span = feature.Range{From: min(span.From, f.Events.From), To: max(span.To, f.Events.To)}
	}
	return span
}

// inOrder returns files in the order of [Snapshot.Files].
func inOrder(files []dataFile) []dataFile {
	files = slices.Clone(files)
	slices.SortFunc(files, compareFiles)
	return files
}

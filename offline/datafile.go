package offline

import (
	"context"
	"encoding/binary"
	"slices"
	"sort"
	"unicode/utf8"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/parquetio"
)

// The footer entry of files whose rows this package has checked to be sorted. A sort order id alone is a claim of whoever wrote the
// file.
const (
	sortedBy     = "asof.sorted"
	sortedByASOF = "1"
)

// boundBytes is how much of a text or bytes value a bound in a manifest keeps, as Iceberg's writers do by default.
const boundBytes = 16

// dataFileOf describes a written file to Iceberg: Parquet's plain encoding is Iceberg's form of single values.
func dataFileOf(path string, stats parquetio.Stats, columns []column, spec iceberg.PartitionSpec, orderID *int) (iceberg.DataFile, error) {
	b, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, path, iceberg.ParquetFile, nil, nil, nil, stats.Rows, stats.Bytes)
	if err != nil {
		return nil, feature.Errorf(feature.ErrInternal, "describing %s: %w", path, err)
	}
	sizes, values, nulls := map[int]int64{}, map[int]int64{}, map[int]int64{}
	lower, upper := map[int][]byte{}, map[int][]byte{}
	for i, c := range columns {
		s := stats.Columns[i]
		if c.Type.List { // Parquet counts an empty list as a value, Iceberg does not
			sizes[c.element] = s.Bytes
			continue
		}
		sizes[c.id], values[c.id], nulls[c.id] = s.Bytes, s.Values, s.Nulls
		if s.Min == nil || s.Max == nil {
			continue
		}
		lower[c.id] = s.Min
		upper[c.id] = s.Max
		if c.Type.Kind == feature.String || c.Type.Kind == feature.Bytes {
			lower[c.id] = truncate(s.Min, c.Type.Kind)
			if upper[c.id] = truncateUp(s.Max, c.Type.Kind); upper[c.id] == nil {
				delete(upper, c.id)
			}
		}
	}
	b.ColumnSizes(sizes).ValueCounts(values).NullValueCounts(nulls).LowerBoundValues(lower).UpperBoundValues(upper).SplitOffsets(stats.Offsets)
	if orderID != nil {
		b.SortOrderID(*orderID)
	}
	return b.Build(), nil
}

// truncate cuts a value to a bound from below, not within a character.
func truncate(b []byte, k feature.Kind) []byte {
	if len(b) <= boundBytes {
		return b
	}
	n := boundBytes
	for k == feature.String && n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

// truncateUp cuts a value to a bound from above: the cut's successor; nil when it has none.
func truncateUp(b []byte, k feature.Kind) []byte {
	if len(b) <= boundBytes {
		return b
	}
	head := slices.Clone(truncate(b, k))
	if k == feature.Bytes {
		for i := len(head) - 1; i >= 0; i-- {
			if head[i] < 0xff {
				head[i]++
				return head[:i+1]
			}
		}
		return nil
	}
	for runes := []rune(string(head)); len(runes) > 0; runes = runes[:len(runes)-1] {
		last := len(runes) - 1
		next := runes[last] + 1
		if next == 0xd800 { // no characters from here to 0xdfff
			next = 0xe000
		}
		if next <= utf8.MaxRune {
			runes[last] = next
			return []byte(string(runes))
		}
	}
	return nil
}

// FileInfo describes a data file of a snapshot.
type FileInfo struct {
	Path        string
	Rows, Bytes int64
	Events      feature.Range // bounds; all of time where the file's writer gave none
	Sorted      bool          // whether its rows are said to be in the table's sort order
}

// dataFile is a live file of a snapshot.
type dataFile struct {
	FileInfo
	sequence int64 // of the commit that added it
	iceberg  iceberg.DataFile
}

// liveFiles returns the data files of a snapshot in the order of the commits that made them, then by name, and its delete
// files.
func (s *Store) liveFiles(ctx context.Context, view string, meta table.Metadata, snapshot *table.Snapshot, eventID int, sorted func(*int) bool) (files []dataFile, deletes []iceberg.DataFile, err error) {
	failed := func(what string, err error) error {
		return s.failed(view, feature.Errorf(faultOf(err, feature.ErrCorrupt), "snapshot %d: reading %s: %w", snapshot.SnapshotID, what, err))
	}
	from := filesystem{store: s, sums: checksumsOf(meta)}
	manifests, err := snapshot.Manifests(from)
	if err != nil {
		return nil, nil, failed(snapshot.ManifestList, err)
	}
	for _, m := range manifests {
		for entry, err := range m.Entries(from, true) {
			if err != nil {
				return nil, nil, failed(m.FilePath(), err)
			}
			if err := ctx.Err(); err != nil {
				return nil, nil, err
			}
			df := entry.DataFile()
			if df.ContentType() != iceberg.EntryContentData {
				deletes = append(deletes, df)
				continue
			}
			files = append(files, s.liveFile(entry, eventID, sorted))
		}
	}
	sort.Slice(files, func(i, j int) bool {
		if files[i].sequence != files[j].sequence {
			return files[i].sequence < files[j].sequence
		}
		return files[i].Path < files[j].Path
	})
	return files, deletes, nil
}

// liveFile describes the data file of an entry of a manifest.
func (s *Store) liveFile(entry iceberg.ManifestEntry, eventID int, sorted func(*int) bool) dataFile {
	df := entry.DataFile()
	return dataFile{sequence: entry.SequenceNum(), iceberg: df, FileInfo: FileInfo{
		Path: s.localPath(df.FilePath()), Rows: df.Count(), Bytes: df.FileSizeBytes(), Events: eventsOf(df, eventID), Sorted: sorted(df.SortOrderID()),
	}}
}

func eventsOf(df iceberg.DataFile, eventID int) feature.Range {
	r := feature.Range{From: feature.MinTime, To: feature.MaxTime}
	low, high := df.LowerBoundValues()[eventID], df.UpperBoundValues()[eventID]
	if len(low) == 8 {
		r.From = feature.Time(binary.LittleEndian.Uint64(low))
	}
	if len(high) == 8 {
		r.To = feature.Time(binary.LittleEndian.Uint64(high))
	}
	return r
}

// checkReadable refuses what this package does not read.
func checkReadable(view string, snapshot int64, files []dataFile, deletes []iceberg.DataFile) error {
	if len(deletes) > 0 {
		return feature.Errorf(feature.ErrInvalid, "view %s, snapshot %d: another engine has deleted rows through delete files (%s), which asof does not read: rewrite the data files with that engine (Spark: CALL system.rewrite_data_files with delete-file-threshold 1), or rebuild the view", view, snapshot, deletes[0].FilePath())
	}
	for _, f := range files {
		if f.iceberg.FileFormat() != iceberg.ParquetFile {
			return feature.Errorf(feature.ErrInvalid, "view %s, snapshot %d: %s is a %s file, asof reads Parquet: rewrite the table as Parquet, or rebuild the view", view, snapshot, f.Path, f.iceberg.FileFormat())
		}
	}
	return nil
}

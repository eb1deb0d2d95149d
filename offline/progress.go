package offline

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/stages"
)

// SourceFile is a file of a view's source as a run saw it.
type SourceFile struct {
	Path    string       `json:"path"`
	Size    int64        `json:"size"`
	ModTime feature.Time `json:"mtime"`
	Rows    int64        `json:"rows"`
	// From and To bound the event times of all its rows: all of time where an older asof has not noted them, From > To where there are none.
	From feature.Time `json:"from"`
	To   feature.Time `json:"to"`
}

// UnmarshalJSON reads a file as it was noted, by an older asof perhaps.
func (f *SourceFile) UnmarshalJSON(text []byte) error {
	type plain SourceFile
	p := plain{From: feature.MinTime, To: feature.MaxTime}
	err := json.Unmarshal(text, &p)
	*f = SourceFile(p)
	return err
}

// Stale is a part of the history that is not what the source files say: rows have come late, changed or gone, or a backfill has not got so far.
type Stale struct {
	From feature.Time `json:"from"` // both ends included
	To   feature.Time `json:"to"`
	Why  string       `json:"why"`
}

// Range returns the event times of s.
func (s Stale) Range() feature.Range { return feature.Range{From: s.From, To: s.To} }

// Progress is what a commit records of the view's state and of the run that made it. It is stored nowhere but in the
// properties of the commit's snapshot.
type Progress struct {
	// Watermark is the end of what is materialized: no row up to it is missing. It never decreases, save by a
	// rebuild.
	Watermark feature.Time
	// Start is the beginning of what is materialized: the earliest From of the ranges replaced since the last rebuild.
	Start feature.Time
	// Range is the range of event times that the commit replaced; [Store.Replace] fills it.
	Range feature.Range
	// RunID names the run, Version the asof that ran, Hash the definition (feature.View.Hash).
	RunID, Hash, Version string
	// Sources are all source files that the view's history was made from, save for what is Stale.
	Sources []SourceFile
	// Stale are the parts of the history, or of what a backfill will add to it, that wait for a later run.
	Stale []Stale
	// Rows is how many rows the run wrote into its range; [Store.Replace] fills it.
	Rows int64
	// RowsRead is how many rows of the source the run has read for the commit, Took how long that and the writing took.
	RowsRead int64
	Took     time.Duration // [Store.Replace] fills it
}

// NoSnapshot is a [Commit]'s Base where a view has no history yet.
const NoSnapshot int64 = -1

// Commit is a change of a view's history.
type Commit struct {
	SnapshotID int64 // what the commit made; the store gives it
	// Base is the snapshot that the run was planned on: when another is current meanwhile, the commit fails with ErrConflict. 0 is any.
	Base int64
	// Range is what the commit replaces: afterwards the view's rows with event times in it are those that the run
	// wrote. Nothing else changes.
	Range feature.Range
	// Rebuild throws away the whole table instead, with its columns and keys.
	Rebuild  bool
	Progress Progress
	// Took is asked, just before the commit, how long the run has taken; nil: that is not noted.
	Took func() time.Duration
	// Stats is told of the writing and of the commit; nil: nobody is.
	Stats *stages.Stats
}

// The snapshot properties. Numbers are decimal; times are microseconds since the epoch.
const (
	propFormat    = "asof.format"
	propFiles     = "asof.files"
	propKeys      = "asof.keys"
	propWatermark = "asof.watermark-micros"
	propStart     = "asof.start-micros"
	propFrom      = "asof.from-micros"
	propTo        = "asof.to-micros"
	propRebuild   = "asof.rebuild"
	propRun       = "asof.run-id"
	propHash      = "asof.hash"
	propVersion   = "asof.version"
	propRows      = "asof.rows"
	propSources   = "asof.sources"
	propChecksums = "asof.checksums"
	propStale     = "asof.stale"
	propRead      = "asof.rows-read"
	propTook      = "asof.took-micros"

	formatVersion = "1"
	// packedPrefix marks a value as base64 of a deflate stream. Values that are shorter than packedMin stay readable.
	packedPrefix = "deflate:"
	packedMin    = 1 << 10
)

// properties returns what is stored of c; files is the name prefix of the run's files, keys the view's key columns.
func (c *Commit) properties(files string, keys []string) (iceberg.Properties, error) {
	sources, err := json.Marshal(c.Progress.Sources)
	if err != nil {
		return nil, feature.Errorf(feature.ErrInternal, "encoding source files: %w", err)
	}
	names, err := json.Marshal(append([]string{}, keys...))
	if err != nil {
		return nil, feature.Errorf(feature.ErrInternal, "encoding key names: %w", err)
	}
	p := &c.Progress
	props := iceberg.Properties{
		propFormat: formatVersion, propFiles: files, propKeys: string(names),
		propWatermark: decimal(p.Watermark), propStart: decimal(p.Start), propFrom: decimal(c.Range.From), propTo: decimal(c.Range.To),
		propRun: p.RunID, propHash: p.Hash, propVersion: p.Version,
		propRows: strconv.FormatInt(p.Rows, 10), propSources: pack(string(sources)),
	}
	if c.Rebuild {
		props[propRebuild] = "true"
	}
	if p.Took > 0 {
		props[propRead], props[propTook] = strconv.FormatInt(p.RowsRead, 10), strconv.FormatInt(p.Took.Microseconds(), 10)
	}
	if len(p.Stale) > 0 {
		stale, err := json.Marshal(p.Stale)
		if err != nil {
			return nil, feature.Errorf(feature.ErrInternal, "encoding stale ranges: %w", err)
		}
		props[propStale] = pack(string(stale))
	}
	return props, nil
}

func decimal(t feature.Time) string { return strconv.FormatInt(int64(t), 10) }

// parseCommit reads the properties of a snapshot that [Commit.properties] made.
func parseCommit(id int64, props iceberg.Properties) (Commit, error) {
	c := Commit{SnapshotID: id, Rebuild: props[propRebuild] == "true"}
	if v := props[propFormat]; v != formatVersion {
		return c, feature.Errorf(feature.ErrInvalid, "snapshot %d has %s %q and this asof knows %s: use the asof that wrote it, or a newer one", id, propFormat, v, formatVersion)
	}
	p := &c.Progress
	p.RunID, p.Hash, p.Version = props[propRun], props[propHash], props[propVersion]
	for _, f := range []struct {
		name string
		into *int64
	}{
		{propWatermark, (*int64)(&p.Watermark)}, {propStart, (*int64)(&p.Start)},
		{propFrom, (*int64)(&c.Range.From)}, {propTo, (*int64)(&c.Range.To)}, {propRows, &p.Rows},
	} {
		n, err := strconv.ParseInt(props[f.name], 10, 64)
		if err != nil {
			return c, feature.Errorf(feature.ErrCorrupt, "snapshot %d: property %s is %q, not a number", id, f.name, props[f.name])
		}
		*f.into = n
	}
	p.Range = c.Range
	if err := parseList(id, props, propSources, &p.Sources); err != nil {
		return c, err
	}
	if props[propStale] != "" {
		if err := parseList(id, props, propStale, &p.Stale); err != nil {
			return c, err
		}
	}
	return c, parseTook(id, props, p)
}

// parseTook reads how long a run took, which the commits of older versions do not say.
func parseTook(id int64, props iceberg.Properties, p *Progress) error {
	if props[propTook] == "" {
		return nil
	}
	read, err1 := strconv.ParseInt(props[propRead], 10, 64)
	took, err2 := strconv.ParseInt(props[propTook], 10, 64)
	if err1 != nil || err2 != nil {
		return feature.Errorf(feature.ErrCorrupt, "snapshot %d: properties %s and %s are %q and %q, not numbers", id, propRead, propTook, props[propRead], props[propTook])
	}
	p.RowsRead, p.Took = read, time.Duration(took)*time.Microsecond
	return nil
}

// parseList reads a property that holds a JSON array.
func parseList[T any](id int64, props iceberg.Properties, name string, into *[]T) error {
	text, err := unpack(props[name])
	if err == nil {
		err = json.Unmarshal([]byte(text), into)
	}
	if err != nil {
		return feature.Errorf(feature.ErrCorrupt, "snapshot %d: property %s: %w", id, name, err)
	}
	return nil
}

// parseKeys reads the key columns from the properties of a snapshot.
func parseKeys(id int64, props iceberg.Properties) ([]string, error) {
	var keys []string
	if err := json.Unmarshal([]byte(props[propKeys]), &keys); err != nil {
		return nil, feature.Errorf(feature.ErrCorrupt, "snapshot %d: property %s: %w", id, propKeys, err)
	}
	return keys, nil
}

// pack shortens long values: every metadata version repeats the properties of all snapshots, and lists of paths shrink to
// a tenth.
func pack(s string) string {
	if len(s) < packedMin {
		return s
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return s
	}
	if _, err := io.WriteString(w, s); err != nil || w.Close() != nil {
		return s
	}
	return packedPrefix + base64.StdEncoding.EncodeToString(b.Bytes())
}

// unpackedMax bounds what a packed property can grow to.
const unpackedMax = 1 << 28

func unpack(s string) (string, error) {
	packed, ok := strings.CutPrefix(s, packedPrefix)
	if !ok {
		return s, nil
	}
	b, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return "", err
	}
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), unpackedMax))
	return string(out), err
}

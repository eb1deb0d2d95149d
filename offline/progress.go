package offline

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"

	"github.com/asof-store/asof/feature"
)

// SourceFile is a file of a view's source as a run saw it.
type SourceFile struct {
	Path    string       `json:"path"`
	Size    int64        `json:"size"`
	ModTime feature.Time `json:"mtime"`
	Rows    int64        `json:"rows"`
}

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
	// Sources are all source files that the view's history was made from.
	Sources []SourceFile
	// Rows is how many rows the run wrote into its range; [Store.Replace] fills it.
	Rows int64
}

// Commit is a change of a view's history.
type Commit struct {
	SnapshotID int64 // what the commit made; the store gives it
	// Range is what the commit replaces: afterwards the view's rows with event times in it are those that the run
	// wrote. Nothing else changes.
	Range feature.Range
	// Rebuild throws away the whole table instead, with its columns and keys.
	Rebuild  bool
	Progress Progress
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
	sources, err := unpack(props[propSources])
	if err == nil {
		err = json.Unmarshal([]byte(sources), &p.Sources)
	}
	if err != nil {
		return c, feature.Errorf(feature.ErrCorrupt, "snapshot %d: property %s: %w", id, propSources, err)
	}
	return c, nil
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

package pointintime

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/stages"
)

// ManifestSuffix is what the name of an export's manifest adds to that of its output.
const ManifestSuffix = ".manifest.json"

// Manifest says what a training set was made of and what it holds. With the snapshots it names, the same definitions and the same
// spine, it can be made again.
type Manifest struct {
	Service        string                  `json:"service"`
	DefinitionHash string                  `json:"definition_hash"`
	Version        string                  `json:"asof_version"`
	Rows           int64                   `json:"rows"`
	Spine          SpineFile               `json:"spine"`
	Options        ManifestOptions         `json:"options"`
	Snapshots      map[string]SnapshotRead `json:"snapshots"` // by view
	Features       []FeatureReport         `json:"features"`
	OnDemand       []ProgramRun            `json:"on_demand,omitempty"` // in the order in which they were computed
	Leaks          LeakReport              `json:"leak_report"`
	// Seconds is how long it took, up to writing the manifest, and Stages the work of those seconds: of several processors at once.
	Seconds float64       `json:"seconds"`
	Stages  []stages.Work `json:"stages"`
}

// SpineFile names a spine by its bytes.
type SpineFile struct {
	File       string `json:"file"`
	SHA256     string `json:"sha256"`
	TimeColumn string `json:"time_column"`
}

// ManifestOptions are the options that decide about values and names.
type ManifestOptions struct {
	AsKnown          bool `json:"as_known"`
	AsServed         bool `json:"as_served"`
	FullNames        bool `json:"full_names"`
	WithFeatureTimes bool `json:"with_feature_times"`
}

// SnapshotRead names the history of a view that was read.
type SnapshotRead struct {
	ID        int64  `json:"snapshot_id"`
	Watermark string `json:"watermark"`
	ViewHash  string `json:"view_hash"`
}

// ProgramRun is the expression of an on-demand feature, and what it was computed from.
type ProgramRun struct {
	OnDemand string `json:"on_demand"`
	Feature  string `json:"feature"`
	Column   string `json:"column,omitempty"` // of the training set; none where other on-demand features alone take it
	Type     string `json:"type"`
	Expr     string `json:"expr"` // as Spark SQL
	// Inputs says what the names in the expression are: a column of the spine, view.feature with the view's alias if it has one, or on_demand.feature.
	Inputs map[string]string `json:"inputs"`
}

// programsRun returns the on-demand features of svc in the order in which they are computed.
func programsRun(svc *feature.Service, fullNames bool) []ProgramRun {
	var all []ProgramRun
	for i := range svc.Computed {
		c := &svc.Computed[i]
		f := c.Definition()
		run := ProgramRun{OnDemand: c.OnDemand.Name, Feature: f.Name, Type: f.Type.String(), Expr: f.Program.SparkSQL(), Inputs: map[string]string{}}
		if c.Place >= 0 {
			run.Column = c.ColumnName(fullNames)
		}
		for j, in := range f.Inputs {
			run.Inputs[in.Column] = svc.SourceName(c.Sources[j])
		}
		all = append(all, run)
	}
	return all
}

// manifest describes what was written in the given time; hash is that of the spine.
func (e *export) manifest(hash string, took time.Duration) *Manifest {
	m := &Manifest{
		Service: e.svc.Name, DefinitionHash: e.o.DefinitionHash, Version: e.o.Version, Rows: e.report.rows,
		Spine:     SpineFile{File: filepath.Base(e.spinePath), SHA256: hash, TimeColumn: e.o.TimeColumn},
		Options:   ManifestOptions{e.o.AsKnown, e.o.AsServed, e.o.FullNames, e.o.WithFeatureTimes},
		Snapshots: map[string]SnapshotRead{}, Seconds: took.Seconds(), Stages: e.o.Stats.Work(), Features: e.report.finish(), OnDemand: programsRun(e.svc, e.o.FullNames), Leaks: e.report.leaks,
	}
	for _, ref := range e.svc.Refs {
		p := e.snapshots[ref.View.Name].Progress()
		m.Snapshots[ref.View.Name] = SnapshotRead{e.snapshots[ref.View.Name].ID(), p.Watermark.String(), p.Hash}
	}
	return m
}

// JSON returns the manifest as its file holds it.
func (m *Manifest) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(m, "", "  ")
	return append(text, '\n'), err
}

// write puts the manifest at path, whole or not at all.
func (m *Manifest) write(path string) error {
	text, err := m.JSON()
	if err != nil {
		return err
	}
	fail := func(err error) error {
		return feature.Errorf(feature.ErrUnavailable, "cannot write the manifest %s: %w", path, err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return fail(err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // it is gone after the rename
	if _, err := file.Write(text); err != nil {
		_ = file.Close()
		return fail(err)
	}
	if err := file.Sync(); err != nil {
		_ = file.Close()
		return fail(err)
	}
	if err := file.Close(); err != nil {
		return fail(err)
	}
	if err := os.Chmod(file.Name(), 0o644); err != nil {
		return fail(err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fail(err)
	}
	return nil
}

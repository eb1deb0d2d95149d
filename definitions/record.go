package definitions

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/source"
)

// recordFormat is the version of the record's layout, docs/format/registry.md.
const recordFormat = 1

// envelope is what lies in a file of the registry: the record, and the SHA-256 of its JSON without white space.
type envelope struct {
	Record json.RawMessage `json:"record"`
	SHA256 string          `json:"sha256"`
}

type record struct {
	Format      int                       `json:"format"`
	Version     int                       `json:"version"`
	AppliedAt   time.Time                 `json:"applied_at"`
	AsofVersion string                    `json:"asof_version"`
	Root        string                    `json:"root"`
	Hash        string                    `json:"hash"`
	Files       []textFile                `json:"files"`
	Schemas     map[string][]recordColumn `json:"schemas"` // by source
}

type recordColumn struct {
	Name string `json:"name"`
	Type string `json:"type"` // "" for a column that holds nothing but NULLs
}

// encodeRecord returns the bytes of a record's file.
func encodeRecord(a *Applied) ([]byte, error) {
	body, err := json.Marshal(a.record())
	if err != nil {
		return nil, fmt.Errorf("registry: encoding version %d: %w", a.Version, err)
	}
	text, err := json.MarshalIndent(envelope{Record: body, SHA256: checksum(body)}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("registry: encoding version %d: %w", a.Version, err)
	}
	return append(text, '\n'), nil
}

func checksum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// record returns what is stored of a.
func (a *Applied) record() record {
	rec := record{Format: recordFormat, Version: a.Version, AppliedAt: a.AppliedAt, AsofVersion: a.AsofVersion,
		Root: a.Root, Hash: a.Hash, Files: a.files, Schemas: map[string][]recordColumn{}}
	for name, schema := range a.schemas {
		columns := []recordColumn{}
		for _, f := range schema.Fields() {
			c := recordColumn{Name: f.Name}
			if f.Type.Kind != 0 {
				c.Type = f.Type.String()
			}
			columns = append(columns, c)
		}
		rec.Schemas[name] = columns
	}
	return rec
}

// says reports whether a and b record the same thing, apart from when and by which version of asof.
func (a *Applied) says(b *Applied) bool {
	x, y := a.record(), b.record()
	x.Version, x.AppliedAt, x.AsofVersion = y.Version, y.AppliedAt, y.AsofVersion
	return reflect.DeepEqual(x, y)
}

// decodeRecord reads the bytes of a record's file; any error means that they are not what encodeRecord wrote, or, of kind feature.ErrInvalid, that
// one of another version of asof wrote them.
func decodeRecord(text []byte) (*Applied, error) {
	var env envelope
	if err := json.Unmarshal(text, &env); err != nil {
		return nil, err
	}
	var body bytes.Buffer
	if err := json.Compact(&body, env.Record); err != nil {
		return nil, err
	}
	if checksum(body.Bytes()) != env.SHA256 {
		return nil, fmt.Errorf("its checksum does not match")
	}
	var rec record
	if err := json.Unmarshal(body.Bytes(), &rec); err != nil {
		return nil, err
	}
	if rec.Format != recordFormat {
		return nil, feature.Errorf(feature.ErrInvalid, "its format is %d and this version of asof reads %d: use the asof that wrote it, or a newer one", rec.Format, recordFormat)
	}
	a := &Applied{Version: rec.Version, AppliedAt: rec.AppliedAt, AsofVersion: rec.AsofVersion, Root: rec.Root, Hash: rec.Hash,
		files: rec.Files, schemas: map[string]*source.Schema{}}
	for name, columns := range rec.Schemas {
		fields := make([]feature.Field, 0, len(columns))
		for _, c := range columns {
			f := feature.Field{Name: c.Name}
			if c.Type != "" {
				t, err := feature.ParseType(c.Type)
				if err != nil {
					return nil, fmt.Errorf("column %s of source %s: %w", c.Name, name, err)
				}
				f.Type = t
			}
			fields = append(fields, f)
		}
		a.schemas[name] = source.NewSchema(fields)
	}
	return a, nil
}

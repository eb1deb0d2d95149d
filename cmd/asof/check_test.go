package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestCheckRemarks: what is on its way to be right, or is history, is remarked on and breaks nothing: definitions that wait to be materialized, and
// versions of them that this program refuses.
func TestCheckRemarks(t *testing.T) {
	inProject(t, "apply")
	if got := ok(t, "check"); strings.Contains(got, "remark:") {
		t.Errorf("applied and never materialized: %s", got)
	}
	ok(t, "materialize")
	edit(t, "income / 1000", "income / 100")
	ok(t, "apply")
	if got := ok(t, "check"); !strings.Contains(got, "remark: online store: view profile: its values are of definition ") {
		t.Errorf("applied and not materialized since: %s", got)
	}
	ok(t, "materialize")
	rewriteRecord(t, "warehouse/registry/v000001.json", "ttl: 30d", "ttl: 30 days")
	got := ok(t, "check")
	if strings.Count(got, "remark: ") != 1 || !strings.Contains(got, "remark: registry of warehouse: version 1 of the definitions does not load with this version of asof") {
		t.Errorf("with an earlier version that is refused: %s", got)
	}
	rewriteRecord(t, "warehouse/registry/v000002.json", "ttl: 30d", "ttl: 30 days")
	fails(t, 2, []string{"version 2 of the definitions does not load with this version of asof, apply them again"}, "check")
	if got := asof(t, "apply"); got.code != 0 || !strings.Contains(got.stderr, "note: everything is new, since version 2 of the definitions does not load") || !strings.Contains(got.stdout, "Applied as version 3.") {
		t.Errorf("apply again: %+v", got)
	}
	if got := ok(t, "materialize"); strings.Contains(got, "rebuilt") {
		t.Errorf("the definitions are the same, and the history is made anew: %s", got)
	}
	if got := ok(t, "check"); strings.Count(got, "remark: ") != 2 {
		t.Errorf("applied again: %s", got)
	}
	if err := os.Remove("warehouse/registry/v000002.json"); err != nil {
		t.Fatal(err)
	}
	fails(t, 5, []string{"the registry has 1 fault: restore its files from a backup"}, "check")
}

// rewriteRecord replaces old in a record of the registry, as an asof would have written it that took the new text.
func rewriteRecord(t *testing.T, path, old, new string) {
	t.Helper()
	var record struct {
		Record json.RawMessage `json:"record"`
		SHA256 string          `json:"sha256"`
	}
	if err := json.Unmarshal(readFile(t, path), &record); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(record.Record, []byte(old)) {
		t.Fatalf("%s has no %q", path, old)
	}
	record.Record = bytes.Replace(record.Record, []byte(old), []byte(new), 1)
	var compact bytes.Buffer
	if err := json.Compact(&compact, record.Record); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(compact.Bytes())
	record.SHA256 = hex.EncodeToString(sum[:])
	text, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, string(text))
}

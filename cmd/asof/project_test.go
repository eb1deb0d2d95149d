package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// runAsMain makes the test binary be asof, so that tests can send it signals and bound its files.
const runAsMain = "RUN_AS_ASOF"

func TestMain(m *testing.M) {
	if name := os.Getenv(runAsRacer); name != "" {
		os.Exit(raceMain(name))
	}
	if os.Getenv(runAsMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// process returns a command line that is to run as a process of its own, in the working directory.
func process(t *testing.T, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), runAsMain+"=1")
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// ok executes a command line that must end well and returns what it printed.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	got := asof(t, args...)
	if got.code != 0 {
		t.Fatalf("asof %s: code %d\nstdout %s\nstderr %s", strings.Join(args, " "), got.code, got.stdout, got.stderr)
	}
	return got.stdout
}

// fails executes a command line that must end with the code and name everything wanted in its message.
func fails(t *testing.T, code int, wants []string, args ...string) outcome {
	t.Helper()
	got := asof(t, args...)
	if got.code != code {
		t.Errorf("asof %s: code %d, want %d\nstdout %s\nstderr %s", strings.Join(args, " "), got.code, code, got.stdout, got.stderr)
	}
	for _, want := range wants {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("asof %s: the message lacks %q:\n%s", strings.Join(args, " "), want, got.stderr)
		}
	}
	return got
}

// inProject goes to a new project, as asof init writes it, and does what the verbs say.
func inProject(t *testing.T, verbs ...string) {
	t.Helper()
	t.Chdir(t.TempDir())
	ok(t, "init", ".")
	for _, verb := range verbs {
		ok(t, strings.Fields(verb)...)
	}
}

// edit replaces old, which must be there, in the definitions.
func edit(t *testing.T, old, new string) {
	t.Helper()
	text := string(readFile(t, "features.yaml"))
	if !strings.Contains(text, old) {
		t.Fatalf("features.yaml has no %q", old)
	}
	writeFile(t, "features.yaml", strings.Replace(text, old, new, 1))
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func writeParquet[T any](t *testing.T, path string, rows ...T) {
	t.Helper()
	if err := writeRows(path, rows); err != nil {
		t.Fatal(err)
	}
}

func writeRows[T any](path string, rows []T) error { return parquet.WriteFile(path, rows) }

// tree lists the files below dir.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sameFiles tells which files came or went since before.
func sameFiles(t *testing.T, dir string, before []string) {
	t.Helper()
	if after := tree(t, dir); !slices.Equal(before, after) {
		t.Errorf("the files were\n%s\nand are\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// answer is what asof get --json prints.
type answer struct {
	Service  string
	Keys     map[string]string
	Features map[string]struct {
		Value     any
		Status    string
		EventTime *string `json:"event_time"`
	}
}

func getJSON(t *testing.T, args ...string) (a answer, order []string) {
	t.Helper()
	text := ok(t, append([]string{"get", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		t.Fatalf("asof get --json printed %s: %v", text, err)
	}
	_, list, _ := strings.Cut(text, `"features": {`)
	for _, line := range strings.Split(list, "\n") {
		if name, _, is := strings.Cut(strings.TrimSpace(line), `": {`); is {
			order = append(order, strings.TrimPrefix(name, `"`))
		}
	}
	return a, order
}

// readCSV returns the rows of a CSV by column.
func readCSV(t *testing.T, path string) (header []string, rows []map[string]string) {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(readFile(t, path))).ReadAll()
	if err != nil || len(records) == 0 {
		t.Fatalf("%s: %d lines, %v", path, len(records), err)
	}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return records[0], rows
}

// onlineEqualsOffline holds the values of the service fraud that asof get prints against those of an export for the same keys at
// the time of the test's clock, to which everything must have been materialized.
func onlineEqualsOffline(t *testing.T, customers int) {
	t.Helper()
	dir := t.TempDir()
	spine, out := filepath.Join(dir, "spine.csv"), filepath.Join(dir, "out.csv")
	var lines strings.Builder
	lines.WriteString("customer_id,payee_id,event_timestamp\n")
	for i := range customers {
		fmt.Fprintf(&lines, "%d,%d,2024-05-17T09:30:00Z\n", i+1, customers-i)
	}
	writeFile(t, spine, lines.String())
	ok(t, "export", "fraud", "--spine", spine, "--out", out)
	header, rows := readCSV(t, out)
	for i, row := range rows {
		got, order := getJSON(t, "fraud", "--key", fmt.Sprint("customer_id=", i+1), "--key", fmt.Sprint("payee_id=", customers-i))
		if !slices.Equal(order, header[3:]) {
			t.Fatalf("asof get answers %q, the export %q", order, header[3:])
		}
		for name, feature := range got.Features {
			if !sameValue(feature.Value, row[name]) {
				t.Errorf("customer %d: %s is %v (%s) online and %q offline", i+1, name, feature.Value, feature.Status, row[name])
			}
		}
	}
}

// sameValue compares a value of JSON with a field of CSV.
func sameValue(value any, field string) bool {
	switch v := value.(type) {
	case nil:
		return field == ""
	case float64:
		f, err := strconv.ParseFloat(field, 64)
		return err == nil && f == v
	}
	return fmt.Sprint(value) == field
}

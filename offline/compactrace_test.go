package offline

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
)

// The environment that tells a test process to merge files in a directory until its input ends.
const compactEnv = "ASOF_OFFLINE_TEST_COMPACT"

// TestCompactProcesses lets another process merge files again and again while this one adds runs: each commits between the other's, and nothing
// is lost.
func TestCompactProcesses(t *testing.T) {
	if dir := os.Getenv(compactEnv); dir != "" {
		compactUntilClosed(t, openStore(t, dir, Options{}))
		return
	}
	dir := tempDir(t)
	s := openStore(t, dir, Options{})
	closed(t, increment(t, s, 0, 4))
	child := exec.Command(os.Args[0], "-test.run=^TestCompactProcesses$")
	child.Env = append(os.Environ(), compactEnv+"="+dir)
	var out bytes.Buffer
	child.Stdout, child.Stderr = &out, &out
	stop, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	want, refused, merged := numbered(0, 4, 0), 0, 0
	for from := 4; from < 400 && (from < 80 || merged < 5); {
		base := current(t, s, "purchases")
		if n := len(base.Files()); n < len(want)/4 {
			merged++
		}
		c := commitFor(feature.Range{From: feature.Time(from), To: feature.Time(from + 3)})
		c.Progress.Start, c.Base = 0, base.ID()
		closed(t, base)
		snapshot, err := replace(s, purchases(), c, numbered(from, from+4, 1), 3)
		if errors.Is(err, feature.ErrUnavailable) {
			refused++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		closed(t, snapshot)
		want, from = append(want, numbered(from, from+4, 1)...), from+4
	}
	if err := errors.Join(stop.Close(), child.Wait()); err != nil {
		t.Fatalf("the other process: %v\n%s", err, out.String())
	}
	t.Logf("refused %d times while files were merged; %d times there were fewer files than runs", refused, merged)
	if merged == 0 {
		t.Error("nothing was merged meanwhile")
	}
	after := current(t, s, "purchases")
	defer after.Close()
	sameRows(t, purchases(), readAll(t, after, purchases()), want)
	sound(t, s, purchases())
}

func compactUntilClosed(t *testing.T, s *Store) {
	closed := make(chan struct{})
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // which ends when the other process does
		close(closed)
	}()
	for {
		select {
		case <-closed:
			return
		default:
		}
		if _, err := s.Compact(context.Background(), "purchases", pairs); err != nil && !errors.Is(err, feature.ErrUnavailable) {
			t.Fatal(err)
		}
	}
}

// TestCheckFindsInCompaction lets the newest snapshot, which merged files, say what it should not: after 2 runs before, of 110 rows.
func TestCheckFindsInCompaction(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`("total-records":"110".*)"total-records":"110"`, `$1"total-records":"109"`, "it merged files, and has 109 rows where snapshot "},
		{`("asof.watermark-micros":"150".*)"asof.watermark-micros":"150"`, `$1"asof.watermark-micros":"160"`, "it merged files, and its property asof.watermark-micros is not that of snapshot "},
		{`("asof.rows":"70".*)"asof.rows":"70"`, `$1"asof.rows":"69"`, "it merged files, and its property asof.rows is not that of snapshot "},
	} {
		dir := tempDir(t)
		prepareRuns(t, dir, 3)
		s := openStore(t, dir, smallFiles)
		sound(t, s, purchases())
		resealed(t, s, c.old, c.new)
		faults, _ := checkTable(t, s, purchases())
		if !slices.ContainsFunc(faults, func(f Finding) bool {
			return strings.HasPrefix(f.Where, "snapshot ") && strings.HasPrefix(f.What, c.want)
		}) {
			t.Errorf("no fault with %q in %+v", c.want, faults)
		}
	}
}

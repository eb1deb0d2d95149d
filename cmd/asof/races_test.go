package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runAsRacer makes the test binary be one of the two processes of TestRaces; its value is the process's name.
const runAsRacer = "RUN_AS_RACER"

const (
	raceRounds = 100
	raceTries  = 100 // of an apply that others are faster than
)

type raceRow struct {
	K  int64 `parquet:"k"`
	At int64 `parquet:"at,timestamp(microsecond)"`
	X  int64 `parquet:"x"`
}

// raceDefinitions are the definitions of a racer: its ttl, which acts on reading alone, tells which apply they are of.
func raceDefinitions(ttlDays int) string {
	return fmt.Sprintf(`entities:
  - {name: e, keys: {k: int64}}
sources:
  - {name: src, parquet: 'src/*.parquet', event_time: at}
views:
  - {name: v, entity: e, source: src, ttl: %dd, features: [{name: x, type: int64}]}
  - {name: w, entity: e, source: src, granularity: 1m, aggregations: [{function: count, windows: [unbounded]}, {function: sum, column: x, windows: [10m]}]}
services:
  - {name: svc, features: [{view: v}, {view: w}]}
`, ttlDays)
}

// raceStart is when the races begin; a racer's clock goes on by a minute a round.
func raceStart() time.Time { return time.Date(2024, 5, 17, 9, 0, 0, 0, time.UTC) }

// raceApp returns an app whose clock stands at the given round.
func raceApp(round int) (*app, *bytes.Buffer, *bytes.Buffer) {
	stdout, stderr := &bytes.Buffer{}, &bytes.Buffer{}
	return newApp(stdout, stderr, false, func() time.Time { return raceStart().Add(time.Duration(round) * time.Minute) }), stdout, stderr
}

// race is what a racer does in the working directory: in each round it adds a file of rows, some of them late, applies definitions of its own, and
// materializes. It prints how many times it has applied.
func race(name string) error {
	applied := 0
	for round := range raceRounds {
		if err := raceFile(name, round); err != nil {
			return err
		}
		definitions := name + ".yaml"
		if err := os.WriteFile(definitions, []byte(raceDefinitions(1000+2*round+int(name[0]%2))), 0o600); err != nil {
			return err
		}
		for try := 0; ; try++ {
			code, message := raceRun(round, "apply", "--definitions", definitions)
			if code == 0 {
				applied++
				break
			}
			if code != 4 || try == raceTries {
				return fmt.Errorf("round %d: apply: code %d: %s", round, code, message)
			}
		}
		if code, message := raceRun(round, "materialize", "--online", "online-"+name); code != 0 && code != 4 && code != 6 {
			return fmt.Errorf("round %d: materialize: code %d: %s", round, code, message)
		}
	}
	fmt.Println(applied)
	return nil
}

func raceRun(round int, args ...string) (code int, message string) {
	a, _, stderr := raceApp(round)
	code = a.run(context.Background(), args)
	return code, stderr.String()
}

// raceFile adds five rows, one for each of the last five minutes, under its name at once.
func raceFile(name string, round int) error {
	var rows []raceRow
	for i := range 5 {
		at := raceStart().Add(time.Duration(round-i) * time.Minute)
		rows = append(rows, raceRow{K: int64(i % 3), At: at.UnixMicro(), X: int64(1000*round + 10*i + int(name[0]%2))})
	}
	hidden := filepath.Join("src", "."+name)
	if err := writeRows(hidden, rows); err != nil {
		return err
	}
	return os.Rename(hidden, filepath.Join("src", fmt.Sprintf("%s%03d.parquet", name, round)))
}

// TestRaces lets two processes with online stores of their own run and apply in one warehouse at the same time, 100 rounds each, while files come late:
// nothing is lost and nothing doubled. One may be told that the other was first, or is at it, and nothing else.
func TestRaces(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("src", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := raceFile("start", 0); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "features.yaml", raceDefinitions(999))
	if code, message := raceRun(0, "apply"); code != 0 {
		t.Fatal(message)
	}
	applied := raceProcesses(t)
	if applied != 2*raceRounds {
		t.Errorf("the processes have applied %d times", applied)
	}
	versions := tree(t, filepath.Join("warehouse", "registry"))
	if len(versions) != 1+applied {
		t.Errorf("%d versions lie in the registry after %d applies", len(versions), 1+applied)
	}
	var ttls []int
	for _, v := range versions {
		_, after, _ := strings.Cut(string(readFile(t, v)), "ttl: ")
		days, _, _ := strings.Cut(after, "d")
		n, err := strconv.Atoi(days)
		if err != nil {
			t.Fatal(v, err)
		}
		ttls = append(ttls, n)
	}
	slices.Sort(ttls)
	if compact := slices.Compact(slices.Clone(ttls)); len(compact) != len(ttls) || ttls[0] != 999 {
		t.Errorf("the versions have the ttls %v: each apply is there once", ttls)
	}
	raceCompare(t)
}

// raceProcesses runs the two processes and returns how many times they have applied.
func raceProcesses(t *testing.T) (applied int) {
	t.Helper()
	outs, errs := map[string]*bytes.Buffer{}, map[string]*bytes.Buffer{}
	wait := map[string]func() error{}
	for _, name := range []string{"a", "b"} {
		cmd, stdout, stderr := process(t)
		cmd.Env = append(cmd.Env, runAsRacer+"="+name)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		outs[name], errs[name], wait[name] = stdout, stderr, cmd.Wait
	}
	for name, wait := range wait {
		if err := wait(); err != nil {
			t.Fatalf("process %s: %v\n%s", name, err, errs[name])
		}
		n, err := strconv.Atoi(strings.TrimSpace(outs[name].String()))
		if err != nil {
			t.Fatal(err)
		}
		applied += n
	}
	return applied
}

// raceCompare brings the warehouse up to date, and compares it with one that is built from nothing, and with the online stores of both processes.
func raceCompare(t *testing.T) {
	t.Helper()
	run := func(args ...string) string {
		a, stdout, stderr := raceApp(raceRounds)
		if code := a.run(t.Context(), args); code != 0 {
			t.Fatalf("asof %s: code %d: %s", strings.Join(args, " "), code, stderr)
		}
		return stdout.String()
	}
	for _, online := range []string{"online-a", "online-b"} {
		run("materialize", "--online", online)
		run("verify", "--all", "--online", online)
	}
	var spine strings.Builder
	spine.WriteString("k,event_timestamp\n")
	for minute := range raceRounds + 3 {
		for k := range 4 {
			fmt.Fprintf(&spine, "%d,%s\n", k, raceStart().Add(time.Duration(minute)*time.Minute).Format(time.RFC3339))
		}
	}
	writeFile(t, "spine.csv", spine.String())
	writeFile(t, "features.yaml", raceDefinitions(999))
	run("apply")
	run("apply", "--warehouse", "alone")
	run("materialize", "--warehouse", "alone", "--online", "online-alone")
	rows := func(args ...string) (all []int64) {
		var views []viewStatus
		if err := json.Unmarshal([]byte(run(append([]string{"status", "--json"}, args...)...)), &views); err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			if len(v.Stale) > 0 {
				t.Errorf("view %s is stale: %v", v.View, v.Stale)
			}
			all = append(all, v.Rows)
		}
		return all
	}
	if got, want := rows("--online", "online-a"), rows("--warehouse", "alone", "--online", "online-alone"); !slices.Equal(got, want) || got[0] != int64(5*(1+2*raceRounds)) {
		t.Errorf("the views have %v rows, and %v when they are built from nothing", got, want)
	}
	run("export", "svc", "--spine", "spine.csv", "--out", "raced.csv")
	run("export", "svc", "--spine", "spine.csv", "--out", "alone.csv", "--warehouse", "alone")
	if !bytes.Equal(readFile(t, "raced.csv"), readFile(t, "alone.csv")) {
		t.Error("the training sets of the two warehouses differ")
	}
}

// raceMain is the process of a racer.
func raceMain(name string) int {
	if err := race(name); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(errors.New("racer "+name), err))
		return 1
	}
	return 0
}

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"
)

// exitOf returns the exit code of a process that has been started.
func exitOf(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// interruptAtLine starts a command line, interrupts it after so many lines on stderr, and returns its exit code, all of stderr, and
// whether there were so many lines.
func interruptAtLine(t *testing.T, lines int, args ...string) (code int, stderr string, sent bool) {
	t.Helper()
	cmd, _, _ := process(t, args...)
	cmd.Stderr = nil
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	reader := bufio.NewReader(pipe)
	for n := 0; ; n++ {
		if n == lines {
			sent = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
		line, err := reader.ReadString('\n')
		all.WriteString(line)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return exitOf(t, cmd), all.String(), sent
}

// temporary returns the files below dir that only a write under way has.
func temporary(t *testing.T, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(tree(t, dir), func(path string) bool { return !strings.Contains(filepath.Base(path), "tmp") })
}

// TestInterruptedMaterialize interrupts a run after each line that it prints: the stores are consistent then, and the next run gives
// what an undisturbed one gives.
func TestInterruptedMaterialize(t *testing.T) {
	inProject(t)
	if err := errors.Join(os.RemoveAll("data"), os.Rename("training.csv", "few.csv")); err != nil {
		t.Fatal(err)
	}
	ok(t, "simulate", ".", "--customers", "300")
	ok(t, "apply")
	cut := 0
	for line := 0; ; line++ {
		for _, store := range []string{"warehouse/features", "online"} { // what was applied stays
			if err := os.RemoveAll(store); err != nil {
				t.Fatal(err)
			}
		}
		code, stderr, sent := interruptAtLine(t, line, "materialize", "--to", "2024-05-10", "--workers", "1")
		if !sent && code == 0 {
			break // it prints no more lines than those
		}
		switch {
		case code == 130 && strings.HasSuffix(stderr, "asof: interrupted\n"):
			cut++
		case code == -1 && line == 0: // it had not even begun to listen for signals
		case code != 0:
			t.Fatalf("interrupted after line %d: code %d\n%s", line, code, stderr)
		}
		if files := temporary(t, "."); len(files) > 0 {
			t.Errorf("interrupted after line %d: left %q", line, files)
		}
		ok(t, "status")
		ok(t, "materialize")
		onlineEqualsOffline(t, 2)
		checkTraining(t)
	}
	if cut < 2 {
		t.Errorf("%d runs were interrupted before their end: too few to tell anything", cut)
	}
}

// checkTraining holds a training set against the first one that it saw.
func checkTraining(t *testing.T) {
	t.Helper()
	ok(t, "export", "fraud", "--spine", "few.csv", "--out", "now.csv")
	if _, err := os.Stat("first.csv"); err != nil {
		if err := os.Rename("now.csv", "first.csv"); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(readFile(t, "first.csv"), readFile(t, "now.csv")) {
		t.Error("the training set differs from that of the first run")
	}
}

// TestExportOfPipe: a spine can come through a pipe, which can be read only once, and is noted as if it were a file.
func TestExportOfPipe(t *testing.T) {
	inProject(t, "apply", "materialize")
	text := "customer_id,payee_id,event_timestamp\n" + strings.Repeat("7,8,2024-05-01T00:00:00Z\n", 50_000)
	writeFile(t, "file.csv", text)
	ok(t, "export", "fraud", "--spine", "file.csv", "--out", "file-out.csv")
	if err := syscall.Mkfifo("pipe.csv", 0o600); err != nil {
		t.Fatal(err)
	}
	var group errgroup.Group
	group.Go(func() error { return os.WriteFile("pipe.csv", []byte(text), 0) })
	ok(t, "export", "fraud", "--spine", "pipe.csv", "--out", "pipe-out.csv")
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(readFile(t, "file-out.csv"), readFile(t, "pipe-out.csv")) {
		t.Error("the training set differs from that of the file")
	}
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	for _, name := range []string{"file-out.csv.manifest.json", "pipe-out.csv.manifest.json"} {
		if !strings.Contains(string(readFile(t, name)), hash) {
			t.Errorf("%s has not the spine's hash", name)
		}
	}
}

// TestInterruptedExport interrupts, or terminates, an export that waits for more of its spine.
func TestInterruptedExport(t *testing.T) {
	t.Run("Ctrl-C", func(t *testing.T) { testInterruptedExport(t, os.Interrupt, 130) })
	t.Run("SIGTERM", func(t *testing.T) { testInterruptedExport(t, syscall.SIGTERM, 143) })
}

func testInterruptedExport(t *testing.T, signal os.Signal, want int) {
	inProject(t, "apply", "materialize")
	writeFile(t, "out.csv", "the training set of yesterday\n")
	if err := syscall.Mkfifo("spine.csv", 0o600); err != nil {
		t.Fatal(err)
	}
	before := tree(t, ".")
	cmd, stdout, stderr := process(t, "export", "fraud", "--spine", "spine.csv", "--out", "out.csv")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	spine, err := os.OpenFile("spine.csv", os.O_WRONLY, 0) // waits for the export to open it
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Repeat("7,8,2024-05-01T00:00:00Z\n", 20_000)
	if _, err := spine.WriteString("customer_id,payee_id,event_timestamp\n" + rows); err != nil {
		t.Fatal(err)
	}
	for len(temporary(t, ".")) == 0 { // the output begins when the header has been read, which it has: the pipe is far smaller
		if _, err := spine.WriteString(rows); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	for range 10_000 { // until the export no longer listens
		if _, err = spine.WriteString(rows); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.EPIPE) {
		t.Errorf("writing the spine ended with %v", err)
	}
	_ = spine.Close() // what could not be written is of no interest
	if code := exitOf(t, cmd); code != want || !strings.HasSuffix(stderr.String(), "asof: interrupted\n") || stdout.Len() > 0 {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	sameFiles(t, ".", before)
	if got := string(readFile(t, "out.csv")); got != "the training set of yesterday\n" {
		t.Errorf("the old output is now %.100q", got)
	}
	ok(t, "export", "fraud", "--spine", "training.csv", "--out", "out.csv")
}

// TestFullDisk exports under a bound on the size of files, which a write meets as it meets the end of a disk, and, where this process
// may mount one, to a disk that is too small.
func TestFullDisk(t *testing.T) {
	inProject(t, "apply", "materialize")
	export := func(out string) []string { return []string{"export", "fraud", "--spine", "training.csv", "--out", out} }
	ok(t, export("out.csv")...)
	want := readFile(t, "out.csv")
	if len(want) < 64<<10 {
		t.Fatalf("the output has %d bytes: too few for the test", len(want))
	}
	check := func(t *testing.T, dir string, code int, message string) {
		t.Helper()
		if code != 6 || !strings.Contains(message, "out.") || !strings.Contains(message, "nothing was left there; make room, or write to another disk") {
			t.Errorf("code %d: %s", code, message)
		}
		if files := tree(t, dir); len(files) > 0 {
			t.Errorf("left there: %q", files)
		}
	}
	for _, ending := range []string{"csv", "parquet", "arrow"} {
		t.Run("file too large, "+ending, func(t *testing.T) {
			cmd, stdout, stderr := process(t, export("small/out."+ending)...)
			sh, err := exec.LookPath("sh")
			if err != nil {
				t.Fatal(err)
			}
			cmd.Args = append([]string{sh, "-c", `ulimit -f 32 && exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...) // 16 KiB, in the blocks of POSIX
			cmd.Path = sh
			dir(t, "small")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			check(t, "small", exitOf(t, cmd), stderr.String())
			if stdout.Len() > 0 {
				t.Errorf("stdout %q", stdout)
			}
		})
	}
	t.Run("disk full", func(t *testing.T) {
		dir(t, "disk")
		if err := syscall.Mount("tmpfs", "disk", "tmpfs", 0, "size=32k"); err != nil {
			t.Skipf("mounting a small disk takes root: %v", err)
		}
		defer func() {
			if err := syscall.Unmount("disk", 0); err != nil {
				t.Error(err)
			}
		}()
		for _, ending := range []string{"csv", "parquet", "arrow"} {
			got := asof(t, export("disk/out."+ending)...)
			check(t, "disk", got.code, got.stderr)
		}
	})
	ok(t, export("again.csv")...)
	if !bytes.Equal(want, readFile(t, "again.csv")) {
		t.Error("the next export gives another result")
	}
}

func dir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

// serveProcess starts asof serve on a free port and returns its address, once it has logged so many runs, and a function that interrupts
// it and returns its exit code and stderr.
func serveProcess(t *testing.T, runs int, args ...string) (cmd *exec.Cmd, address string, stop func() (int, string)) {
	t.Helper()
	cmd, _, _ = process(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = nil
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(pipe)
	var all strings.Builder
	for address == "" || strings.Count(all.String(), "msg=materialized") < runs {
		line, err := reader.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			t.Fatalf("asof serve: %v\n%s", err, &all)
		}
		if found := regexp.MustCompile(`address=(127\.0\.0\.1:\d+)`).FindStringSubmatch(line); found != nil {
			address = found[1]
		}
	}
	var drain errgroup.Group
	drain.Go(func() error { _, err := io.Copy(&all, reader); return err })
	return cmd, address, func() (int, string) {
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := drain.Wait(); err != nil {
			t.Fatal(err)
		}
		return exitOf(t, cmd), all.String()
	}
}

// TestServe takes the online store away from the other verbs, which then go through the server.
func TestServe(t *testing.T) {
	inProject(t, "apply", "materialize --to 2024-03-01")
	cmd, address, stop := serveProcess(t, 0, "--schedule=false")
	keys := []string{"--key", "customer_id=7", "--key", "payee_id=8"}
	held := []string{"online store online is held by process " + strconv.Itoa(cmd.Process.Pid), "--server HOST:PORT", "stop the process"}
	fails(t, 6, held, "materialize")
	fails(t, 6, held, append([]string{"get", "fraud"}, keys...)...)
	fails(t, 6, held, "serve", "--listen", "127.0.0.1:0")
	if got := ok(t, "status"); strings.Count(got, "held by another process: --server") != 2 || strings.Count(got, "2024-03-01T00:00:00Z") != 2 {
		t.Errorf("status: %s", got)
	}
	if got := ok(t, "status", "--server", address); strings.Count(got, "2024-03-01T00:00:00Z") != 4 {
		t.Errorf("status of the server: %s", got)
	}
	if got := ok(t, "materialize", "--server", address); strings.Count(got, " keys published (") != 2 {
		t.Errorf("materialize: %s", got)
	}
	served, order := getJSON(t, append([]string{"fraud", "--server", address}, keys...)...)
	ok(t, append([]string{"get", "fraud", "--server", address}, keys...)...)
	fails(t, 2, []string{"payee_id"}, "get", "fraud", "--key", "customer_id=7", "--key", "payee_id=", "--server", address)
	code, stderr := stop()
	if code != 0 || strings.Contains(stderr, "panic") {
		t.Errorf("an interrupted server ends with code %d\n%s", code, stderr)
	}
	here, hereOrder := getJSON(t, append([]string{"fraud"}, keys...)...)
	if !slices.Equal(order, hereOrder) || len(order) != 6 {
		t.Errorf("the server answers %q, the store %q", order, hereOrder)
	}
	for _, name := range []string{"home_country", "income_k", "payee__home_country"} { // the others expire by the server's clock
		s, h := served.Features[name], here.Features[name]
		if s.Status != "PRESENT" || s.Status != h.Status || s.Value != h.Value || *s.EventTime != *h.EventTime {
			t.Errorf("%s: the server says %+v, the store %+v", name, s, h)
		}
	}
	onlineEqualsOffline(t, 5)
}

// TestVerifyServer compares and explains what a server answers, whose clock is that of today: what has expired by it is right all the same.
func TestVerifyServer(t *testing.T) {
	inProject(t, "apply", "materialize")
	_, address, stop := serveProcess(t, 0, "--schedule=false")
	if got := ok(t, "verify", "--all", "--server", address); strings.Count(got, "50    50     0          0        -\n") != 2 {
		t.Errorf("verify: %s", got)
	}
	keys := []string{"--key", "customer_id=7", "--key", "payee_id=8"}
	here, _ := explainJSON(t, keys...)
	if len(here.Notes) != 1 || !strings.Contains(here.Notes[0], "--server HOST:PORT") || here.Views[0].Online != nil {
		t.Errorf("beside a server that is not asked: %+v", here)
	}
	_, features := explainJSON(t, append(keys, "--server", address)...)
	for name, f := range features {
		if !*f.Equal || f.Online == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	edit(t, "delay: 10m", "delay: 20m")
	ok(t, "apply")
	fails(t, 6, []string{"last_payment: its definition has changed"}, "verify", "--server", address)
	edit(t, "delay: 20m", "delay: 10m")
	ok(t, "apply")
	if code, stderr := stop(); code != 0 || strings.Contains(stderr, "panic") {
		t.Errorf("the server ends with code %d\n%s", code, stderr)
	}
	edit(t, "ttl: 30d", "ttl: 36500d")
	ok(t, "apply")
	falsify(t, 7)
	_, address, stop = serveProcess(t, 0, "--schedule=false")
	checkDifference(t, fails(t, 5, nil, "verify", "--all", "--json", "--server", address).stdout, false)
	if code, _ := stop(); code != 0 {
		t.Errorf("the server ends with code %d", code)
	}
}

// TestServeSchedules leaves two views behind their schedules, which a server catches up.
func TestServeSchedules(t *testing.T) {
	inProject(t, "apply", "materialize --to 2024-03-01")
	_, address, stop := serveProcess(t, 2)
	if got := ok(t, "status", "--server", address); strings.Contains(got, "2024-03-01") || strings.Count(got, "ready") != 2 {
		t.Errorf("status after the server has caught up: %s", got)
	}
	if code, stderr := stop(); code != 0 || strings.Contains(stderr, "panic") || strings.Contains(stderr, "failed") {
		t.Errorf("the server ends with code %d\n%s", code, stderr)
	}
	ok(t, "verify", "--all")
}

// TestViewIsBeingWritten holds the lock of a view as another process that materializes it would.
func TestViewIsBeingWritten(t *testing.T) {
	inProject(t, "apply", "materialize --to 2024-03-01")
	lock, err := os.OpenFile("warehouse/features/profile/asof.lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(lock, "pid 4711\n"); err != nil {
		t.Fatal(err)
	}
	got := fails(t, 6, []string{"view profile is being written by process 4711: wait for it, or stop it"}, "materialize")
	if !strings.Contains(got.stdout, "last_payment: ") {
		t.Errorf("the other view was not materialized: %+v", got)
	}
	ok(t, "export", "fraud", "--spine", "training.csv", "--out", "set.csv") // readers need no lock
	if err := lock.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	ok(t, "materialize")
	onlineEqualsOffline(t, 3)
}

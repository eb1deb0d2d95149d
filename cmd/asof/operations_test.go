//go:build linux

package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// operations returns the commands of docs/operations.md: the blocks marked sh, by the heading above them.
func operations(t *testing.T) map[string][]string {
	t.Helper()
	commands := map[string][]string{}
	heading, block, in := "", "", false
	for line := range strings.Lines(string(readFile(t, filepath.Join("..", "..", "docs", "operations.md")))) {
		switch {
		case in && line == "```\n":
			commands[heading], block, in = append(commands[heading], block), "", false
		case in:
			block += line
		case line == "```sh\n":
			in = true
		case strings.HasPrefix(line, "#"):
			heading = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	return commands
}

// operator runs what the page says on the project in the working directory.
type operator struct {
	t        *testing.T
	commands map[string][]string
	done     map[string]bool // by block
	project  string          // /srv/asof
	backup   string          // /backup
	bin      string          // /usr/local/bin
	server   *served         // nil while it is stopped
}

// newOperator goes to a new project that is materialized, with a bin directory in which asof is this test.
func newOperator(t *testing.T, commands map[string][]string, done map[string]bool) *operator {
	t.Helper()
	inProject(t, "apply", "materialize")
	o := &operator{t: t, commands: commands, done: done, backup: t.TempDir(), bin: t.TempDir()}
	var err error
	if o.project, err = os.Getwd(); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(o.bin, "asof")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if o.server != nil {
			o.server.stop(os.Kill)
		}
	})
	return o
}

// run runs a block of the page, counted from 0 below its heading, where FILE is file, and returns what it prints.
func (o *operator) run(heading string, block int, file string) string {
	o.t.Helper()
	if block >= len(o.commands[heading]) {
		o.t.Fatalf("docs/operations.md has no block %d marked sh below %q", block, heading)
	}
	text := o.commands[heading][block]
	o.done[text] = true
	var printed, script strings.Builder
	for line := range strings.Lines(text) {
		verb, is := strings.CutPrefix(strings.TrimSpace(line), "systemctl ")
		if !is {
			script.WriteString(line)
			continue
		}
		printed.WriteString(o.shell(script.String(), file))
		script.Reset()
		switch verb {
		case "start asof":
			o.server = startServer(o.t)
		case "stop asof":
			if code := o.server.stop(syscall.SIGTERM); code != 0 {
				o.t.Errorf("the server ends with code %d\n%s", code, &o.server.said)
			}
			o.server = nil
		default:
			o.t.Fatalf("systemctl %s", verb)
		}
	}
	printed.WriteString(o.shell(script.String(), file))
	return printed.String()
}

// shell runs commands in the project.
func (o *operator) shell(script, file string) string {
	o.t.Helper()
	places := []string{"/srv/asof", o.project, "/backup", o.backup, "/disk2", filepath.Join(o.backup, "disk2"), "/usr/local/bin", o.bin, "FILE", file}
	if o.server != nil {
		places = append(places, "127.0.0.1:7878", o.server.address)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		o.t.Skip("bash, which runs the commands, is not here")
	}
	cmd := exec.CommandContext(o.t.Context(), bash, "-euo", "pipefail", "-c", strings.NewReplacer(places...).Replace(script))
	cmd.Env = append(os.Environ(), runAsMain+"=1", "PATH="+o.bin+":"+os.Getenv("PATH"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		o.t.Fatalf("%s: %v\nstdout %s\nstderr %s", cmd.Args[4], err, &stdout, &stderr)
	}
	return stdout.String()
}

// prints fails unless all of it is in what was printed.
func prints(t *testing.T, got string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
}

// start starts the server that the page takes for granted.
func (o *operator) start(args ...string) { o.server = startServer(o.t, args...) }

// training returns a training set of the project.
func (o *operator) training() []byte {
	o.t.Helper()
	ok(o.t, "export", "fraud", "--spine", "training.csv", "--out", "set.csv")
	return readFile(o.t, "set.csv")
}

// damage changes a byte of the newest file that matches, and returns its path.
func damage(t *testing.T, pattern string) string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("%s: %q, %v", pattern, paths, err)
	}
	newest := slices.MaxFunc(paths, func(a, b string) int { return modified(t, a).Compare(modified(t, b)) })
	flipByte(t, newest, 2)
	return newest
}

func modified(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// TestOperations does what docs/operations.md says, block by block, with the commands of the page.
func TestOperations(t *testing.T) {
	commands, done, all := operations(t), map[string]bool{}, true
	for _, c := range []struct {
		name string
		test func(*operator)
	}{
		{"health and backfill", (*operator).testBackfill},
		{"backup and restore", (*operator).testBackup},
		{"moving", (*operator).testMoving},
		{"upgrading", (*operator).testUpgrading},
		{"removing a view", (*operator).testRemoving},
		{"damaged history", (*operator).testHistory},
		{"damaged online store", (*operator).testOnline},
		{"damaged registry", (*operator).testRegistry},
		{"files of nobody", (*operator).testStray},
	} {
		began := false // not if -run names others
		t.Run(c.name, func(t *testing.T) { began = true; c.test(newOperator(t, commands, done)) })
		all = all && began
	}
	for heading, blocks := range commands {
		for _, block := range blocks {
			if all && !done[block] && !t.Failed() {
				t.Errorf("no test runs this block below %q:\n%s", heading, block)
			}
		}
	}
}

func (o *operator) testBackfill() {
	o.start("--schedule=false")
	prints(o.t, o.run("Health", 0, ""), "last_payment  ready", "profile       ready")
	prints(o.t, o.run("Late data and backfills", 0, ""), "profile       ready", "profile: to compute [2024-03-01T00:00:00Z, 2024-03-31T00:00:00Z], about ",
		"in 5 commits", "profile: 20 rows to ")
	server := o.server.address
	o.server.stop(syscall.SIGKILL)
	o.server = nil
	fails(o.t, 6, []string{server}, "get", "fraud", "--key", "customer_id=7", "--key", "payee_id=8", "--server", server)
	if got := ok(o.t, "check"); strings.Contains(got, "remark: ") {
		o.t.Errorf("after kill -9: %s", got)
	}
	o.start()
}

// testBackup takes the backup while a server that runs both views every second writes to the warehouse.
func (o *operator) testBackup() {
	for old, new := range map[string]string{`"*/15 * * * *"`: `"@every 1s"`, `"@daily"`: `"@every 1s"`} {
		edit(o.t, old, new)
	}
	ok(o.t, "apply")
	o.start("--runs-max", "2")
	o.server.await("msg=materialized view=profile")
	before := o.training()
	for range 3 {
		if err := os.RemoveAll(filepath.Join(o.backup, "asof")); err != nil {
			o.t.Fatal(err)
		}
		o.server.await("msg=materialized view=last_payment")
		o.run("Backup", 0, "")
	}
	o.server.await("msg=materialized view=last_payment") // what is lost by going back
	got := o.run("Restore", 0, "")
	prints(o.t, got, "last_payment: 50 keys published", "profile: 50 keys published")
	if strings.Contains(got, "remark: ") {
		o.t.Errorf("of the warehouse that was restored asof check says\n%s", got)
	}
	o.server.await("msg=materialized view=last_payment")
	if !bytes.Equal(before, o.training()) {
		o.t.Error("the training set is another one after the restore")
	}
}

func (o *operator) testMoving() {
	before := o.training()
	if err := os.Mkdir(filepath.Join(o.backup, "disk2"), 0o700); err != nil {
		o.t.Fatal(err)
	}
	o.start()
	o.run("Moving", 0, "")
	if target, err := os.Readlink("warehouse"); err != nil || !strings.HasPrefix(target, o.backup) {
		o.t.Errorf("the warehouse is a link to %q, %v", target, err)
	}
	if !bytes.Equal(before, o.training()) {
		o.t.Error("the training set is another one on the other disk")
	}
	// Called by its other name, or copied to another path, it is refused.
	fails(o.t, 2, []string{"was written in " + o.project, "bring the warehouse back to where it was"}, "status", "--warehouse", o.copied())
}

// copied copies the warehouse to another path, and returns that.
func (o *operator) copied() string {
	o.t.Helper()
	path := filepath.Join(o.backup, "copy")
	if err := os.CopyFS(path, os.DirFS(filepath.Join(o.backup, "disk2", "warehouse"))); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// testUpgrading has no other version than this one: it holds that the steps work, TestNewerFormats what the versions say of each other.
func (o *operator) testUpgrading() {
	program := readFile(o.t, filepath.Join(o.bin, "asof"))
	if err := os.WriteFile("asof.new", program, 0o755); err != nil {
		o.t.Fatal(err)
	}
	o.start()
	prints(o.t, o.run("Upgrading", 0, ""), "asof ", "Nothing changes.")
	if info, err := os.Lstat(filepath.Join(o.bin, "asof")); err != nil || !info.Mode().IsRegular() {
		o.t.Errorf("the program was not replaced: %v, %v", info, err)
	}
	o.run("Upgrading", 1, "")
	ok(o.t, "verify", "--all", "--server", o.server.address)
}

func (o *operator) testRemoving() {
	text := string(readFile(o.t, "features.yaml"))
	writeFile(o.t, "features.yaml", regexp.MustCompile(`(?s)  - name: profile.*?\n\n|      - \{view: profile, .*`).ReplaceAllString(text, ""))
	o.start()
	prints(o.t, o.run("Removing a view", 0, ""), "- view profile", "last_payment: 50 keys published")
	prints(o.t, ok(o.t, "verify", "--all", "--server", o.server.address), "last_payment")
	fails(o.t, 3, []string{"profile"}, "verify", "profile", "--server", o.server.address)
	writeFile(o.t, "features.yaml", text)
	prints(o.t, ok(o.t, "apply"), "+ view profile")
	prints(o.t, ok(o.t, "status", "--server", o.server.address), "profile       never materialized")
}

func (o *operator) testHistory() {
	o.run("Backup", 0, "")
	before := o.training()
	history := "warehouse/features/profile/"
	for _, pattern := range []string{"data/*.parquet", "metadata/*-m1.avro", "metadata/snap-*.avro", "metadata/v*.metadata.json"} {
		o.start("--schedule=false") // so that the backup has the newest files
		path := damage(o.t, history+pattern)
		file := strings.TrimPrefix(path, history)
		got := fails(o.t, 5, []string{"view profile: "}, "check")
		if !strings.Contains(got.stdout, filepath.Base(path)) || strings.Contains(got.stdout, "remark: profile") { // what it refers to is not of nobody
			o.t.Errorf("the damage to %s is called %s", path, got.stdout)
		}
		o.server.stop(os.Interrupt)
		o.start("--schedule=false") // what was published is served all the same
		if got, _ := getJSON(o.t, "fraud", "--key", "customer_id=7", "--key", "payee_id=8", "--server", o.server.address); got.Features["home_country"].Status != "PRESENT" {
			o.t.Errorf("with damage to %s the server answers %+v", path, got)
		}
		o.run("A file of the history", 0, file)
		if !bytes.Equal(before, o.training()) {
			o.t.Errorf("the training set is another one after %s was restored", path)
		}
		damage(o.t, path)
		o.run("A file of the history", 1, "")
		if !bytes.Equal(before, o.training()) {
			o.t.Errorf("the training set is another one after the history was computed again")
		}
		o.server.stop(os.Interrupt)
		if err := os.RemoveAll(filepath.Join(o.backup, "asof")); err != nil {
			o.t.Fatal(err)
		}
		o.run("Backup", 0, "")
	}
	o.server = nil
	ok(o.t, "verify", "--all")
}

func (o *operator) testOnline() {
	o.start()
	damageOnline(o.t)
	o.run("The online store", 0, "")
	ok(o.t, "verify", "--all", "--server", o.server.address)
}

func (o *operator) testRegistry() {
	edit(o.t, "delay: 10m", "delay: 20m")
	ok(o.t, "apply")
	o.run("Backup", 0, "")
	for block, file := range []string{"v000001.json", "v000002.json"} {
		damage(o.t, "warehouse/registry/"+file)
		prints(o.t, fails(o.t, 5, nil, "check").stdout, "registry of warehouse: registry record warehouse/registry/"+file+" is damaged")
		prints(o.t, o.run("The registry", block, file), "view          snapshots")
	}
	prints(o.t, ok(o.t, "plan"), "Nothing changes.")
}

func (o *operator) testStray() {
	o.start()
	writeFile(o.t, "warehouse/features/profile/data/stray.parquet", "left by somebody")
	prints(o.t, ok(o.t, "check"), "remark: profile, data/stray.parquet: no snapshot refers to it")
	if got := o.run("Files of nobody", 0, "data/stray.parquet"); strings.Contains(got, "remark: ") {
		o.t.Errorf("after it was removed: %s", got)
	}
}

// TestNewerFormats gives this program what a later one may have written: it says so, and to whom to turn.
func TestNewerFormats(t *testing.T) {
	inProject(t, "apply", "materialize")
	path := "warehouse/features/profile/metadata/v1.metadata.json"
	text := readFile(t, path)
	body := bytes.Replace(text[:bytes.LastIndex(text, []byte(`,"asof-checksum":`))], []byte(`"asof.format":"1"`), []byte(`"asof.format":"2"`), 1)
	writeFile(t, path, fmt.Sprintf(`%s,"asof-checksum":"%08x"}`, body, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))))
	for _, args := range []string{"status", "materialize", "check", "export fraud --spine training.csv --out set.csv"} {
		got := fails(t, 2, []string{`has asof.format "2" and this asof knows 1: use the asof that wrote it, or a newer one`}, strings.Fields(args)...)
		if strings.Contains(got.stdout, "profile, ") {
			t.Errorf("of files that it does not know asof %s says\n%s", args, got.stdout)
		}
	}
	rewriteRecord(t, "warehouse/registry/v000001.json", `"format": 1`, `"format": 2`)
	for _, args := range []string{"status", "apply", "materialize", "check"} {
		fails(t, 2, []string{"v000001.json: its format is 2 and this version of asof reads 1: use the asof that wrote it, or a newer one"}, strings.Fields(args)...)
	}
}

// TestAlone runs the program as the container file builds it, where there is nothing else.
func TestAlone(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may change the root directory")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("go, which builds the program, is not here")
	}
	root := t.TempDir()
	build := exec.CommandContext(t.Context(), tool, "build", "-ldflags=-s -w", "-o", filepath.Join(root, "asof"), ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, args := range []string{"init .", "apply", "materialize", "check", "verify --all", "export fraud --spine training.csv --out set.parquet"} {
		cmd := exec.CommandContext(t.Context(), "/asof", strings.Fields(args)...)
		cmd.Env, cmd.Dir, cmd.SysProcAttr = []string{}, "/", &syscall.SysProcAttr{Chroot: root}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("asof %s: %v\n%s", args, err, out)
		}
	}
}

// TestDeploy: settings and commands in examples/deploy are such that this program takes, and the unit is one, where systemd can say so.
func TestDeploy(t *testing.T) {
	deploy := filepath.Join("..", "..", "examples", "deploy")
	got := runVerb(t, t.Context(), func(a *app, cmd *cobra.Command) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.printf("%s %s %d", s.Warehouse, s.Online, s.Scheduling.RunsMax)
	}, "--config", filepath.Join(deploy, "asof.yaml"))
	if got.code != 0 || got.stdout != "/srv/asof/warehouse /srv/asof/online 2" {
		t.Errorf("asof.yaml: %+v", got)
	}
	unit, image := string(readFile(t, filepath.Join(deploy, "asof.service"))), string(readFile(t, filepath.Join(deploy, "Containerfile")))
	calls := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/asof (.*)$`).FindAllStringSubmatch(unit, -1)
	calls = append(calls, regexp.MustCompile(`CMD \["(?:/asof", ")?([^/]*)"\]`).FindAllStringSubmatch(image, -1)...)
	if len(calls) != 3 {
		t.Fatalf("the calls are %q", calls)
	}
	for _, call := range calls {
		args := strings.Fields(strings.ReplaceAll(call[1], `", "`, " "))
		if got := ok(t, append(args, "--help")...); !strings.Contains(got, "asof "+args[0]) {
			t.Errorf("asof %q: %s", args, got)
		}
	}
	t.Run("systemd", func(t *testing.T) { testUnit(t, unit) })
}

// testUnit has systemd look at the unit, where it is installed: containers and other systems lack it.
func testUnit(t *testing.T, unit string) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze, which verifies the unit, is not here")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "asof.service")
	writeFile(t, path, strings.NewReplacer("/usr/local/bin/asof", os.Args[0], "/srv/asof", dir, "User=asof\nGroup=asof\n", "").Replace(unit))
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput(); err != nil || bytes.Contains(out, []byte("asof.service")) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

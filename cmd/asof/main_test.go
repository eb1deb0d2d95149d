package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
)

// outcome is what a command line did.
type outcome struct {
	code           int
	stdout, stderr string
}

// testApp returns an app whose clock stands still.
func testApp() (a *app, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	now := func() time.Time { return time.Date(2024, 5, 17, 9, 30, 0, 0, time.UTC) }
	return newApp(stdout, stderr, false, now), stdout, stderr
}

// asof executes a command line in this process.
func asof(t *testing.T, args ...string) outcome {
	t.Helper()
	a, stdout, stderr := testApp()
	code := a.run(t.Context(), args)
	return outcome{code, stdout.String(), stderr.String()}
}

func TestCommandLines(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, c := range []struct {
		name, args, stdout, stderr string
		code                       int
	}{
		{"no verb shows help", "", "Exit codes:", "", 0},
		{"help", "--help", "somebody else was first", "", 0},
		{"help for a verb", "init --help", "asof init DIR", "", 0},
		{"unknown verb", "versio", "", "Did you mean this?\n\tversion", 2},
		{"unknown flag", "version --jsn", "", "unknown flag: --jsn\nRun 'asof --help'", 2},
		{"too few arguments", "init", "", "accepts 1 arg(s), received 0", 2},
		{"too many arguments", "version a", "", `unknown command "a"`, 2},
		{"bad flag value", "simulate demo --customers many", "", `invalid argument "many"`, 2},
		{"bad value found by the verb", "simulate demo --end yesterday", "", `--end "yesterday": write 2006-01-02`, 2},
		{"bad log level", "version --log-level loud", "", `--log-level "loud": it is one of debug, info, warn, error`, 2},
		{"version", "version", "asof ", "", 0},
		{"completion", "completion bash", "bash completion", "", 0},
		{"init", "init project", "cd project\n  asof plan", "", 0},
		{"init again", "init project", "", filepath.Join("project", "asof.yaml") + " is there already", 4},
		{"simulate", "simulate demo --customers 20 --seed 3", "payments of 20 customers", "", 0},
		{"simulate again", "simulate demo", "", "remove it or choose another directory", 4},
		{"a place that cannot be", "simulate /dev/null/demo --customers 20", "", "/dev/null", 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := asof(t, strings.Fields(c.args)...)
			if got.code != c.code || !strings.Contains(got.stdout, c.stdout) || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("asof %s: code %d, want %d\nstdout %q, want %q\nstderr %q, want %q", c.args, got.code, c.code, got.stdout, c.stdout, got.stderr, c.stderr)
			}
			if c.code != 0 && (got.stdout != "" || !strings.HasPrefix(got.stderr, "asof: ")) {
				t.Errorf("asof %s: stdout %q, stderr %q", c.args, got.stdout, got.stderr)
			}
		})
	}
}

// runVerb executes a verb made for the test within the real command tree's root.
func runVerb(t *testing.T, ctx context.Context, run func(a *app, cmd *cobra.Command) error, args ...string) outcome {
	t.Helper()
	a, stdout, stderr := testApp()
	verb := &cobra.Command{Use: "try", RunE: func(cmd *cobra.Command, _ []string) error { return run(a, cmd) }}
	addServeFlags(verb)
	code := a.runRoot(ctx, newRootCommand(a, verb), append([]string{"try"}, args...))
	return outcome{code, stdout.String(), stderr.String()}
}

func TestExitCodesOfErrorKinds(t *testing.T) {
	for _, k := range exitKinds() {
		err := fmt.Errorf("outer: %w", feature.Errorf(k.kind, "what went wrong"))
		got := runVerb(t, t.Context(), func(*app, *cobra.Command) error { return err })
		if got.code != k.code || got.stderr != "asof: outer: what went wrong\n" {
			t.Errorf("%v: %+v", k.kind, got)
		}
	}
	if got := runVerb(t, t.Context(), func(*app, *cobra.Command) error { return errors.New("who knows") }); got.code != 1 {
		t.Errorf("an error without a kind: %+v", got)
	}
	got := runVerb(t, t.Context(), func(*app, *cobra.Command) error { panic("a bug") })
	if got.code != 1 || !strings.Contains(got.stderr, "a fault of asof itself: a bug") {
		t.Errorf("a panic: %+v", got)
	}
}

func TestInterruptExits130(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	got := runVerb(t, ctx, func(_ *app, cmd *cobra.Command) error {
		cancel()
		return fmt.Errorf("materialize: %w", cmd.Context().Err())
	})
	if got.code != 130 || got.stderr != "asof: interrupted\n" {
		t.Errorf("got %+v", got)
	}
	ctx, cancel = context.WithCancel(t.Context())
	got = runVerb(t, ctx, func(*app, *cobra.Command) error { cancel(); return nil })
	if got.code != 0 {
		t.Errorf("a verb that ends well when it is told to: %+v", got)
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		name, file, env, args string
		want                  string // definitions, warehouse, online, listen, memory, workers; or the fault
		code                  int
	}{
		{"defaults", "", "", "", "features.yaml warehouse online 127.0.0.1:7878 1073741824 cpus", 0},
		{"file", "warehouse: wh\nmemory: 512MB\nworkers: 2\nlisten: :80\n", "", "", "features.yaml wh online :80 512000000 2", 0},
		{"variables win over the file", "warehouse: wh\nworkers: 2\n", "ASOF_WAREHOUSE=env ASOF_WORKERS=4", "", "features.yaml env online 127.0.0.1:7878 1073741824 4", 0},
		{"flags win over both", "warehouse: wh\n", "ASOF_WAREHOUSE=env", "--warehouse flag --memory 2GiB --listen localhost:1", "features.yaml flag online localhost:1 2147483648 cpus", 0},
		{"a variable without a value counts for nothing", "warehouse: wh\n", "ASOF_WAREHOUSE=", "", "features.yaml wh online 127.0.0.1:7878 1073741824 cpus", 0},
		{"absolute", "warehouse: /srv/wh\n", "", "", "features.yaml /srv/wh online 127.0.0.1:7878 1073741824 cpus", 0},
		{"comments alone", "# nothing\n", "", "", "features.yaml warehouse online 127.0.0.1:7878 1073741824 cpus", 0},
		{"no value", "warehouse:\n", "", "", "features.yaml warehouse online 127.0.0.1:7878 1073741824 cpus", 0},
		{"unknown key", "warehouse: wh\nwarehose: wh\nxyz: 1\n", "", "", "asof.yaml:2: unknown setting \"warehose\": did you mean warehouse?\nasof.yaml:3: unknown setting \"xyz\": settings are definitions, warehouse", 2},
		{"a list", "online: [a, b]\n", "", "", "asof.yaml:1: setting online has more than one value", 2},
		{"no mapping", "- a\n", "", "", "asof.yaml:1: settings are lines of the form name: value", 2},
		{"no YAML", "a: b: c\n", "", "", "asof.yaml: ", 2},
		{"one key twice", "online: a\nonline: b\n", "", "", "asof.yaml: ", 2},
		{"catalog", "catalog: glue\n", "", "", `asof.yaml: catalog: the catalog "glue" is not known: the only one is hadoop`, 2},
		{"cache in the file", "cache: -1\n", "", "", `asof.yaml: cache: "-1" is no size: write a number and a unit, such as 512MB or 1GiB, or 0 for none`, 2},
		{"too much cache", "cache: 1025GiB\n", "", "", `asof.yaml: cache: 1025GiB is more than the 1TiB that it may have`, 2},
		{"memory in the file", "memory: lots\n", "", "", `asof.yaml: memory: "lots" is no size: write a number and a unit, such as 512MB or 1GiB`, 2},
		{"memory in a variable", "", "ASOF_MEMORY=-1GB", "", `ASOF_MEMORY: "-1GB" is no size`, 2},
		{"workers in a flag", "", "", "--workers two", `--workers: "two" is no number of workers`, 2},
		{"listen", "listen: 7878\n", "", "", `asof.yaml: listen: "7878" is no address`, 2},
		{"no runs", "runs_max: 0\n", "", "", `asof.yaml: runs_max: "0" is no number from 1`, 2},
		{"no sample", "", "ASOF_VERIFY_SAMPLE=x", "", `ASOF_VERIFY_SAMPLE: "x" is no number from 1`, 2},
		{"jitter", "", "", "--run-jitter soon", `--run-jitter: "soon" is not a duration`, 2},
		{"verified all the time", "verify_every: 5ms\n", "", "", `asof.yaml: verify_every: "5ms" is too often: write 1s or more`, 2},
		{"webhook in the file", "webhook: me:hidden@example.com\n", "", "", "asof.yaml: webhook: it is no URL of a webhook: write one such as https://example.com/hook", 2},
		{"metrics", "metrics: 9090\n", "", "", `asof.yaml: metrics: "9090" is no address`, 2},
		{"no such file", "", "", "--config nowhere.yaml", "nowhere.yaml: there is no such file", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if c.file != "" {
				if err := os.WriteFile("asof.yaml", []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, pair := range strings.Fields(c.env) {
				name, value, _ := strings.Cut(pair, "=")
				t.Setenv(name, value)
			}
			want := strings.Replace(c.want, "cpus", fmt.Sprint(runtime.GOMAXPROCS(0)), 1)
			got := runVerb(t, t.Context(), func(a *app, cmd *cobra.Command) error {
				s, err := a.settings(cmd)
				if err != nil {
					return err
				}
				if c.file == "" != (s.File == "") {
					t.Errorf("read from %q", s.File)
				}
				return a.printf("%s %s %s %s %d %d", s.Definitions, s.Warehouse, s.Online, s.Listen, s.Memory, s.Workers)
			}, strings.Fields(c.args)...)
			if got.code != c.code || !strings.Contains(got.stdout+got.stderr, want) {
				t.Errorf("got %+v, want %q", got, want)
			}
		})
	}
}

// TestServeSettings: the settings of scheduling and watching, from all three places.
func TestServeSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	show := func(a *app, cmd *cobra.Command) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		w := s.Watching
		return a.printf("%d %+v %q %v %s %s %d", s.Cache>>20, s.Scheduling, w.Metrics, w.Webhook, w.StaleAfter, w.VerifyEvery, w.VerifySample)
	}
	if got := runVerb(t, t.Context(), show); got.stdout != `256 {RunsMax:1 Jitter:0s Timeout:0s} "" <nil> 1h0m0s 0s 100` {
		t.Errorf("the defaults are %+v", got)
	}
	if err := os.WriteFile("asof.yaml", []byte("cache: 0\nruns_max: 4\nrun_jitter: 5m\nrun_timeout: 1h\nverify_every: 1m\nmetrics: :1\nstale_after: 1d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ASOF_RUN_TIMEOUT", "2h")
	t.Setenv("ASOF_WEBHOOK", "https://example.com/hook?token=x")
	args := strings.Fields("--runs-max 3 --run-timeout 3h --verify-sample 7 --metrics 127.0.0.1:9")
	want := `0 {RunsMax:3 Jitter:5m0s Timeout:3h0m0s} "127.0.0.1:9" https://example.com/hook?token=x 24h0m0s 1m0s 7`
	if got := runVerb(t, t.Context(), show, args...); got.stdout != want {
		t.Errorf("got %+v, want %s", got, want)
	}
}

func TestPathsAreRelativeToTheSettingsFile(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll(filepath.Join("project", "definitions"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("project", "asof.yaml"), []byte("warehouse: ../wh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	show := func(a *app, cmd *cobra.Command) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.printf("%s %s %s", s.Definitions, s.Warehouse, s.Online)
	}
	for args, want := range map[string]string{
		"--config project/asof.yaml":                                "project/definitions wh project/online",
		"--config project/asof.yaml --warehouse there":              "project/definitions there project/online",
		"--config project/asof.yaml --definitions defs/other.yaml ": "defs/other.yaml wh project/online",
	} {
		if got := runVerb(t, t.Context(), show, strings.Fields(args)...); got.stdout != filepath.FromSlash(want) {
			t.Errorf("%s: got %+v, want %s", args, got, want)
		}
	}
	t.Setenv("ASOF_CONFIG", "project/asof.yaml")
	if got := runVerb(t, t.Context(), show); got.stdout != filepath.FromSlash("project/definitions wh project/online") {
		t.Errorf("ASOF_CONFIG: got %+v", got)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"1": 1, "64B": 64, "1kB": 1000, "1KiB": 1024, "512MB": 512_000_000, "1.5GiB": 3 << 29, "2 GiB": 2 << 30, "1tib": 1 << 40,
		"": 0, "0": 0, "-1": 0, "1G": 0, "GiB": 0, "1GiBs": 0, "NaN": 0, "1e400": 0, "9999999999TiB": 0} {
		got, err := parseSize(text)
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: got %d %v, want %d", text, got, err, want)
		}
	}
}

func TestLogs(t *testing.T) {
	write := func(a *app, _ *cobra.Command) error {
		a.log.Info("materialized", "view", "profile")
		return nil
	}
	got := runVerb(t, t.Context(), write, "--log-format", "json")
	var line struct{ Msg, View string }
	if err := json.Unmarshal([]byte(got.stderr), &line); err != nil || line.Msg != "materialized" || line.View != "profile" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := runVerb(t, t.Context(), write, "--log-level", "warn"); got.stderr != "" {
		t.Errorf("got %+v", got)
	}
}

// TestInitWritesAWorkingProject loads what init wrote as every other verb would.
func TestInitWritesAWorkingProject(t *testing.T) {
	t.Chdir(t.TempDir())
	if got := asof(t, "init", "."); got.code != 0 || strings.Contains(got.stdout, "cd ") {
		t.Fatalf("got %+v", got)
	}
	got := runVerb(t, t.Context(), func(a *app, cmd *cobra.Command) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		model, err := definitions.Load(s.Definitions, definitions.LoadOptions{})
		if err != nil {
			return err
		}
		return a.printf("%d views, service %s", len(model.Views), model.Services[0].Name)
	})
	if got.code != 0 || got.stdout != "2 views, service fraud" {
		t.Errorf("got %+v", got)
	}
}

// TestDocumentedExitCodes keeps docs/cli.md the same as the table.
func TestDocumentedExitCodes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range exitKinds() {
		if row := fmt.Sprintf("| %d | %s |", k.code, k.meaning); !strings.Contains(string(text), row) {
			t.Errorf("docs/cli.md lacks %q", row)
		}
	}
	for _, s := range allSettings() {
		if !regexp.MustCompile("\\| `" + s.name + "` \\|").Match(text) {
			t.Errorf("docs/cli.md lacks the setting %s", s.name)
		}
	}
}

// TestExampleDefinitionsFitTheSimulation checks features.example.yaml against the tables that it is written for.
func TestExampleDefinitionsFitTheSimulation(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "features.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	if got := asof(t, "simulate", ".", "--customers", "20"); got.code != 0 {
		t.Fatalf("got %+v", got)
	}
	if err := os.WriteFile("features.yaml", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := definitions.Load("features.yaml", definitions.LoadOptions{}); err != nil {
		t.Error(err)
	}
}

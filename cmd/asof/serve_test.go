//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// served is an asof serve in a process of its own.
type served struct {
	t       *testing.T
	cmd     *exec.Cmd
	stderr  *bufio.Reader
	said    strings.Builder
	address string
}

// startServer starts asof serve on a free port and waits until it serves.
func startServer(t *testing.T, args ...string) *served {
	t.Helper()
	cmd, _, _ := process(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Stderr = nil
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &served{t: t, cmd: cmd, stderr: bufio.NewReader(pipe)}
	s.address = s.await(`msg=serving address=(127\.0\.0\.1:\d+)`)
	return s
}

// await reads what the server logs until a line matches, and returns the first group of the match.
func (s *served) await(pattern string) string {
	s.t.Helper()
	for {
		line, err := s.stderr.ReadString('\n')
		s.said.WriteString(line)
		if found := regexp.MustCompile(pattern + `()`).FindStringSubmatch(line); found != nil {
			return found[1]
		}
		if err != nil {
			s.t.Fatalf("asof serve ends (%v) before it says %s\n%s", err, pattern, &s.said)
		}
	}
}

// stop sends a signal and returns the exit code; what the server has said is in s.said then.
func (s *served) stop(signal os.Signal) int {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.Copy(&s.said, s.stderr); err != nil {
		s.t.Fatal(err)
	}
	code := exitOf(s.t, s.cmd)
	if strings.Contains(s.said.String(), "panic") {
		s.t.Errorf("the server panics:\n%s", &s.said)
	}
	return code
}

// customer is a row of the table of customers.
type customer struct {
	ID      int64   `parquet:"customer_id"`
	Updated int64   `parquet:"updated_at,timestamp(microsecond)"`
	Loaded  int64   `parquet:"loaded_at,timestamp(microsecond)"`
	Birth   int32   `parquet:"birth_year"`
	Country string  `parquet:"home_country"`
	Income  float64 `parquet:"income"`
}

// metric returns a line of /metrics that begins so.
func metric(t *testing.T, url, name string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, is := strings.CutPrefix(line, name+" "); is {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// TestServeTakesOver runs two servers on one warehouse: the second publishes what the first has materialized, and takes over when the first
// is killed.
func TestServeTakesOver(t *testing.T) {
	inProject(t)
	edit(t, `schedule: "@daily"`, `schedule: "@every 1s"`)
	ok(t, "apply")
	ok(t, "materialize", "--to", "2024-03-01")
	first := startServer(t, "--online", "online-1", "--runs-max", "2", "--run-jitter", "200ms")
	first.await("this scheduler leads")
	first.await("msg=materialized view=profile")
	second := startServer(t, "--online", "online-2", "--metrics", "127.0.0.1:0")
	second.await("this scheduler stands by.*process " + strconv.Itoa(first.cmd.Process.Pid) + " schedules")
	metrics := regexp.MustCompile(`url=(http://\S+)`).FindStringSubmatch(second.said.String())[1]
	if got := metric(t, metrics, "asof_scheduler_leader"); got != "0" {
		t.Errorf("the second server leads: %s", got)
	}
	soon := time.Now().Add(3 * time.Second).UnixMicro()
	writeParquet(t, "new.parquet", customer{7, soon, soon, 1980, "AQ", 12345})
	if err := os.Rename("new.parquet", "data/customers/new.parquet"); err != nil {
		t.Fatal(err)
	}
	second.await("published what another process has materialized.*view=profile keys=1")
	got, _ := getJSON(t, "fraud", "--server", second.address, "--key", "customer_id=7", "--key", "payee_id=8")
	if country := got.Features["home_country"]; country.Value != "AQ" || country.Status != "PRESENT" {
		t.Errorf("the second server answers %+v", got)
	}
	if strings.Contains(second.said.String(), "msg=materialized") {
		t.Errorf("the second server runs views while the first leads:\n%s", &second.said)
	}
	first.stop(syscall.SIGKILL)
	second.await("this scheduler leads")
	second.await("msg=materialized view=profile")
	if got := metric(t, metrics, "asof_scheduler_leader"); got != "1" {
		t.Errorf("the second server does not lead: %s", got)
	}
	if code := second.stop(os.Interrupt); code != 0 || strings.Contains(second.said.String(), "level=ERROR") {
		t.Errorf("the second server ends with code %d\n%s", code, &second.said)
	}
	ok(t, "verify", "--all", "--online", "online-2")
	pids := regexp.MustCompile(`"pid": (\d+)`).FindAllStringSubmatch(ok(t, "runs", "profile", "--json", "--limit", "100000"), -1)
	if newest, oldest := pids[0][1], pids[len(pids)-1][1]; newest != strconv.Itoa(second.cmd.Process.Pid) || oldest != strconv.Itoa(os.Getpid()) {
		t.Errorf("the newest run is of process %s, the oldest of %s", newest, oldest)
	}
}

// TestServeTriesAgain: a run that another process holds up is tried again, and recorded each time.
func TestServeTriesAgain(t *testing.T) {
	inProject(t, "apply", "materialize --to 2024-03-01")
	lock, err := os.OpenFile("warehouse/features/profile/asof.lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Fatal(err)
	}
	s := startServer(t)
	s.await("is tried again.* view=profile attempt=1 in=1s error=.*view profile is being written by process")
	s.await("is tried again.* view=profile attempt=2 in=2s")
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	s.await("msg=materialized view=profile")
	if code := s.stop(os.Interrupt); code != 0 {
		t.Errorf("code %d\n%s", code, &s.said)
	}
	var all []struct {
		Outcome, By, Error string
		Attempt            int
	}
	if err := json.Unmarshal([]byte(ok(t, "runs", "profile", "--json")), &all); err != nil || len(all) != 4 {
		t.Fatalf("the runs are %+v; %v", all, err)
	}
	for i, want := range []string{"ok 3 scheduler", "retried 2 scheduler", "retried 1 scheduler", "ok 1 command line"} {
		r := all[i]
		if got := r.Outcome + " " + strconv.Itoa(r.Attempt) + " " + r.By; got != want || (r.Error == "") != (r.Outcome == "ok") {
			t.Errorf("run %d is %+v, want %s", i, r, want)
		}
	}
}

// TestServeStopsLongRuns: with too short a timeout every run is stopped, recorded and tried again, and leaves nothing.
func TestServeStopsLongRuns(t *testing.T) {
	inProject(t, "apply")
	s := startServer(t, "--run-timeout", "1us")
	s.await("is tried again.*stopped after 1\\S+, the longest that the setting run_timeout allows")
	if code := s.stop(os.Interrupt); code != 0 {
		t.Errorf("code %d\n%s", code, &s.said)
	}
	if got := ok(t, "runs", "--failed"); !strings.Contains(got, "  timeout  ") {
		t.Errorf("the runs are\n%s", got)
	}
	if files := temporary(t, "warehouse"); len(files) > 0 {
		t.Errorf("left %q", files)
	}
}

// TestServeDespiteDamage: a view whose history is damaged keeps a server neither from starting nor from serving others.
func TestServeDespiteDamage(t *testing.T) {
	inProject(t)
	writeFile(t, "features.yaml", string(readFile(t, "features.yaml"))+"  - name: payments\n    features: [{view: last_payment}]\n")
	ok(t, "apply")
	ok(t, "materialize")
	if err := os.RemoveAll("online"); err != nil {
		t.Fatal(err)
	}
	for _, file := range tree(t, filepath.Join("warehouse", "features", "profile", "data")) {
		writeFile(t, file, "damaged")
	}
	s := startServer(t, "--schedule=false")
	if got := ok(t, "get", "payments", "--key", "customer_id=7", "--server", s.address); !strings.Contains(got, "last_amount") {
		t.Errorf("the other view answers %s", got)
	}
	if code := s.stop(os.Interrupt); code != 0 || !strings.Contains(s.said.String(), "the view cannot be published") || !strings.Contains(s.said.String(), "view=profile") {
		t.Errorf("code %d\n%s", code, &s.said)
	}
}

// TestServeTells: a webhook hears that a view fails for good, and that it runs again; its URL stays secret.
func TestServeTells(t *testing.T) {
	posts := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.RawQuery != "token=hidden" {
			t.Errorf("posted to %s: %v", r.URL, err)
		}
		posts <- string(body)
	}))
	defer hook.Close()
	inProject(t)
	edit(t, `schedule: "@daily"`, `schedule: "@every 1s"`)
	ok(t, "apply")
	ok(t, "materialize", "--to", "2024-03-01")
	writeFile(t, "data/customers/broken.parquet", "no Parquet")
	t.Setenv("ASOF_WEBHOOK", hook.URL+"/?token=hidden")
	s := startServer(t, "--verify-every", "1s", "--metrics", "127.0.0.1:0")
	event := func(kind, view string) string {
		for post := range posts {
			if strings.Contains(post, `"event":"`+kind+`","view":"`+view+`"`) {
				return post
			}
			if strings.Contains(post, "recovered") || strings.Contains(post, `failed","view":"last_payment"`) {
				t.Errorf("posted %s", post)
			}
		}
		return ""
	}
	if post := event("run_failed", "profile"); !strings.Contains(post, "broken.parquet") || !strings.Contains(post, `"outcome":"failed"`) {
		t.Errorf("posted %s", post)
	}
	if err := os.Remove("data/customers/broken.parquet"); err != nil {
		t.Fatal(err)
	}
	if post := event("run_recovered", "profile"); !strings.Contains(post, `"outcome":"ok"`) {
		t.Errorf("posted %s", post)
	}
	metrics := regexp.MustCompile(`url=(http://\S+)`).FindStringSubmatch(s.said.String())[1]
	for end := time.Now().Add(time.Minute); metric(t, metrics, `asof_verify_keys_total{result="equal",view="profile"}`) == ""; {
		if time.Now().After(end) {
			t.Fatal("nothing has been verified for a minute")
		}
	}
	for name, want := range map[string]string{`asof_verify_keys_total{result="different",view="profile"}`: "0", `asof_runs_total{outcome="ok",view="last_payment"}`: "1",
		`asof_verify_failures_total{view="profile"}`: "", `asof_webhook_events_total{result="failed"}`: ""} {
		if got := metric(t, metrics, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if code := s.stop(os.Interrupt); code != 0 || strings.Contains(s.said.String(), "hidden") {
		t.Errorf("code %d\n%s", code, &s.said)
	}
}

// TestServeFaults: what a server cannot be started with.
func TestServeFaults(t *testing.T) {
	inProject(t, "apply")
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	address := strings.TrimPrefix(taken.URL, "http://")
	fails(t, 6, []string{"serving on " + address, "choose another address with --metrics"}, "serve", "--listen", "127.0.0.1:0", "--metrics", address)
	fails(t, 6, []string{"serving on " + address, "choose another address with --listen"}, "serve", "--listen", address)
	got := fails(t, 2, []string{"--webhook: it is no URL of a webhook"}, "serve", "--webhook", "hidden")
	if strings.Contains(got.stderr, "hidden") {
		t.Errorf("the message has the URL: %s", got.stderr)
	}
}

// TestRuns shows the runs of the command line.
func TestRuns(t *testing.T) {
	inProject(t)
	if got := ok(t, "runs"); got != "no runs\n" {
		t.Errorf("nothing has run: %s", got)
	}
	fails(t, 3, []string{"nothing has been applied"}, "runs", "profile")
	ok(t, "apply")
	ok(t, "materialize", "profile", "--to", "2024-03-01")
	ok(t, "materialize", "profile", "--from", "2024-02-01", "--to", "2024-03-01")
	fails(t, 2, []string{"is after --to"}, "materialize", "profile", "--from", "2024-02-01", "--to", "2024-01-01")
	writeFile(t, "data/customers/broken.parquet", "no Parquet")
	fails(t, 5, nil, "materialize", "profile")
	lines := strings.Split(ok(t, "runs"), "\n")
	for i, want := range []string{`^started +view +outcome +took +rows +keys +range +by +error$`,
		`^2024-05-17T09:30:00Z +profile +failed +\S+ +0 +0 +- +command line +view profile: .*broken.parquet`,
		`profile +failed +\S+ +0 +0 +- +command line +view profile: --from .* is after --to`,
		`profile +ok +\S+ +\d+ +\d+ +2024-02-01T00:00:00Z to 2024-03-01T00:00:00Z +command line +$`,
		`profile +ok +\S+ +\d\S* +\d\S* +to 2024-03-01T00:00:00Z +command line +$`, `^$`} {
		if i >= len(lines) || !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("line %d of\n%s\nis not like %s", i, strings.Join(lines, "\n"), want)
		}
	}
	for args, want := range map[string]int{"": 4, "--failed": 2, "--limit 3": 3, "profile --failed --limit 1": 1, "last_payment": 0} {
		var all []map[string]any
		if err := json.Unmarshal([]byte(ok(t, append([]string{"runs", "--json"}, strings.Fields(args)...)...)), &all); err != nil || len(all) != want {
			t.Errorf("asof runs %s shows %d runs, want %d; %v", args, len(all), want, err)
		}
	}
	var done []struct{ Run string }
	if err := json.Unmarshal([]byte(ok(t, "runs", "--json")), &done); err != nil {
		t.Fatal(err)
	}
	metadata := ""
	for _, path := range tree(t, "warehouse/features/profile/metadata") {
		if strings.HasSuffix(path, ".json") {
			metadata += string(readFile(t, path))
		}
	}
	for i, r := range done { // the first two failed
		if kept := strings.Contains(metadata, r.Run); kept != (i >= 2) {
			t.Errorf("a snapshot has the id of run %d, %s: %t", i, r.Run, kept)
		}
	}
	fails(t, 3, []string{`no view "profil"`, "did you mean profile?"}, "runs", "profil")
	fails(t, 2, []string{"--limit 0"}, "runs", "--limit", "0")
	path := filepath.Join("warehouse", "runs", "log")
	writeFile(t, path, string(readFile(t, path))+"torn")
	if got := asof(t, "runs"); got.code != 0 || !strings.Contains(got.stderr, "note: the history of runs has 1 line torn or damaged") || strings.Count(got.stdout, "\n") != 5 {
		t.Errorf("a torn line: %+v", got)
	}
}

package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// peerVersions is what make bench-peers installs.
//
//go:embed peers.txt
var peerVersions string

// machine says what everything was measured on, and with.
func (b *bench) machine() (string, error) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return "", err
	}
	kilobytes, _, _ := strings.Cut(entry(string(memory), "MemTotal"), " ")
	size, err := strconv.ParseInt(kilobytes, 10, 64)
	if err != nil {
		return "", fmt.Errorf("the size of this machine's memory: %w", err)
	}
	where := fmt.Sprintf("%d processors (%s), %.1f GiB of memory, %s/%s, %s", runtime.NumCPU(), entry(string(info), "model name"), float64(size)/(1<<20), runtime.GOOS, runtime.GOARCH, runtime.Version())
	if b.python != "" {
		where += ", " + strings.Join(strings.Fields(strings.ReplaceAll(peerVersions, "==", " ")), " ")
	}
	return where, nil
}

// entry returns what follows name in a file of /proc.
func entry(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown " + name
}

// publish puts what a suite has to say between its marks in the documents of a directory, and its plots beside them:
//
//	<!-- bench NAME -->
//	<!-- end of NAME -->
//
// At least one document has them.
func (r *report) publish(docs, name, where string) error {
	text := fmt.Sprintf("```\n%s```\n\n%s; %s.\n", r.text.String(), strings.ToUpper(where[:1])+where[1:], time.Now().UTC().Format("2 January 2006"))
	for _, p := range r.plots {
		if err := p.write(filepath.Join(docs, "benchmarks")); err != nil {
			return err
		}
		text += fmt.Sprintf("\n![%s: %s](benchmarks/%s.svg)\n", escape(p.title), p.unit, p.name)
	}
	pages, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		return err
	}
	found := false
	for _, page := range pages {
		old, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		updated, ok := between(string(old), name, text)
		if !ok {
			continue
		}
		found = true
		if err := os.WriteFile(page, []byte(updated), 0o644); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("no document in %s has a place for %s: put %s and %s on lines of one", docs, name, begins(name), ends(name))
	}
	return nil
}

func begins(name string) string { return "<!-- bench " + name + " -->" }

func ends(name string) string { return "<!-- end of " + name + " -->" }

// between returns page with text between the marks of name; false if it has none.
func between(page, name, text string) (string, bool) {
	head, rest, ok := strings.Cut(page, begins(name)+"\n")
	if !ok {
		return page, false
	}
	_, tail, ok := strings.Cut(rest, ends(name))
	if !ok {
		return page, false
	}
	return head + begins(name) + "\n" + text + ends(name) + tail, true
}

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// damageOnline changes a byte in each table of the online store.
func damageOnline(t *testing.T) {
	t.Helper()
	tables, err := filepath.Glob("online/*.sst")
	if err != nil || len(tables) == 0 {
		t.Fatal("the online store has no tables", err)
	}
	for _, table := range tables {
		flipByte(t, table, 3)
	}
}

// flipByte changes a byte of a file at that part of its length, in place: a server may have the file mapped, and must not see it shorter.
func flipByte(t *testing.T, path string, part int) {
	t.Helper()
	content := readFile(t, path)
	at := len(content) / part
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt([]byte{content[at] ^ 1}, int64(at))
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestSyncFullOfDamaged damages the online store: no verb serves from it, all say what to do, and that does it.
func TestSyncFullOfDamaged(t *testing.T) {
	inProject(t, "apply", "materialize")
	keys := []string{"get", "fraud", "--key", "customer_id=7", "--key", "payee_id=8"}
	want := ok(t, keys...)
	damageOnline(t)
	damaged := map[string][]byte{}
	for _, file := range tree(t, "online") {
		damaged[filepath.Base(file)] = readFile(t, file)
	}
	says := []string{"online/000001.sst is damaged: block", "its checksum does not match", "run asof sync --full, which sets the files aside"}
	for _, verb := range [][]string{keys, {"materialize"}, {"sync"}, {"sync", "--full", "profile"}, {"verify"}, {"serve", "--listen", "127.0.0.1:0"}} {
		fails(t, 5, says, verb...)
	}
	got := asof(t, "sync", "--full")
	if got.code != 0 || !strings.Contains(got.stdout, "online store online: made anew; what was there is in online/damaged-20240517T093000Z-") || !strings.Contains(got.stderr, says[0]) {
		t.Fatalf("sync --full: %+v", got)
	}
	if now := ok(t, keys...); now != want {
		t.Errorf("after sync --full: %s\nbefore the damage: %s", now, want)
	}
	ok(t, "verify", "--all")
	aside, err := filepath.Glob("online/damaged-*/*")
	if err != nil || len(aside) == 0 {
		t.Fatalf("nothing was set aside: %v", err)
	}
	for _, file := range aside {
		if !bytes.Equal(readFile(t, file), damaged[filepath.Base(file)]) && filepath.Ext(file) != "" {
			t.Errorf("%s is not what was there", file)
		}
	}
	if got := ok(t, "sync", "--full"); strings.Contains(got, "anew") {
		t.Errorf("sync --full of a store that is well: %s", got)
	}
	if again, _ := filepath.Glob("online/damaged-*"); len(again) != 1 {
		t.Errorf("set aside: %q", again)
	}
	// A store that is gone altogether is a new one.
	if err := os.RemoveAll("online"); err != nil {
		t.Fatal(err)
	}
	ok(t, "sync", "--full")
	ok(t, "verify", "--all")
}

// TestKilledSyncFull kills sync --full, of a store that is well and of a damaged one, after each line that it prints: the next start heals.
func TestKilledSyncFull(t *testing.T) {
	inProject(t, "apply", "materialize")
	killed := 0
	for line := 0; ; line++ {
		ended := 0
		for _, damage := range []bool{false, true} {
			if damage {
				damageOnline(t)
			}
			cmd, _, _ := process(t, "sync", "--full")
			cmd.Stderr = nil
			pipe, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(pipe)
			for n := 0; n < line && lines.Scan(); n++ {
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			switch code := exitOf(t, cmd); code {
			case -1:
				killed++
			case 0:
				ended++
			default:
				t.Fatalf("killed after line %d: code %d", line, code)
			}
			// A server starts in the same way.
			if got := asof(t, "sync"); got.code == 5 && damage {
				ok(t, "sync", "--full") // it had not got as far as setting the store aside
			} else if got.code != 0 {
				t.Fatalf("killed after line %d: %+v", line, got)
			}
			ok(t, "verify", "--all")
		}
		if ended == 2 || line > 20 {
			break
		}
	}
	if killed < 3 {
		t.Errorf("%d were killed before their end: too few to tell anything", killed)
	}
}

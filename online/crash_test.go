package online

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/feature"
)

// Environment variables turn the test binary into a process that is to die: where the store lies, and how many calls
// of the step hook it survives.
const (
	crashPath = "ASOF_TEST_CRASH_PATH"
	crashStep = "ASOF_TEST_CRASH_STEP"
	crashBulk = "ASOF_TEST_CRASH_BULK" // set: what is loaded becomes a bulk
	crashLoad = "ASOF_TEST_CRASH_LOAD" // set: it publishes until it is killed

	lifeKeys = 120
)

// life publishes three versions of a view: the first one, a change in place, a rebuild. Each is flushed half way.
func life(s *Store, v *feature.View, reached func(snapshot int64)) error {
	for snapshot := int64(1); snapshot <= 3; snapshot++ {
		state, known, err := s.State(v.Name)
		if err != nil {
			return err
		}
		if known && state.Snapshot >= snapshot {
			continue
		}
		p, err := s.Begin(v, snapshot != 2)
		if err != nil {
			return err
		}
		for id := range int64(lifeKeys) {
			if id == lifeKeys/2 {
				err = p.guard(p.flush)
			}
			if err == nil {
				err = writeLife(p, v, snapshot, id)
			}
			if err != nil {
				p.Abort()
				return err
			}
		}
		if err := p.Commit(State{Snapshot: snapshot}); err != nil {
			return err
		}
		reached(snapshot)
	}
	return nil
}

func writeLife(p *Publish, v *feature.View, snapshot, id int64) error {
	if snapshot == 2 && id%5 == 0 {
		return p.Delete(key(id))
	}
	r := Row{Event: feature.Time(snapshot), Created: feature.MinTime}
	for i, value := range []any{snapshot, strings.Repeat("x", 100)} {
		b := column(&testing.T{}, v.Features[i].Type, value)
		r.Values = append(r.Values, arrow.Array(b))
	}
	if id%2 == 0 {
		return p.Replace(key(id), r)
	}
	return p.Put(key(id), r)
}

// checkLife checks that what is in the store is whole, as its state says, and at least acknowledged.
func checkLife(s *Store, kv *memoryKV, v *feature.View, acknowledged int64) error {
	state, known, err := s.State(v.Name)
	if err != nil {
		return err
	}
	if state.Snapshot < acknowledged {
		return fmt.Errorf("snapshot %d was acknowledged, the store is at %d", acknowledged, state.Snapshot)
	}
	got := map[int64]int64{}
	err = s.Scan(v.Name, func(r Stored) error {
		parts, err := feature.DecodeKey(r.Key, v.Keys)
		if err == nil {
			got[parts[0].(int64)] = r.Values[0].(int64)
		}
		return err
	})
	if err != nil {
		return err
	}
	for id := range int64(lifeKeys) {
		value, found := got[id]
		ok := found == known && value == state.Snapshot
		if state.Snapshot == 2 && id%5 == 0 {
			ok = !found
		}
		if state.Unfinished { // half of version 2 may be there
			ok = (value == 1 && found) || (value == 2 && found && id%5 != 0) || (!found && id%5 == 0)
		}
		if !ok {
			return fmt.Errorf("key %d has %d (%v) in state %+v", id, value, found, state)
		}
	}
	if kv == nil {
		return nil
	}
	records := 1
	if known {
		records += 2 + len(got)
	}
	if len(kv.rows) != records {
		return fmt.Errorf("the store has %d records, want %d: something is left over", len(kv.rows), records)
	}
	return nil
}

// TestFaults fails every write and every step in turn, in each way, and then starts again.
func TestFaults(t *testing.T) {
	broken := errors.New("broken")
	ways := map[string]func(ops int) int{
		"not there": func(int) int { return 0 },
		"half":      func(ops int) int { return ops / 2 },
		"but there": func(ops int) int { return ops },
	}
	for way, apply := range ways {
		t.Run(way, func(t *testing.T) {
			testFaults(t, func(kv *memoryKV, o *Options, at int) (count *int) {
				count = new(int)
				kv.fail = func(ops int) (int, error) {
					if *count++; *count-1 == at {
						return apply(ops), broken
					}
					return ops, nil
				}
				return count
			})
		})
	}
	t.Run("step", func(t *testing.T) {
		testFaults(t, func(kv *memoryKV, o *Options, at int) (count *int) {
			count = new(int)
			o.Step = func(string, bool) error {
				if *count++; *count-1 == at {
					return broken
				}
				return nil
			}
			return count
		})
	})
}

// testFaults runs a life with the fault at operation 0, 1, 2, ... until none is reached.
func testFaults(t *testing.T, arm func(kv *memoryKV, o *Options, at int) *int) {
	v := profile()
	for at := 0; ; at++ {
		kv, o, acknowledged := newMemoryKV(), Options{}, int64(0)
		count := arm(kv, &o, at)
		s, err := New(kv, o)
		if err == nil {
			err = life(s, v, func(n int64) { acknowledged = n })
		}
		if *count <= at {
			if err != nil || at < 12 {
				t.Errorf("%d operations, then %v", *count, err)
			}
			return
		}
		if err == nil && *count == at+1 {
			t.Errorf("fault %d is lost", at)
		}
		kv.fail = nil
		for range 2 {
			s, err := New(kv, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := checkLife(s, kv, v, acknowledged); err != nil {
				t.Fatalf("fault %d: %v", at, err)
			}
		}
		if s, err = New(kv, Options{}); err == nil {
			err = life(s, v, func(n int64) { acknowledged = n })
		}
		if err == nil {
			err = checkLife(s, kv, v, 3)
		}
		if err != nil {
			t.Fatalf("after fault %d: %v", at, err)
		}
	}
}

// TestKill kills a process with SIGKILL before and after each durable step of a life, and looks at what it leaves.
func TestKill(t *testing.T) {
	t.Run("log", func(t *testing.T) { testKill(t, 0) })
	t.Run("bulks", func(t *testing.T) { testKill(t, 1) })
}

func testKill(t *testing.T, bulkBytes int64) {
	v := profile()
	for at := 0; ; at++ {
		path := filepath.Join(t.TempDir(), "online")
		child := exec.Command(os.Args[0], "-test.run=^$")
		child.Env = append(os.Environ(), crashPath+"="+path, crashStep+"="+strconv.Itoa(at))
		if bulkBytes > 0 {
			child.Env = append(child.Env, crashBulk+"=1")
		}
		out, err := child.Output()
		if err == nil && at > 0 {
			if at < 20 {
				t.Errorf("a life has %d steps only", at)
			}
			return
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v\n%s", at, err, out)
		}
		acknowledged := int64(strings.Count(string(out), "acknowledged"))
		s, err := Open(path, Options{Logger: quiet(), BulkBytes: bulkBytes})
		if err != nil {
			t.Fatalf("step %d: %v", at, err)
		}
		kv := s.kv.(*badgerKV)
		if err := kv.snapshots.closing.Wait(); err != nil {
			t.Error(err)
		}
		if left, want := len(bulkDirectories(t, path)), len(kv.snapshots.current.bulks); left != want {
			t.Errorf("step %d: %d directories of %d bulks", at, left, want)
		}
		if err = checkLife(s, nil, v, acknowledged); err == nil {
			err = life(s, v, func(int64) {})
		}
		if err == nil {
			err = checkLife(s, nil, v, 3)
		}
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatalf("killed at step %d: %v", at, err)
		}
	}
}

// crashChild lives in path until its step comes.
func crashChild(path string) {
	if os.Getenv(crashLoad) != "" {
		fmt.Println(load(path))
		os.Exit(1)
	}
	left, _ := strconv.Atoi(os.Getenv(crashStep))
	o := Options{Logger: quiet(), Step: func(string, bool) error {
		if left--; left < 0 {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}}
	if os.Getenv(crashBulk) != "" {
		o.BulkBytes = 1
	}
	s, err := Open(path, o)
	if err == nil {
		err = life(s, profile(), func(int64) { fmt.Println("acknowledged") })
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

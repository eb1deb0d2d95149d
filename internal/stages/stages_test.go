package stages

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Work that several goroutines add at once is all there, each stage with its own; what goes on within another stage is taken from that.
func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s Stats
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				for range 100 {
					s.Add(Sort, time.Millisecond, 2, 3)
				}
				c := s.Start(Decode)
				time.Sleep(3 * time.Second) // of the test's clock
				s.Within(Decode, Read, time.Second, 0, 10)
				c.Stop(5, 0)
			})
		}
		wait.Wait()
		want := []Work{{Stage: Read, Seconds: 8, Bytes: 80}, {Stage: Decode, Seconds: 16, Rows: 40}, {Stage: Sort, Seconds: 0.8, Rows: 1600, Bytes: 2400}}
		if diff := cmp.Diff(want, s.Work()); diff != "" {
			t.Error(diff)
		}
	})
}

// Without a collector nothing is measured, and nothing fails.
func TestNil(t *testing.T) {
	var s *Stats
	s.Within(Decode, Read, time.Second, 1, 1)
	s.Start(Sort).Stop(1, 1)
	if s.Work() != nil {
		t.Error(s.Work())
	}
	if n := testing.AllocsPerRun(10, func() { s.Start(Sort).Stop(1, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Every stage has a name of its own, which JSON keeps; JSON leaves out what was not counted.
func TestJSON(t *testing.T) {
	for stage := range stageCount {
		text, err := json.Marshal(Work{Stage: stage, Seconds: 1.5, Rows: 7})
		if want := fmt.Sprintf(`{"stage":"%s","seconds":1.5,"rows":7}`, stage); err != nil || string(text) != want || stage.String() == "" {
			t.Errorf("%s, not %s: %v", text, want, err)
		}
		var back Work
		if err := json.Unmarshal(text, &back); err != nil || back.Stage != stage {
			t.Errorf("%s reads as %+v, %v", text, back, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"stage":"dance"}`), &Work{}); err == nil || !strings.Contains(err.Error(), `no stage "dance"`) {
		t.Error(err)
	}
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	show := func(n int64) string { return fmt.Sprintf("<%d>", n) }
	if err := Print(&out, []Work{{Stage: Read, Seconds: 1.23456, Bytes: 9}, {Stage: Publish, Seconds: 0.5, Rows: 11}}, show, show); err != nil {
		t.Fatal(err)
	}
	want := "stage    seconds  rows  bytes\nread     1.235    -     <9>\npublish  0.500    <11>  -\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

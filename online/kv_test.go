package online

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKV(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		kept := map[string]*memoryKV{}
		testKV(t, func(path string) (KV, error) {
			if kept[path] == nil {
				kept[path] = newMemoryKV()
			}
			return kept[path], nil
		})
	})
	t.Run("badger", func(t *testing.T) {
		testKV(t, func(path string) (KV, error) { return openBadger(path, false, quiet()) })
	})
	t.Run("bulks", func(t *testing.T) {
		testKV(t, func(path string) (KV, error) {
			b, err := openBadger(path, false, quiet())
			if err == nil {
				b.bulkBytes = 1
			}
			return b, err
		})
	})
}

// TestAcknowledgedIsSynced pins what no test can show without cutting the power: every write waits for the disk.
func TestAcknowledgedIsSynced(t *testing.T) {
	if !badgerOptions("", false, quiet()).SyncWrites {
		t.Error("Badger acknowledges writes that are in memory alone")
	}
}

// testKV is what every KV has to pass. open opens the store at path, which keeps its content between two calls.
func testKV(t *testing.T, open func(path string) (KV, error)) {
	path := t.TempDir()
	kv, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(prefix, start string, want ...string) { t.Helper(); holds(t, kv, prefix, start, want...) }
	ops := []Op{{Key: []byte("b2"), Value: []byte("two")}, {Key: []byte("a"), Value: []byte{}}, {Key: []byte("b1"), Value: []byte("one")}, {Key: []byte("c\xff"), Value: []byte("c")}}
	must(kv.Write(ops))
	copy(ops[0].Value, "TWO") // the store keeps none of our memory
	check("", "", "a=", "b1=one", "b2=two", "c\xff=c")
	check("b", "", "b1=one", "b2=two")
	check("b", "b10", "b2=two")
	check("", "b2", "b2=two", "c\xff=c")
	check("d", "")
	must(kv.Write([]Op{{Key: []byte("b1"), Delete: true}, {Key: []byte("b2"), Value: []byte("2")}, {Key: []byte("none"), Delete: true}}))
	check("b", "", "b2=2")

	must(kv.View(func(r Reader) error {
		got, found, err := r.Get([]byte("head:"), []byte("b2"))
		if string(got) != "head:2" || !found || err != nil {
			t.Errorf("Get b2: %q %v %v", got, found, err)
		}
		// A snapshot does not move.
		must(kv.Write([]Op{{Key: []byte("b2"), Value: []byte("3")}, {Key: []byte("b3"), Value: []byte("new")}}))
		got, _, err = r.Get(nil, []byte("b2"))
		_, foundNew, errNew := r.Get(nil, []byte("b3"))
		if string(got) != "2" || err != nil || foundNew || errNew != nil {
			t.Errorf("in the snapshot: %q %v, %v %v", got, err, foundNew, errNew)
		}
		return nil
	}))
	stop := errors.New("stop")
	if err := kv.View(func(r Reader) error {
		return r.Iterate(nil, nil, func(_, _ []byte) (bool, error) { return true, stop })
	}); !errors.Is(err, stop) {
		t.Errorf("error of yield: %v", err)
	}

	many := make([]Op, 3*restRows/2)
	for i := range many {
		many[i] = Op{Key: fmt.Appendf(nil, "m%06d", i), Value: []byte("x")}
	}
	must(kv.Write(many))
	must(kv.DropPrefix([]byte("m"), func() {}))
	check("", "", "a=", "b2=3", "b3=new", "c\xff=c")
	must(kv.DropPrefix([]byte("c\xff"), func() {}))
	must(kv.Close())
	kv, err = open(path)
	must(err)
	check("", "", "a=", "b2=3", "b3=new")
	testLoad(t, kv)
	must(kv.Close())
	kv, err = open(path)
	must(err)
	check("", "", "a=", "b2=3", "b3=new", "m1=again", "m3=", "m4=four", "z=")
	check("m", "m2", "m3=", "m4=four")
	must(kv.DropPrefix([]byte("m"), func() {}))
	check("", "", "a=", "b2=3", "b3=new", "z=")
	must(kv.Close())
	kv, err = open(path)
	must(err)
	check("", "", "a=", "b2=3", "b3=new", "z=")
	must(kv.Close())
}

// testLoad loads rows under two prefixes, and writes, deletes and reads under one of them.
func testLoad(t *testing.T, kv KV) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(prefix, start string, want ...string) { t.Helper(); holds(t, kv, prefix, start, want...) }
	load := func(prefix string, pieces ...[]Op) Loader {
		l := kv.Load([]byte(prefix))
		for _, ops := range pieces {
			must(l.Add(ops))
			clear(ops[0].Value) // the store keeps none of our memory
		}
		return l
	}
	m := load("m", []Op{{Key: []byte("m0"), Value: []byte("zero")}, {Key: []byte("m1"), Value: []byte("one")}}, []Op{{Key: []byte("m3"), Value: []byte{}}})
	check("m", "")
	gone := load("x", []Op{{Key: []byte("x"), Value: []byte("x")}})
	must(gone.Abort())
	must(kv.View(func(before Reader) error {
		must(m.Commit())
		_, found, err := before.Get(nil, []byte("m1"))
		if found || err != nil {
			t.Errorf("a snapshot moves: %v, %v", found, err)
		}
		return nil
	}))
	must(m.Abort()) // too late
	must(load("z", []Op{{Key: []byte("z"), Value: []byte{}}}).Commit())
	must(load("none").Commit())
	check("", "b3", "b3=new", "m0=zero", "m1=one", "m3=", "z=")
	check("m", "m1", "m1=one", "m3=")
	check("m1", "", "m1=one")
	must(kv.View(func(before Reader) error {
		must(kv.Write([]Op{{Key: []byte("m0"), Delete: true}, {Key: []byte("m1"), Value: []byte("1")}, {Key: []byte("m2"), Delete: true}, {Key: []byte("m4"), Value: []byte("four")}}))
		got, found, err := before.Get([]byte("head:"), []byte("m0"))
		if string(got) != "head:zero" || !found || err != nil {
			t.Errorf("in the snapshot: %q %v %v", got, found, err)
		}
		return nil
	}))
	check("m", "", "m1=1", "m3=", "m4=four")
	b, inBulk := kv.(*badgerKV)
	want := int64(0)
	if inBulk && b.bulkBytes == 1 {
		want = 3
	}
	if got := kv.Loaded([]byte("m")); got != want || kv.Loaded([]byte("b")) != 0 {
		t.Errorf("%d rows lie in bulk, want %d", got, want)
	}
	must(kv.Write([]Op{{Key: []byte("m0"), Value: []byte("back")}, {Key: []byte("m1"), Delete: true}}))
	check("m", "", "m0=back", "m3=", "m4=four")
	must(kv.Write([]Op{{Key: []byte("m0"), Delete: true}, {Key: []byte("m1"), Value: []byte("again")}}))
	must(kv.View(func(r Reader) error {
		for key, want := range map[string]string{"m0": "", "m1": "again", "m2": "", "m3": "", "m30": "", "m4": "four", "n": "", "z": ""} {
			got, found, err := r.Get(nil, []byte(key))
			if string(got) != want || found != (want != "" || key == "m3" || key == "z") || err != nil {
				t.Errorf("%s: %q, %v, %v", key, got, found, err)
			}
		}
		return nil
	}))
}

// holds fails the test unless kv has these keys and values from start under prefix.
func holds(t *testing.T, kv KV, prefix, start string, want ...string) {
	t.Helper()
	if got := contents(t, kv, prefix, start); !cmp.Equal(got, want) {
		t.Fatalf("prefix %q from %q: %q, want %q", prefix, start, got, want)
	}
}

// contents returns the keys and values from start under prefix, one of which tests that iteration can stop.
func contents(t *testing.T, kv KV, prefix, start string) []string {
	t.Helper()
	var all []string
	err := kv.View(func(r Reader) error {
		first := ""
		err := r.Iterate([]byte(prefix), []byte(start), func(key, value []byte) (bool, error) {
			first = string(key) + "=" + string(value)
			return false, nil
		})
		if err != nil {
			return err
		}
		err = r.Iterate([]byte(prefix), []byte(start), func(key, value []byte) (bool, error) {
			all = append(all, string(key)+"="+string(value))
			return true, nil
		})
		if len(all) > 0 && all[0] != first {
			t.Errorf("first is %q, then %q", first, all[0])
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

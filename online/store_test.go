package online

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/asof-store/asof/feature"
)

// show returns the rows of columns as "value STATUS@event, ...".
func show(columns []*Column) [][]string {
	var rows [][]string
	for _, c := range columns {
		for i := range c.Statuses {
			if len(rows) <= i {
				rows = append(rows, nil)
			}
			text := c.Values().ValueStr(i) + " " + c.Statuses[i].String()
			if c.Found[i] {
				text += "@" + c.EventTimes[i].Std().Format("15:04")
			}
			rows[i] = append(rows[i], text)
		}
	}
	return rows
}

func wantKind(t *testing.T, err, kind error, parts ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Fatalf("error %v, want one of kind %v", err, kind)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error %q does not say %q", err, part)
		}
	}
}

func TestGetStatuses(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	get := func(now feature.Time, keys ...feature.Key) [][]string {
		t.Helper()
		columns, err := s.Get(context.Background(), v, []int{1, 0}, keys, now)
		if err != nil {
			t.Fatal(err)
		}
		return show(columns)
	}
	missing := []string{"? NOT_FOUND", "(null) NOT_FOUND"}
	if got, want := get(0, key(1)), [][]string{missing}; !cmp.Equal(got, want) {
		t.Errorf("before the first publication: %v", got)
	}
	publish(t, s, v, false, State{Watermark: 10 * hour}, func(p *Publish) error {
		return errors.Join(
			p.Put(key(1), row(t, v, 9*hour, int64(30), "Rome")),
			p.Put(key(2), row(t, v, 8*hour, nil, nil)),
			p.Put(key(3), row(t, v, 1*hour, int64(40), "Oslo")))
	})
	got := get(10*hour, key(2), key(1), nil, key(9), key(1), key(3))
	want := [][]string{{"? NULL@08:00", "(null) NULL@08:00"}, {"Rome PRESENT@09:00", "30 PRESENT@09:00"}, missing, missing,
		{"Rome PRESENT@09:00", "30 PRESENT@09:00"}, {"Oslo PRESENT@01:00", "40 PRESENT@01:00"}}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	// ttl 48h and delay 1h: an event of 01:00 is in time until 50:00, and no longer.
	edge := 1*hour + 49*hour
	for now, status := range map[feature.Time]string{edge: "Oslo PRESENT@01:00", edge + 1: "? EXPIRED@01:00", feature.MinTime: "Oslo PRESENT@01:00", feature.MaxTime: "? EXPIRED@01:00"} {
		if got := get(now, key(3))[0][0]; got != status {
			t.Errorf("at %v: %s, want %s", now, got, status)
		}
	}
}

// TestDefinitionChanged: what acts on reading may change, what determines the rows may not.
func TestDefinitionChanged(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	publish(t, s, v, true, State{}, func(p *Publish) error { return p.Put(key(1), row(t, v, 0, nil, "Rome")) })
	ask := func(v *feature.View) ([]*Column, error) {
		return s.Get(context.Background(), v, []int{0}, []feature.Key{key(1)}, 0)
	}
	read := profile()
	read.TTL, read.Features[0].Default = 0, int64(7)
	columns, err := ask(read)
	if err != nil || columns[0].Values().ValueStr(0) != "7" {
		t.Errorf("another default: %v, %v", columns, err)
	}
	changed := profile()
	changed.Hash = "h2"
	_, err = ask(changed)
	wantKind(t, err, feature.ErrUnavailable, "run asof materialize profile")
	_, err = s.Begin(changed, false)
	wantKind(t, err, feature.ErrInvalid, "rebuilt")
	renamed := profile()
	renamed.Features[0].Name = "years"
	_, err = ask(renamed)
	wantKind(t, err, feature.ErrUnavailable, "years")
	_, err = s.Begin(renamed, false)
	wantKind(t, err, feature.ErrInvalid, "rebuilt")
	off := profile()
	off.Online = false
	_, err = ask(off)
	wantKind(t, err, feature.ErrInvalid, "online: false")
	_, err = s.Begin(off, true)
	wantKind(t, err, feature.ErrInvalid, "online: false")
	wrong := profile()
	wrong.Features[0].Default = "seven"
	_, err = s.Get(context.Background(), wrong, []int{0}, []feature.Key{nil}, 0)
	wantKind(t, err, feature.ErrInternal, "age")
}

func TestPublishRules(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	v.HasCreatedTime = true
	rowAt := func(event, created, asOf feature.Time, city string) Row {
		r := row(t, v, event, int64(1), city)
		r.Created, r.AsOf = created, asOf
		return r
	}
	city := func() string {
		t.Helper()
		columns, err := s.Get(context.Background(), v, []int{1}, []feature.Key{key(1)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return columns[0].Values().ValueStr(0)
	}
	publish(t, s, v, true, State{}, func(p *Publish) error { return p.Put(key(1), rowAt(10, 5, 7, "base")) })
	for _, c := range []struct {
		event, created, asOf feature.Time
		name, want           string
	}{
		{9, 9, 9, "older event", "base"},
		{10, feature.MinTime, 9, "no created time", "base"},
		{10, 4, 9, "older created time", "base"},
		{10, 5, 6, "older as-of time", "base"},
		{10, 5, 7, "the same", "the same"},
		{10, 5, 8, "newer as-of time", "newer as-of time"},
		{10, 6, 8, "newer created time", "newer created time"},
		{11, feature.MinTime, 8, "newer event", "newer event"},
	} {
		for range 2 { // a replay changes nothing
			publish(t, s, v, false, State{}, func(p *Publish) error { return p.Put(key(1), rowAt(c.event, c.created, c.asOf, c.name)) })
			if got := city(); got != c.want {
				t.Errorf("put %s: store has %s, want %s", c.name, got, c.want)
			}
		}
	}
	publish(t, s, v, false, State{}, func(p *Publish) error { return p.Replace(key(1), rowAt(1, 1, 1, "replaced")) })
	if got := city(); got != "replaced" {
		t.Errorf("after Replace: %s", got)
	}
	publish(t, s, v, false, State{}, func(p *Publish) error { return p.Delete(key(1)) })
	if got := city(); got != "?" {
		t.Errorf("after Delete: %s", got)
	}
}

func TestPublishRefuses(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	p, err := s.Begin(v, false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Begin(v, true)
	wantKind(t, err, feature.ErrConflict, "profile", "published already")
	wantKind(t, s.Drop("profile"), feature.ErrConflict)
	wantKind(t, p.Put(nil, row(t, v, 0, nil, nil)), feature.ErrInternal, "NULL key")
	wantKind(t, p.Put(key(1), row(t, v, 0, nil, nil)), feature.ErrInternal) // the first failure stays
	wantKind(t, p.Commit(State{}), feature.ErrInternal)
	wantKind(t, p.Delete(key(1)), feature.ErrInternal, "ended")
	if _, known, err := s.State("profile"); known || err != nil {
		t.Errorf("a failed publication counts: %v", err)
	}
	if p, err = s.Begin(v, false); err != nil {
		t.Fatal(err)
	}
	wantKind(t, p.Delete(make(feature.Key, maxKeyBytes+1)), feature.ErrInvalid, "too long", "online: false")
	p.Abort()
	if p, err = s.Begin(v, false); err != nil {
		t.Fatal(err)
	}
	wantKind(t, p.Put(key(1), row(t, v, 0, nil, strings.Repeat("x", maxValueBytes))), feature.ErrInvalid, "too large", "profile")
	p.Abort()
	p.Abort()
}

// TestLargest writes the longest key and the largest value that are allowed.
func TestLargest(t *testing.T) {
	path := t.TempDir()
	s, err := Open(path, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	v := profile()
	long, large := make(feature.Key, maxKeyBytes), strings.Repeat("x", maxValueBytes-newLayout(0, []feature.Field{v.Features[0].Field, v.Features[1].Field}).variable)
	publish(t, s, v, false, State{}, func(p *Publish) error { return p.Put(long, row(t, v, 0, nil, large)) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTemp(t, path, Options{})
	columns, err := s.Get(context.Background(), v, []int{1}, []feature.Key{long, append(long, 0)}, 0)
	if err != nil || columns[0].Values().ValueStr(0) != large || columns[0].Statuses[1] != feature.NotFound {
		t.Errorf("the largest row comes back otherwise: %v", err)
	}
}

func TestLookup(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	world := &feature.View{Name: "world", Online: true, Hash: "w", Features: []feature.Feature{{Field: feature.Field{Name: "rate", Type: feature.Scalar(feature.Float64)}}}}
	publish(t, s, v, true, State{}, func(p *Publish) error {
		return errors.Join(p.Put(key(1), row(t, v, hour, int64(1), "one")), p.Put(key(2), row(t, v, 2*hour, int64(2), "two")))
	})
	publish(t, s, world, true, State{}, func(p *Publish) error { return p.Put(nil, row(t, world, hour, 0.5)) })
	svc := &feature.Service{Name: "svc", Refs: []feature.Ref{
		{View: v, Alias: "payer", KeyColumns: []string{"payer_id"}, Features: []int{1}},
		{View: world, Features: []int{0}},
		{View: v, KeyColumns: []string{"payee_id"}, Features: []int{0, 1}},
	}}
	keys := map[string]arrow.Array{
		"payer_id": column(t, feature.Scalar(feature.Int64), int64(1), nil, int64(2)),
		"payee_id": column(t, feature.Scalar(feature.Int64), int64(2), int64(1), int64(2)),
	}
	a, err := s.Lookup(context.Background(), svc, keys, hour, false)
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"one PRESENT@01:00", "0.5 PRESENT@01:00", "2 PRESENT@02:00", "two PRESENT@02:00"},
		{"? NOT_FOUND", "0.5 PRESENT@01:00", "1 PRESENT@01:00", "one PRESENT@01:00"},
		{"two PRESENT@02:00", "0.5 PRESENT@01:00", "2 PRESENT@02:00", "two PRESENT@02:00"}}
	if d := cmp.Diff(want, show(a.Columns)); d != "" {
		t.Error(d)
	}
	var names []string
	for _, c := range a.Columns {
		names = append(names, c.Name)
	}
	if want := []string{"payer__city", "rate", "age", "city"}; !cmp.Equal(names, want) || a.Rows != 3 || a.Columns[3].Ref != 2 {
		t.Errorf("names %v of %d rows, last of ref %d", names, a.Rows, a.Columns[3].Ref)
	}
	lookup := func(change func(map[string]arrow.Array)) error {
		changed := map[string]arrow.Array{"payer_id": keys["payer_id"], "payee_id": keys["payee_id"]}
		change(changed)
		_, err := s.Lookup(context.Background(), svc, changed, hour, false)
		return err
	}
	wantKind(t, lookup(func(m map[string]arrow.Array) { delete(m, "payee_id") }), feature.ErrInvalid, "payee_id (int64)")
	wantKind(t, lookup(func(m map[string]arrow.Array) { m["x"] = m["payee_id"] }), feature.ErrInvalid, "takes no column x", "payer_id (int64), payee_id (int64)")
	wantKind(t, lookup(func(m map[string]arrow.Array) { m["payee_id"] = column(t, feature.Scalar(feature.String), "2") }), feature.ErrInvalid, "payee_id holds utf8", "int64")
	wantKind(t, lookup(func(m map[string]arrow.Array) { m["payee_id"] = column(t, feature.Scalar(feature.Int64), int64(2)) }), feature.ErrInvalid, "payee_id has 1 values, payer_id has 3")
	global := &feature.Service{Name: "global", Refs: []feature.Ref{{View: world, Features: []int{0}}}}
	if a, err := s.Lookup(context.Background(), global, nil, hour, true); err != nil || a.Rows != 1 || a.Columns[0].Name != "world__rate" {
		t.Errorf("without keys: %+v, %v", a, err)
	}
	_, err = s.Lookup(context.Background(), global, keys, hour, true)
	wantKind(t, err, feature.ErrInvalid, "takes no keys")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Lookup(ctx, svc, keys, hour, false); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

// TestSnapshotDuringRebuild reads while a rebuild replaces the values and removes the old ones.
func TestSnapshotDuringRebuild(t *testing.T) {
	s := openTemp(t, t.TempDir(), Options{})
	v := profile()
	version := func(n int64) {
		publish(t, s, v, true, State{Snapshot: n}, func(p *Publish) error {
			for id := range int64(50) {
				if err := p.Put(key(id), row(t, v, 0, n, "x")); err != nil {
					return err
				}
			}
			return nil
		})
	}
	version(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range int64(20) {
			version(n + 1)
		}
	}()
	keys := make([]feature.Key, 50)
	for i := range keys {
		keys[i] = key(int64(i))
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		columns, err := s.Get(context.Background(), v, []int{0}, keys, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			if got := columns[0].Values().ValueStr(i); got != columns[0].Values().ValueStr(0) {
				t.Fatalf("one answer holds the values %s and %s", got, columns[0].Values().ValueStr(0))
			}
		}
	}
}

func TestOpenErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "online")
	_, err := Open(path, Options{ReadOnly: true, Logger: quiet()})
	wantKind(t, err, feature.ErrNotFound, path, "asof materialize")
	s := openTemp(t, path, Options{})
	v := profile()
	publish(t, s, v, true, State{}, func(p *Publish) error { return p.Put(key(1), row(t, v, 0, nil, "Rome")) })
	_, err = Open(path, Options{Logger: quiet()})
	wantKind(t, err, feature.ErrUnavailable, "online store "+path+" is held by process "+strconv.Itoa(os.Getpid()), "asof serve", "--server")
	_, err = Open(path, Options{ReadOnly: true, Logger: quiet()})
	wantKind(t, err, feature.ErrUnavailable, path)

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	_, err = Open(file, Options{Logger: quiet()})
	wantKind(t, err, feature.ErrUnavailable, file)
	_, err = Open(filepath.Join(file, "online"), Options{Logger: quiet()})
	wantKind(t, err, feature.ErrUnavailable, file)
	if _, err := exec.LookPath("sh"); err == nil && os.Getuid() != 0 {
		closed := filepath.Join(t.TempDir(), "closed")
		if err := os.Mkdir(closed, 0o555); err != nil {
			t.Fatal(err)
		}
		_, err = Open(filepath.Join(closed, "online"), Options{Logger: quiet()})
		wantKind(t, err, feature.ErrUnavailable, closed)
	}
}

func TestReadOnly(t *testing.T) {
	path := t.TempDir()
	s, err := Open(path, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	v := profile()
	publish(t, s, v, true, State{Snapshot: 4}, func(p *Publish) error { return p.Put(key(1), row(t, v, 0, nil, "Rome")) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	a, b := openTemp(t, path, Options{ReadOnly: true}), openTemp(t, path, Options{ReadOnly: true})
	for _, s := range []*Store{a, b} {
		columns, err := s.Get(context.Background(), v, []int{1}, []feature.Key{key(1)}, 0)
		if err != nil || columns[0].Values().ValueStr(0) != "Rome" {
			t.Errorf("%v, %v", columns, err)
		}
		_, err = s.Begin(v, false)
		wantKind(t, err, feature.ErrInvalid, "reading only")
	}
}

func TestDrop(t *testing.T) {
	kv := newMemoryKV()
	s, err := New(kv, Options{})
	if err != nil {
		t.Fatal(err)
	}
	v := profile()
	publish(t, s, v, true, State{}, func(p *Publish) error { return p.Put(key(1), row(t, v, 0, nil, "Rome")) })
	for range 2 {
		if err := s.Drop("profile"); err != nil {
			t.Fatal(err)
		}
	}
	if len(kv.rows) != 1 {
		t.Errorf("%d records are left, want that of the store alone", len(kv.rows))
	}
}

// TestDamagedFiles overwrites each file of a closed store: opening and reading give an error or the right rows, never a panic.
func TestDamagedFiles(t *testing.T) {
	path := t.TempDir()
	s, err := Open(path, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	v := profile()
	publish(t, s, v, true, State{}, func(p *Publish) error {
		for id := range int64(500) {
			if err := p.Put(key(id), row(t, v, 0, id, "Rome")); err != nil {
				return err
			}
		}
		return nil
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(path, "*"))
	if err != nil || len(files) < 3 {
		t.Fatalf("files %v, %v", files, err)
	}
	noticed := 0
	for _, file := range files {
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []float64{0, 0.25, 0.5, 0.75, 1} {
			bad := append([]byte(nil), good...)
			at := int(part * float64(max(len(bad)-16, 0)))
			for i := at; i < min(at+16, len(bad)); i++ {
				bad[i] ^= 0xa5
			}
			if err := os.WriteFile(file, bad, 0o666); err != nil {
				t.Fatal(err)
			}
			if readDamaged(t, path, v, filepath.Base(file)) {
				noticed++
			}
		}
		if err := os.WriteFile(file, good, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if noticed < 8 {
		t.Errorf("damage was noticed %d times only", noticed)
	}
}

// readDamaged reads everything and reports whether there were errors.
func readDamaged(t *testing.T, path string, v *feature.View, file string) (noticed bool) {
	t.Helper()
	s, err := Open(path, Options{ReadOnly: true, Logger: quiet()})
	if err != nil {
		return true
	}
	defer s.Close()
	for id := range int64(500) {
		columns, err := s.Get(context.Background(), v, []int{0}, []feature.Key{key(id)}, 0)
		noticed = noticed || err != nil
		if err == nil && columns[0].Statuses[0] == feature.Present && columns[0].Values().ValueStr(0) != column(t, feature.Scalar(feature.Int64), id).ValueStr(0) {
			t.Fatalf("with %s damaged key %d has %s", file, id, columns[0].Values().ValueStr(0))
		}
	}
	return noticed
}

func TestCloseLeavesNothingRunning(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s, err := Open(t.TempDir(), Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	v := profile()
	publish(t, s, v, true, State{}, func(p *Publish) error { return p.Put(key(1), row(t, v, 0, nil, "Rome")) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, before)
}

func TestMain(m *testing.M) {
	if path := os.Getenv(crashPath); path != "" {
		crashChild(path)
	}
	os.Exit(m.Run())
}

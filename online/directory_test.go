package online

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/asof-store/asof/feature"
)

// opens opens a store with these files and compares what it answers.
func (d damageStore) opens(t *testing.T, files image) {
	t.Helper()
	files.write(t, d.path, "", imageFile{})
	s, err := Open(d.path, Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	got, damaged := answers(t, s, "left by a crash")
	if diff := cmp.Diff(d.want, got); damaged || diff != "" {
		t.Error(diff)
	}
	if found := findings(t, s, damagedViews()); len(found) > 0 {
		t.Error(found)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCrashLeftovers puts files beside a store that a crash of Badger's leaves: none is damage.
func TestCrashLeftovers(t *testing.T) {
	d := killedStore(t)
	table := d.files["000001.sst"]
	with := func(change func(image)) image {
		files := maps.Clone(d.files)
		change(files)
		return files
	}
	t.Run("files that were being made, or removed", func(t *testing.T) {
		d.opens(t, with(func(i image) {
			for _, name := range []string{"00009.mem", "000009.vlog", "000009.sst", "DISCARD", "KEYREGISTRY"} {
				i[name] = imageFile{}
			}
		}))
	})
	t.Run("half of a table", func(t *testing.T) {
		d.opens(t, with(func(i image) { i["000009.sst"] = imageFile{table.content[:len(table.content)/2], table.size} }))
	})
	t.Run("a table whose rows are in another one", func(t *testing.T) {
		d.opens(t, with(func(i image) { i["000009.sst"] = table }))
	})
	// The table that the log becomes.
	d.opens(t, d.files)
	flushed, known := readImage(t, d.path)["000002.sst"]
	if !known {
		t.Fatal("the log has become no table")
	}
	t.Run("a table whose rows are in a log", func(t *testing.T) {
		d.opens(t, with(func(i image) { i["000009.sst"] = flushed }))
	})
	t.Run("a table that was merged into others", func(t *testing.T) {
		m := d.files["MANIFEST"]
		m.content = slices.Concat(m.content, make([]byte, int(m.size)-len(m.content)), changes(t, made(9)), changes(t, gone(9)))
		m.size = int64(len(m.content))
		with(func(i image) {
			i["000009.sst"], i["MANIFEST"] = flushed, m
			delete(i, "00001.mem")
		}).write(t, d.path, "", imageFile{})
		s, err := Open(d.path, Options{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a table whose rows are nowhere else", func(t *testing.T) {
		with(func(i image) {
			i["000009.sst"] = flushed
			delete(i, "00001.mem")
		}).write(t, d.path, "", imageFile{})
		_, err := Open(d.path, Options{Logger: quiet()})
		wantNamed(t, err, "a manifest without its end", "MANIFEST")
		wantKind(t, err, feature.ErrCorrupt, "its end is missing", "000009.sst")
	})
	t.Run("a table that is missing", func(t *testing.T) {
		with(func(i image) { delete(i, "000001.sst") }).write(t, d.path, "", imageFile{})
		_, err := Open(d.path, Options{Logger: quiet()})
		wantNamed(t, err, "a table that is missing", "000001.sst")
	})
	t.Run("no manifest", func(t *testing.T) {
		with(func(i image) { delete(i, "MANIFEST") }).write(t, d.path, "", imageFile{})
		_, err := Open(d.path, Options{Logger: quiet()})
		wantNamed(t, err, "no manifest", "MANIFEST")
	})
}

// TestManifest reads a manifest as Badger does, and knows what was removed.
func TestManifest(t *testing.T) {
	content := slices.Concat([]byte(manifestHead), changes(t), changes(t, made(1), made(300)), changes(t, made(4), gone(1)), changes(t, gone(9)))
	path := filepath.Join(t.TempDir(), "MANIFEST")
	for cut := len(content); cut >= len(manifestHead); cut-- {
		m, err := readManifest(content[:cut])
		if err != nil {
			t.Fatalf("cut to %d of %d: %v", cut, len(content), err)
		}
		if err := os.WriteFile(path, content[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		theirs, _, err := badger.ReplayManifestFile(file, 0, badgerOptions("", false, quiet()))
		if err != nil || file.Close() != nil {
			t.Fatal(err)
		}
		if ours, want := slices.Sorted(maps.Keys(m.live)), slices.Sorted(maps.Keys(theirs.Tables)); !slices.Equal(ours, want) {
			t.Errorf("cut to %d: %v, Badger reads %v", cut, ours, want)
		}
		if m.removed[1] != (cut >= len(content)-len(changes(t, gone(9)))) || m.removed[300] {
			t.Errorf("cut to %d: removed are %v", cut, m.removed)
		}
	}
	for at := range content {
		bad := bytes.Clone(content)
		bad[at] ^= 1
		if m, err := readManifest(bad); err == nil && m.live[300] && m.live[4] && m.removed[9] {
			t.Errorf("a flip in byte %d changes nothing", at)
		}
	}
}

// changes is a set of changes as a manifest holds it.
func changes(t *testing.T, all ...*pb.ManifestChange) []byte {
	t.Helper()
	b, err := proto.Marshal(&pb.ManifestChangeSet{Changes: all})
	if err != nil {
		t.Fatal(err)
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	head = binary.BigEndian.AppendUint32(head, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return append(head, b...)
}

func made(id uint64) *pb.ManifestChange {
	return &pb.ManifestChange{Id: id, Level: 3, EncryptionAlgo: pb.EncryptionAlgo_aes, Compression: 1}
}

func gone(id uint64) *pb.ManifestChange {
	return &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE}
}

// TestSetAside moves the files of a store away, and leaves those that were moved before.
func TestSetAside(t *testing.T) {
	d := loadedStore(t)
	delete(d.files, lockName) // of a process that was killed: it is that of the next one
	d.files.write(t, d.path, "", imageFile{})
	now := time.Date(2024, 5, 17, 9, 30, 0, 0, time.UTC)
	for round := range 2 {
		aside, err := SetAside(d.path, now)
		if err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(d.path)
		if err != nil || len(entries) != round+1 || filepath.Dir(aside) != d.path {
			t.Errorf("round %d: %v beside %s, %v", round, entries, aside, err)
		}
		if round == 0 {
			if diff := cmp.Diff(slices.Sorted(maps.Keys(d.files)), slices.Sorted(maps.Keys(readImage(t, aside)))); diff != "" {
				t.Error(diff)
			}
		}
		s, err := Open(d.path, Options{Logger: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		states, err := s.States()
		if err != nil || len(states) > 0 {
			t.Errorf("the new store has %v, %v", states, err)
		}
		_, err = SetAside(d.path, now)
		wantKind(t, err, feature.ErrUnavailable, "is held by process")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzFiles reads outside bytes as every kind of file: none makes a reader panic.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(manifestHead + "\x00\x00\x00\x00\x00\x00\x00\x00"))
	f.Add(append(make([]byte, logHeadBytes), "\x40\x00\x08\x01\x0012345678v0123"...))
	f.Add(binary.BigEndian.AppendUint32([]byte("block, index, sum"), 3))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = readManifest(b)
		_, _ = checkTable(bytes.NewReader(b), int64(len(b)))
		before := bytes.Clone(b)
		_, _ = checkLog(b)
		if !bytes.Equal(before, b) {
			t.Error("reading a log changes it")
		}
		m := manifest{live: map[uint64]bool{}, removed: map[uint64]bool{}}
		_ = m.apply(b)
	})
}

package offline

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/asof-store/asof/feature"
)

// checkTable returns what Check finds in a view's table: faults, then remarks.
func checkTable(t tester, s *Store, v *feature.View) (faults, remarks []Finding) {
	t.Helper()
	done, err := s.Check(context.Background(), v, CheckOptions{}, func(f Finding) {
		if f.Remark {
			remarks = append(remarks, f)
		} else {
			faults = append(faults, f)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if done.Faults != len(faults) || done.Remarks != len(remarks) {
		t.Fatalf("%d faults and %d remarks were reported, it counts %+v", len(faults), len(remarks), done)
	}
	return faults, remarks
}

// sound fails the test when a view's table has faults, or files that belong to nobody.
func sound(t tester, s *Store, v *feature.View) {
	t.Helper()
	faults, remarks := checkTable(t, s, v)
	for _, f := range append(faults, remarks...) {
		t.Fatalf("%s: %s", f.Where, f.What)
	}
}

func TestCheckSound(t *testing.T) {
	for name, o := range map[string]Options{"large files": {}, "small files": smallFiles} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			s := openStore(t, dir, o)
			for i, run := range []func(*Store) (*Snapshot, error){first, second} {
				snapshot, err := run(s)
				if err != nil {
					t.Fatal(err)
				}
				if err := errors.Join(snapshot.Tag(context.Background(), fmt.Sprint("tag", i)), snapshot.Close()); err != nil {
					t.Fatal(err)
				}
				sound(t, s, purchases())
			}
			snapshot, err := replace(s, wide(), commitFor(feature.Range{From: 1000, To: 1999}), wideRows(), 2)
			if err != nil {
				t.Fatal(err)
			}
			if err := snapshot.Close(); err != nil {
				t.Fatal(err)
			}
			sound(t, s, wide())
		})
	}
}

// Package material finds the test material that lies beside the project.
package material

import (
	"os"
	"path/filepath"
	"testing"
)

// Path returns a file or folder of the material in ../shared, seen from the module's root. It skips the test, saying so, where the
// material is not there, and fails it where no module is above the test's directory.
func Path(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
	}
	path := filepath.Join(filepath.Dir(dir), "shared", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("skipped: ../shared/%s is not beside the project", name)
	}
	return path
}

package definitions

import (
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/asof-store/asof/feature"
)

// Texts returns the text of each definitions file at path by its name relative to the directory of the definitions, with slashes: what
// [LoadTexts] takes, in this process or another.
func Texts(path string) (map[string]string, error) {
	files, _, err := readFiles(path)
	texts := map[string]string{}
	for _, f := range files {
		texts[f.Name] = f.Text
	}
	return texts, err
}

// LoadTexts is [Load] of files that are given by their texts instead of being read at path. Relative globs of sources start from
// where they would if they lay there.
func LoadTexts(path string, texts map[string]string, opts LoadOptions) (*Model, error) {
	if len(texts) == 0 || len(texts) > filesMax {
		return nil, feature.Errorf(feature.ErrInvalid, "%d files of definitions: give from 1 to %d", len(texts), filesMax)
	}
	var files []textFile
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if len(texts[name]) > fileBytesMax {
			return nil, feature.Errorf(feature.ErrInvalid, "definitions %s have %d bytes: at most %d are read", name, len(texts[name]), fileBytesMax)
		}
		files = append(files, textFile{Name: name, Text: texts[name]})
	}
	root := path
	if info, err := os.Stat(path); err == nil && !info.IsDir() || err != nil && filepath.Ext(path) != "" {
		root = filepath.Dir(path)
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, pathError(path, err)
	}
	return load(files, root, func(name string) string { return name }, opts)
}

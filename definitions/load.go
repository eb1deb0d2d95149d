package definitions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/source"
	"go.yaml.in/yaml/v4"
)

// LoadOptions are the options of Load; the zero value works.
type LoadOptions struct {
	// SchemaOf returns the columns of a source; nil inspects its files. An error is a fault at the source's parquet
	// field, save for a context's, which ends the load and is returned as it is.
	SchemaOf func(source.Spec) (*source.Schema, error)
}

// Load reads and checks definitions. The path is a file, or a directory whose *.yaml and *.yml files at any depth are read
// as one, save for names that begin with a dot and asof.yaml, which holds the process's settings. Relative globs of sources start from that directory, or from
// the file's. What is wrong with the definitions is returned as Faults, all at once; a path that is missing or cannot be
// read as feature.ErrNotFound or feature.ErrUnavailable.
func Load(path string, opts LoadOptions) (*Model, error) {
	files, root, err := readFiles(path)
	if err != nil {
		return nil, err
	}
	shown := path
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		shown = filepath.Dir(path)
	}
	return load(files, root, func(name string) string { return filepath.Join(shown, filepath.FromSlash(name)) }, opts)
}

// textFile is a definitions file as it lies on disk and in the registry. Name is relative to the root, with slashes.
type textFile struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// readFiles reads the definitions at path, ordered by name, and returns the absolute directory they are relative to.
func readFiles(path string) (files []textFile, root string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", pathError(path, err)
	}
	names := []string{filepath.Base(path)}
	dir := filepath.Dir(path)
	if info.IsDir() {
		dir = path
		if names, err = yamlNames(path); err != nil {
			return nil, "", err
		}
	}
	for _, name := range names {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Size() > fileBytesMax {
			return nil, "", feature.Errorf(feature.ErrInvalid, "definitions %s has %d bytes: at most %d are read", full, info.Size(), fileBytesMax)
		}
		text, err := os.ReadFile(full)
		if err != nil {
			return nil, "", pathError(full, err)
		}
		files = append(files, textFile{Name: filepath.ToSlash(name), Text: string(text)})
	}
	root, err = filepath.Abs(dir)
	if err != nil {
		return nil, "", pathError(dir, err)
	}
	return files, root, nil
}

// yamlNames lists the YAML files below dir by their paths relative to it.
func yamlNames(dir string) ([]string, error) {
	resolved, err := filepath.EvalSymlinks(dir) // WalkDir does not follow its root
	if err != nil {
		return nil, pathError(dir, err)
	}
	dir = resolved
	var names []string
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch ext := filepath.Ext(path); {
		case err != nil:
			return pathError(path, err)
		case path != dir && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return filepath.SkipDir
			}
		case !d.IsDir() && (ext == ".yaml" || ext == ".yml") && d.Name() != "asof.yaml":
			name, err := filepath.Rel(dir, path)
			if err != nil {
				return pathError(path, err)
			}
			names = append(names, name)
		}
		if len(names) > filesMax {
			return feature.Errorf(feature.ErrInvalid, "definitions %s hold more than %d YAML files: is it the right directory?", dir, filesMax)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, feature.Errorf(feature.ErrNotFound, "definitions %s hold no .yaml or .yml file", dir)
	}
	slices.Sort(names)
	return names, nil
}

// pathError wraps what the file system said about definitions.
func pathError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return feature.Errorf(feature.ErrNotFound, "definitions %s do not exist", path)
	}
	return feature.Errorf(feature.ErrUnavailable, "definitions %s cannot be read: %w", path, err)
}

// loader turns checked YAML into a model.
type loader struct {
	opts  LoadOptions
	model *Model
	files []*checker
	// partial tells that a file could not be parsed, so that what is missing elsewhere may stand there.
	partial bool

	entities, sources, views, groups, services *namespace
	entityOf                                   map[string]*Entity
	sourceOf                                   map[string]*Source
	viewOf                                     map[string]*View
	groupOf                                    map[string]*onDemandBuilder
	building                                   []*onDemandBuilder
	underway                                   []string // on-demand features that are being compiled, each for the one before
	ended                                      error    // a context's end, met while inspecting a source
}

// load checks files, which shown names in faults.
func load(files []textFile, root string, shown func(name string) string, opts LoadOptions) (*Model, error) {
	l := &loader{opts: opts, model: &Model{Root: root, files: files},
		entities: newNamespace("entity", "entities"), sources: newNamespace("source", "sources"),
		views: newNamespace("view", "views"), groups: newNamespace("on_demand", "on_demand"), services: newNamespace("service", "services"),
		entityOf: map[string]*Entity{}, sourceOf: map[string]*Source{}, viewOf: map[string]*View{}, groupOf: map[string]*onDemandBuilder{}}
	if l.opts.SchemaOf == nil {
		l.opts.SchemaOf = func(s source.Spec) (*source.Schema, error) { return source.Inspect(context.Background(), s) }
	}
	var faults Faults
	for _, t := range files {
		f, fault := parseFile(shown(t.Name), t.Text)
		if fault != nil {
			faults, l.partial = append(faults, *fault), true
			continue
		}
		c := &checker{file: f, bad: map[*yaml.Node]bool{}}
		for _, root := range f.docs {
			c.check(root, fileShape(), fileLabel)
		}
		l.files = append(l.files, c)
	}
	l.each("entities", "entity", l.entity)
	l.each("sources", "source", l.source)
	l.each("views", "view", l.view)
	l.each("on_demand", "on_demand", l.onDemand)
	l.compileOnDemand()
	l.each("services", "service", l.service)
	if l.ended != nil {
		return nil, fmt.Errorf("definitions %s: %w", root, l.ended)
	}
	for _, c := range l.files {
		faults = append(faults, c.faults...)
	}
	if len(faults) > 0 {
		return nil, faults.sorted()
	}
	for _, v := range l.model.Views {
		v.Hash = hashRows(viewAttributes(v))
	}
	l.model.Hash = hashModel(l.model.constructs())
	return l.model, nil
}

// each calls build for every record in the lists under the heading, of all files in order.
func (l *loader) each(heading, noun string, build func(object)) {
	for _, c := range l.files {
		for _, root := range c.file.docs {
			doc := object{c: c, node: deref(root)}
			for _, n := range doc.records(heading) {
				o := object{c: c, node: n, label: noun}
				if name, _ := o.text("name"); name != "" {
					o.label = noun + " " + name
				}
				build(o)
			}
		}
	}
}

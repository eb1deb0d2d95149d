package main

import (
	"errors"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/nearest"
)

// checkSettingsFile reports what viper would pass over in silence: keys that are no settings, and values that are no
// single values. All faults come at once, one a line.
func checkSettingsFile(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return feature.Errorf(feature.ErrUnavailable, "read settings: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return feature.Errorf(feature.ErrInvalid, "%s: %w", path, err)
	}
	if len(doc.Content) == 0 { // empty, or comments alone
		return nil
	}
	root := doc.Content[0]
	fault := func(n *yaml.Node, format string, args ...any) error {
		return feature.Errorf(feature.ErrInvalid, "%s:%d: "+format, append([]any{path, n.Line}, args...)...)
	}
	if root.Kind != yaml.MappingNode {
		return fault(root, "settings are lines of the form name: value")
	}
	var faults []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if !isSetting(key.Value) {
			faults = append(faults, fault(key, "unknown setting %q: %s", key.Value, settingHint(key.Value)))
		} else if value.Kind != yaml.ScalarNode {
			faults = append(faults, fault(value, "setting %s has more than one value", key.Value))
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return feature.Errorf(feature.ErrInvalid, "%w", errors.Join(faults...))
}

func isSetting(name string) bool {
	for _, s := range allSettings() {
		if s.name == name {
			return true
		}
	}
	return false
}

// settingHint proposes the setting that is most like name, and lists them all where none is.
func settingHint(name string) string {
	var names []string
	for _, s := range allSettings() {
		names = append(names, s.name)
	}
	if near := nearest.Name(name, names); near != "" {
		return "did you mean " + near + "?"
	}
	return "settings are " + strings.Join(names, ", ")
}

package main

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/viper"

	"github.com/asof-store/asof/feature"
)

// settings are a process's own settings: where things lie and how much it may take. What the features are stands in the
// definitions.
type settings struct {
	File        string // asof.yaml; "" where there is none
	Definitions string // a file or a directory
	Warehouse   string // the directory of the offline store
	Online      string // the directory of the online store
	Listen      string // host:port of asof serve
	HTTPListen  string // host:port of asof serve for HTTP; "": none
	Cache       int64  // bytes of rows that asof serve keeps in memory; 0: none
	Memory      int64  // bytes that a run may take, about
	Workers     int    // that run at once

	Scheduling scheduling // of asof serve
	Watching   watching
}

// setting is a setting as its three sources name it: NAME in asof.yaml, ASOF_NAME, --NAME with - for _.
type setting struct {
	name     string
	fallback string
	isPath   bool
	help     string
	serve    bool // asof serve alone has the flag
}

func (s setting) flag() string { return flagOf(s.name) }

func flagOf(name string) string { return strings.ReplaceAll(name, "_", "-") }

const settingCatalog = "catalog"

// cacheMax bounds the setting cache: what keeps account of a cache takes memory at once, some thousandth of its size.
const cacheMax = 1 << 40

func allSettings() []setting {
	return append([]setting{
		{name: "definitions", isPath: true, help: "definitions: a YAML file, or a directory of them (default features.yaml, else definitions/)"},
		{name: "warehouse", fallback: "warehouse", isPath: true, help: "directory of the offline store and the registry"},
		{name: settingCatalog, fallback: "hadoop", help: "kind of Iceberg catalog of the offline store: hadoop, a directory"},
		{name: "online", fallback: "online", isPath: true, help: "directory of the online store"},
		{name: "listen", fallback: "127.0.0.1:7878", help: "host:port to serve gRPC on", serve: true},
		{name: "http_listen", help: "host:port to serve JSON over HTTP on; off without", serve: true},
		{name: "cache", fallback: "256MiB", help: "memory for rows that have been looked up, 32MiB at least; 0: none", serve: true},
		{name: "memory", fallback: "1GiB", help: "memory that a run may take, about: 512MB, 1GiB"},
		{name: "workers", fallback: "0", help: "workers that run at once; 0 is one for each CPU"},
	}, serveSettings()...)
}

// addSettingFlags declares --config and the settings' flags. They have no default of their own, so that only a flag that
// is given counts.
func addSettingFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.String("config", "", "settings file (default asof.yaml, where it exists)")
	if err := root.MarkPersistentFlagFilename("config", "yaml", "yml"); err != nil {
		panic("asof: " + err.Error()) // the flag is declared above
	}
	for _, s := range allSettings() {
		if !s.serve {
			flags.String(s.flag(), "", s.helpText())
		}
	}
	complete(root, settingCatalog, "hadoop")
}

// addServeFlags declares the flags of the settings that asof serve alone goes by.
func addServeFlags(c *cobra.Command) {
	for _, s := range allSettings() {
		if s.serve {
			c.Flags().String(s.flag(), "", s.helpText())
		}
	}
}

func (s setting) helpText() string {
	if s.fallback == "" || s.fallback == "0" || s.fallback == "0s" {
		return s.help
	}
	return s.help + " (default " + s.fallback + ")"
}

// settings returns the settings of a call of cmd: from its flags, else the environment, else asof.yaml, else the defaults.
// Paths in asof.yaml, and default ones beside it, are relative to its directory, others to the working directory.
func (a *app) settings(cmd *cobra.Command) (*settings, error) {
	file, err := settingsFile(cmd)
	if err != nil {
		return nil, err
	}
	v := viper.New()
	v.SetEnvPrefix("asof")
	v.AutomaticEnv()
	for _, s := range allSettings() {
		v.SetDefault(s.name, s.fallback)
		if f := cmd.Flags().Lookup(s.flag()); f != nil {
			if err := v.BindPFlag(s.name, f); err != nil {
				return nil, err
			}
		}
	}
	if file != "" {
		if err := checkSettingsFile(file); err != nil {
			return nil, err
		}
		v.SetConfigFile(file)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return nil, feature.Errorf(feature.ErrInvalid, "read settings: %s: %w", file, err)
		}
	}
	return (&settingsReader{v: v, cmd: cmd, file: file}).read()
}

// settingsFile returns the file that --config or ASOF_CONFIG names, else asof.yaml where it exists, else "".
func settingsFile(cmd *cobra.Command) (string, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return "", err
	}
	if file == "" {
		file = os.Getenv("ASOF_CONFIG")
	}
	if file == "" {
		if _, err := os.Stat("asof.yaml"); os.IsNotExist(err) {
			return "", nil
		}
		return "asof.yaml", nil
	}
	if _, err := os.Stat(file); os.IsNotExist(err) {
		return "", feature.Errorf(feature.ErrNotFound, "read settings: %s: there is no such file", file)
	}
	return file, nil
}

// settingsReader takes checked values out of viper.
type settingsReader struct {
	v    *viper.Viper
	cmd  *cobra.Command
	file string
}

func (r *settingsReader) read() (*settings, error) {
	s := &settings{File: r.file}
	if kind := r.v.GetString(settingCatalog); kind != "hadoop" {
		return nil, r.fault(settingCatalog, "the catalog %q is not known: the only one is hadoop, in the warehouse directory", kind)
	}
	var err error
	if s.Listen, err = r.address("listen"); err != nil {
		return nil, err
	}
	if r.v.GetString("http_listen") != "" {
		if s.HTTPListen, err = r.address("http_listen"); err != nil {
			return nil, err
		}
	}
	if text := r.v.GetString("cache"); text != "0" {
		if s.Cache, err = parseSize(text); err != nil {
			return nil, r.fault("cache", "%v, or 0 for none", err)
		}
		if s.Cache > cacheMax {
			return nil, r.fault("cache", "%s is more than the 1TiB that it may have", text)
		}
	}
	if s.Memory, err = parseSize(r.v.GetString("memory")); err != nil {
		return nil, r.fault("memory", "%v", err)
	}
	if s.Workers, err = strconv.Atoi(r.v.GetString("workers")); err != nil || s.Workers < 0 {
		return nil, r.fault("workers", "%q is no number of workers: write 0, for one for each CPU, or more", r.v.GetString("workers"))
	}
	if s.Workers == 0 {
		s.Workers = runtime.GOMAXPROCS(0)
	}
	if err := r.readServe(s); err != nil {
		return nil, err
	}
	s.Warehouse, s.Online, s.Definitions = r.path("warehouse"), r.path("online"), r.path("definitions")
	return s, nil
}

// path returns a path setting, relative to the working directory.
func (r *settingsReader) path(name string) string {
	beside := filepath.Dir(r.file) // "." where there is no file
	path := r.v.GetString(name)
	if path == "" { // only the definitions have two defaults
		path = "features.yaml"
		if !exists(filepath.Join(beside, path)) && exists(filepath.Join(beside, "definitions")) {
			path = "definitions"
		}
	}
	if filepath.IsAbs(path) || r.origin(name) != r.file && r.origin(name) != "" {
		return path
	}
	return filepath.Join(beside, path)
}

// origin tells where a setting comes from: "--name", "ASOF_NAME", the file, or "" for its default.
func (r *settingsReader) origin(name string) string {
	env := "ASOF_" + strings.ToUpper(name)
	switch f := r.cmd.Flags().Lookup(flagOf(name)); {
	case f != nil && f.Changed:
		return "--" + f.Name
	case os.Getenv(env) != "":
		return env
	case r.file != "" && r.v.InConfig(name):
		return r.file
	}
	return ""
}

func (r *settingsReader) fault(name, format string, args ...any) error {
	origin := r.origin(name)
	if origin == r.file {
		origin += ": " + name
	}
	return feature.Errorf(feature.ErrInvalid, origin+": "+format, args...)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// parseSize reads a size in bytes: a number, with a unit of 1000s (kB, MB, GB, TB) or of 1024s (KiB, MiB, GiB, TiB).
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "BKMGTikmgtb ")
	unit := strings.ToLower(strings.TrimSpace(text[len(digits):]))
	factor, ok := map[string]float64{"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}[unit]
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if size := n * factor; ok && err == nil && size >= 1 && size < 1<<62 {
		return int64(size), nil
	}
	return 0, feature.Errorf(feature.ErrInvalid, "%q is no size: write a number and a unit, such as 512MB or 1GiB", text)
}

package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show what this asof was built from",
		GroupID: groupProject,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo() // a nil info has neither version nor settings
			return a.printf("%s\n", versionText(info))
		},
	}
}

// version returns the version as registries, snapshots and manifests keep it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "(unknown)"
}

// versionText tells the version, the commit where the build knows it, and what it was built with.
func versionText(info *debug.BuildInfo) string {
	version, commit, modified := "(unknown)", "", ""
	if info != nil {
		version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit += ", commit " + s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.time":
				commit += " of " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				modified = " with changes"
			}
		}
	}
	return "asof " + version + commit + modified + ", " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}

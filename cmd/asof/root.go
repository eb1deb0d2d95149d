package main

import (
	"log/slog"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/feature"
)

const rootHelp = `asof is a feature store: definitions in YAML and tables in Parquet become training sets
without leaks and features served online, from one binary.

A new project:   asof init DIR, then follow what it prints
Documentation:   docs/getting-started.md, docs/definitions.md, docs/cli.md

Settings come from asof.yaml in the working directory (or --config FILE), then from variables
ASOF_WAREHOUSE and so on, then from flags; the later wins.
`

// The groups in which asof --help lists the verbs.
const (
	groupFeatures = "features"
	groupProject  = "project"
)

// newRootCommand returns the command tree. A verb is one function in one file: newXxxCommand(a).
func newRootCommand(a *app, verbs ...*cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:           "asof",
		Short:         "A feature store in one binary",
		Long:          rootHelp + "\n" + exitHelp(),
		SilenceErrors: true, // run prints them
		SilenceUsage:  true,
	}
	info, _ := debug.ReadBuildInfo() // a nil info has neither version nor settings
	root.Version = versionText(info)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddGroup(&cobra.Group{ID: groupFeatures, Title: "Features:"}, &cobra.Group{ID: groupProject, Title: "Project:"})
	root.SetCompletionCommandGroupID(groupProject)
	root.SetHelpCommandGroupID(groupProject)
	addSettingFlags(root)
	level := root.PersistentFlags().String("log-level", "info", "least severity of log lines on stderr: debug, info, warn or error")
	format := root.PersistentFlags().String("log-format", "text", "form of log lines: text or json")
	complete(root, "log-level", "debug", "info", "warn", "error")
	complete(root, "log-format", "text", "json")
	root.PersistentPreRunE = func(*cobra.Command, []string) (err error) {
		a.log, err = newLog(a, *level, *format)
		return err
	}
	for _, c := range verbs {
		noteCall(a, c)
		root.AddCommand(c)
	}
	return root
}

// verbs returns all verbs, in the order in which help lists them.
func verbs(a *app) []*cobra.Command {
	return []*cobra.Command{
		newValidateCommand(a),
		newPlanCommand(a),
		newApplyCommand(a),
		newMaterializeCommand(a),
		newExportCommand(a),
		newServeCommand(a),
		newGetCommand(a),
		newExplainCommand(a),
		newStatusCommand(a),
		newRunsCommand(a),
		newVerifyCommand(a),
		newCheckCommand(a),
		newSyncCommand(a),
		newCompactCommand(a),
		newInitCommand(a),
		newSchemaCommand(a),
		newSimulateCommand(a),
		newVersionCommand(a),
	}
}

// noteCall makes c, and the commands below it, say that the command line was right once they run.
func noteCall(a *app, c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			a.called = cmd
			return run(cmd, args)
		}
	}
	for _, sub := range c.Commands() {
		noteCall(a, sub)
	}
}

func newLog(a *app, level, format string) (*slog.Logger, error) {
	var opts slog.HandlerOptions
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, feature.Errorf(feature.ErrInvalid, "--log-level %q: it is one of debug, info, warn, error", level)
	}
	opts.Level = l
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(a.progress, &opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.progress, &opts)), nil
	}
	return nil, feature.Errorf(feature.ErrInvalid, "--log-format %q: it is text or json", format)
}

// complete makes the shell propose values for a flag of c.
func complete(c *cobra.Command, flag string, values ...string) {
	err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(cobra.AppendActiveHelp(values, ""), cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic("asof: " + err.Error()) // no such flag: a fault of the caller
	}
}

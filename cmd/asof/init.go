package main

import (
	"embed"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/internal/simulate"
)

// exampleFiles are the files of a new project. Nothing writes the variable.
//
//go:embed example
var exampleFiles embed.FS

// exampleName gives the name in the project of a file in exampleFiles.
func exampleName(name string) string {
	if name == "gitignore" { // go:embed leaves out names that begin with a dot
		return ".gitignore"
	}
	return name
}

func newInitCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Write a small working project: settings, definitions and data",
		Long: `Write a small working project to DIR, which is created: asof.yaml with the settings, features.yaml with commented
definitions, a few thousand made-up card payments below data/, and training.csv, payments whose fraud label is known.
Nothing that is there already is overwritten.`,
		GroupID: groupProject,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return initProject(cmd, a, args[0])
		},
	}
}

func initProject(cmd *cobra.Command, a *app, dir string) error {
	files, err := exampleFiles.ReadDir("example")
	if err != nil {
		return err
	}
	for _, f := range files { // all of them before the first is written
		path := filepath.Join(dir, exampleName(f.Name()))
		if _, err := os.Lstat(path); err == nil {
			return feature.Errorf(feature.ErrConflict, "init: %s is there already: choose an empty directory", path)
		}
	}
	res, err := simulate.Run(cmd.Context(), dir, simulate.Config{
		Seed: 1, End: a.now().UTC().Truncate(24 * time.Hour), Customers: 50, Terminals: 20, Payments: 4000, Spine: "training.csv", SpineRows: 1000})
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := writeExample(dir, f.Name()); err != nil {
			return err
		}
	}
	return a.printf(`%s is a small project of card payments, some of them fraud:

  asof.yaml       settings: where the stores lie
  features.yaml   what the features are
  data/           %s payments and the tables around them, in Parquet
  training.csv    %s payments whose label is known: the rows to train on

Next:

  %sasof plan                                     # what would change
  asof apply                                    # record it
  asof materialize                              # compute the features
  asof export fraud --spine training.csv --out training_set.csv
  asof get fraud --key customer_id=7 --key payee_id=8
  asof status
`, dir, progress.Count(int64(res.Payments)), progress.Count(int64(res.Labelled)), changeDirectory(dir))
}

// writeExample writes an example file that is not there yet.
func writeExample(dir, name string) error {
	content, err := exampleFiles.ReadFile("example/" + name)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, exampleName(name))
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return feature.Errorf(feature.ErrConflict, "init: %s is there already: choose an empty directory", path)
	}
	if err != nil {
		return feature.Errorf(feature.ErrUnavailable, "init: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return feature.Errorf(feature.ErrUnavailable, "init: write %s: %w", path, err)
	}
	return nil
}

// changeDirectory returns the shell line that goes to dir, "" where one is there.
func changeDirectory(dir string) string {
	if dir = filepath.Clean(dir); dir == "." {
		return ""
	}
	for _, r := range dir {
		if !strings.ContainsRune("/._-~+", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') {
			return "cd '" + strings.ReplaceAll(dir, "'", `'\''`) + "'\n  "
		}
	}
	return "cd " + dir + "\n  "
}

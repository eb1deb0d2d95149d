package endtoend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/pointintime"
)

// TestScripts runs the scripts of testdata, which say in words what semantics mean. Regenerate their outputs with
// go test ./internal/endtoend -run TestScripts -rewrite, and read the difference.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		w := newWorld(t, t.TempDir(), worldOptions{workers: 2})
		defer func() { w.close() }()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := w.run(d)
			if err != nil {
				return "error: " + strings.ReplaceAll(err.Error(), w.dir, "DIR") + "\n"
			}
			return out
		})
	})
}

// run executes one command of a script.
func (w *world) run(d *datadriven.TestData) (string, error) {
	switch d.Cmd {
	case "define":
		return "", w.define(d.Input)
	case "rows":
		t, err := parseTable(d.Input)
		if err != nil {
			return "", err
		}
		w.write(d.CmdArgs[0].String(), t)
		return "", nil
	case "remove":
		return "", os.Remove(w.path(d.CmdArgs[0].String()))
	case "clock":
		now, err := parseTime(d.CmdArgs[0].String())
		w.now = now
		return "", err
	case "restart":
		w.restart()
		return "", nil
	case "materialize", "export", "get", "stale", "explain":
		if w.model == nil {
			return "", errors.New("nothing is defined")
		}
	}
	switch d.Cmd {
	case "materialize":
		return w.runMaterialize(d)
	case "stale":
		return w.runStale(d.CmdArgs[0].String())
	case "export":
		return w.runExport(d)
	case "explain":
		return w.runExplain(d)
	case "leaks":
		if w.last == nil {
			return "", errors.New("nothing has been exported")
		}
		var out strings.Builder
		err := w.last.Leaks.Print(&out, w.last.Rows)
		return out.String(), err
	case "get":
		keys, err := parseTable(d.Input)
		if err != nil {
			return "", err
		}
		return w.get(d.CmdArgs[0].String(), keys, w.now)
	}
	return "", fmt.Errorf("no command %q", d.Cmd)
}

func (w *world) runMaterialize(d *datadriven.TestData) (string, error) {
	var r materialize.Request
	var views []string
	for _, a := range d.CmdArgs {
		if len(a.Vals) == 0 {
			views = append(views, a.Key)
			continue
		}
		t, err := parseTime(a.Vals[0])
		if err != nil {
			return "", err
		}
		switch a.Key {
		case "from":
			r.From = &t
		case "to":
			r.To = &t
		default:
			return "", fmt.Errorf("materialize knows no %s", a.Key)
		}
	}
	results, err := w.materialize(r, views...)
	var out strings.Builder
	for _, r := range results {
		fmt.Fprintf(&out, "%s: %d rows", r.View, r.Rows)
		if r.Filtered > 0 {
			fmt.Fprintf(&out, ", %d filtered", r.Filtered)
		}
		if r.Skipped > 0 {
			fmt.Fprintf(&out, ", %d skipped", r.Skipped)
		}
		if r.Rebuilt {
			fmt.Fprintf(&out, ", rebuilt")
		}
		fmt.Fprintf(&out, ", up to %s, %d keys published\n", timeText(r.Watermark), r.Published.Keys)
	}
	return out.String(), err
}

// runStale shows what of a view's history is stale, and why.
func (w *world) runStale(name string) (string, error) {
	view, err := w.model.View(name)
	if err != nil {
		return "", err
	}
	stale, err := w.engine.Stale(context.Background(), view)
	var out strings.Builder
	for _, s := range stale {
		fmt.Fprintf(&out, "%s to %s: %s\n", timeText(s.From), timeText(s.To), s.Why)
	}
	return out.String(), err
}

func (w *world) runExport(d *datadriven.TestData) (string, error) {
	spine, err := parseTable(d.Input)
	if err != nil {
		return "", err
	}
	var o pointintime.ExportOptions
	for _, a := range d.CmdArgs[1:] {
		switch a.Key {
		case "as-known":
			o.AsKnown = true
		case "as-served":
			o.AsServed = true
		case "full-names":
			o.FullNames = true
		case "with-feature-times":
			o.WithFeatureTimes = true
		default:
			return "", fmt.Errorf("no option %q", a.Key)
		}
	}
	return w.exportText(d.CmdArgs[0].String(), spine, o)
}

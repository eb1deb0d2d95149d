package main

import (
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/internal/stages"
)

// printStages shows where the time of a run went.
func (a *app) printStages(work []stages.Work) error {
	return stages.Print(a.stdout, work, progress.Count, sizeText)
}

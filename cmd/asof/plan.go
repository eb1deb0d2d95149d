package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/definitions"
	"github.com/asof-store/asof/feature"
)

// newValidateCommand checks the definitions as they are on disk.
func newValidateCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "validate",
		Short:   "Check the definitions and name every fault",
		Long:    "Check the definitions, and the source files that they name, without changing anything. Every fault is named at once, with file, line and column.",
		GroupID: groupFeatures,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.project(cmd)
			if err != nil {
				return err
			}
			m, err := definitions.Load(p.settings.Definitions, definitions.LoadOptions{})
			if err != nil {
				return err
			}
			return a.printf("%s: %d entities, %d sources, %d views, %d services: no faults\n", p.settings.Definitions,
				len(m.Entities), len(m.Sources), len(m.Views), len(m.Services))
		},
	}
}

// newSchemaCommand prints the JSON Schema of definitions.
func newSchemaCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of definitions, for editors",
		Long:    "Print the JSON Schema of definitions. Editors complete and check YAML by it: save it, and begin the YAML with\n# yaml-language-server: $schema=asof.schema.json",
		Example: "  asof schema > asof.schema.json",
		GroupID: groupProject,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.printf("%s\n", definitions.Schema())
		},
	}
}

// newPlanCommand shows what applying would change.
func newPlanCommand(a *app) *cobra.Command {
	var asJSON bool
	var server string
	c := &cobra.Command{
		Use:     "plan",
		Short:   "Show what applying the definitions would change",
		GroupID: groupFeatures,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if server != "" {
				if asJSON {
					return feature.Errorf(feature.ErrInvalid, "--json is for plans that are made here: leave it, or --server, out")
				}
				answer, err := a.applyAt(cmd, server, true)
				if err != nil {
					return err
				}
				return a.printf("%s", answer.GetPlan())
			}
			_, _, plan, _, err := a.plan(cmd)
			if err != nil {
				return err
			}
			if asJSON {
				text, err := json.MarshalIndent(plan, "", "  ")
				if err != nil {
					return err
				}
				return a.printf("%s\n", text)
			}
			return a.printf("%s", plan)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	serverFlag(c, &server, "is to compare them with what it goes by")
	return c
}

// plan loads the definitions and compares them with those applied as the version that it returns.
func (a *app) plan(cmd *cobra.Command) (*project, *definitions.Model, definitions.Plan, int, error) {
	p, err := a.project(cmd)
	if err != nil {
		return nil, nil, definitions.Plan{}, 0, err
	}
	next, err := definitions.Load(p.settings.Definitions, definitions.LoadOptions{})
	if err != nil {
		return nil, nil, definitions.Plan{}, 0, err
	}
	current, version, err := p.appliedOrNone()
	if err != nil {
		return nil, nil, definitions.Plan{}, 0, err
	}
	return p, next, definitions.NewPlan(current, next), version, nil
}

// newApplyCommand records the definitions.
func newApplyCommand(a *app) *cobra.Command {
	var server string
	c := &cobra.Command{
		Use:     "apply",
		Short:   "Record the definitions, for the other verbs to go by",
		Long:    "Record the definitions as the next version of the registry in the warehouse. The other verbs go by the version applied last, wherever they run. Of two that apply at once one wins; the other is told to plan again. With --server the definitions go to a server, which looks their sources up where it runs, applies them and goes by them.",
		GroupID: groupFeatures,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if server != "" {
				answer, err := a.applyAt(cmd, server, false)
				if err != nil {
					return err
				}
				return a.printApplied(answer.GetPlan(), int(answer.GetBefore()), int(answer.GetVersion()))
			}
			p, next, plan, version, err := a.plan(cmd)
			if err != nil {
				return err
			}
			now, err := p.registry.Apply(next, version)
			if err != nil {
				return err
			}
			return a.printApplied(plan.String(), version, now)
		},
	}
	serverFlag(c, &server, "is to apply them")
	return c
}

func (a *app) printApplied(plan string, before, now int) error {
	if err := a.printf("%s", plan); err != nil {
		return err
	}
	if now == before {
		return a.printf("Version %d stays.\n", now)
	}
	return a.printf("Applied as version %d.\n", now)
}

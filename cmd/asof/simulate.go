package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/progress"
	"github.com/asof-store/asof/internal/simulate"
	"github.com/asof-store/asof/internal/tabular"
)

func newSimulateCommand(a *app) *cobra.Command {
	var cfg simulate.Config
	var end string
	c := &cobra.Command{
		Use:   "simulate DIR",
		Short: "Make up three months of card payments, to try things on",
		Long: `Make up three months of card payments with fraud, as the Parquet tables that features.example.yaml is
written for: transactions, customers, terminals and a market table below DIR/data, and the payments whose label is known
in DIR/training.parquet. The same flags always give the same bytes.`,
		Example: "  asof simulate demo\n  asof simulate demo --seed 7 --end 2024-05-17 --customers 500",
		GroupID: groupProject,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.End = a.now().UTC().Truncate(24 * time.Hour)
			if end != "" {
				at, ok := tabular.ParseTime(end)
				if !ok {
					return feature.Errorf(feature.ErrInvalid, "--end %q: write 2006-01-02 or 2006-01-02T15:04:05Z", end)
				}
				cfg.End = at.Std()
			}
			res, err := simulate.Run(cmd.Context(), args[0], cfg)
			if err != nil {
				return err
			}
			return printSimulation(a, res)
		},
	}
	c.Flags().Uint64Var(&cfg.Seed, "seed", 1, "seed of the random numbers")
	c.Flags().StringVar(&end, "end", "", "moment at which the tables were copied (default the last midnight, UTC)")
	c.Flags().IntVar(&cfg.Customers, "customers", 5000, "customers; the number of everything else follows")
	return c
}

func printSimulation(a *app, res *simulate.Result) error {
	err := a.printf("%s payments of %s customers at %s terminals, %s to %s; %s are labelled, %s of them fraud\n\n",
		progress.Count(int64(res.Payments)), progress.Count(int64(res.Customers)), progress.Count(int64(res.Terminals)),
		res.From.Format(time.DateOnly), res.To.Format(time.DateOnly), progress.Count(int64(res.Labelled)), progress.Count(int64(res.Frauds)))
	for _, t := range res.Tables {
		if err == nil {
			err = a.printf("  %-38s %9s rows\n", t.Path, progress.Count(int64(t.Rows)))
		}
	}
	return err
}

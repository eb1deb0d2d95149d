// Package simulate makes up three months of card payments, with fraud, as the Parquet tables that a feature store would
// find in a bank. The same configuration always gives the same bytes.
//
// Three things make a payment fraudulent, and each leaves its mark in other tables, so that there is something to learn:
//
//   - a single payment far above what the customer usually pays;
//   - a terminal that is tampered with for some weeks; its risk band rises only when somebody has noticed;
//   - a customer whose card data is stolen: for two weeks a third of the payments are five times as large.
//
// Whether a payment was fraud becomes known a week later.
package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/asof-store/asof/feature"
)

// Config says what to simulate. The zero value of every field but End works.
type Config struct {
	Seed      uint64
	End       time.Time // the moment at which the tables were copied; required
	Customers int       // default 5,000
	Terminals int       // default 2 for 5 customers
	Payments  int       // about so many; default 60 for a customer
	Spine     string    // file name of the labelled payments; default training.parquet
	SpineRows int       // at most so many of them, evenly spread in time; 0 is all
}

// Result tells what was made.
type Result struct {
	From, To  time.Time
	Customers int
	Terminals int
	Payments  int // in the transactions table
	Labelled  int // rows of the spine
	Frauds    int // among them
	Tables    []Table
}

// Table is one of the tables that were written.
type Table struct {
	Path string // relative to the directory; of several files, as a glob
	Rows int
}

const months = 3

// Run writes the tables below dir, which it creates: data/transactions, data/investigations, data/customers, data/terminals,
// data/market, and the spine beside data. The error is ErrConflict where dir holds a data directory or the spine already.
func Run(ctx context.Context, dir string, cfg Config) (*Result, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	for _, name := range []string{"data", cfg.Spine} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return nil, feature.Errorf(feature.ErrConflict, "simulate: %s is there already: remove it or choose another directory", filepath.Join(dir, name))
		}
	}
	w := newWorld(cfg)
	payments := w.pay()
	res := &Result{From: w.start, To: w.end, Customers: cfg.Customers, Terminals: cfg.Terminals}
	for _, write := range []func() ([]Table, error){
		func() ([]Table, error) { return writePayments(ctx, dir, w, payments, res) },
		func() ([]Table, error) { return writeInvestigations(dir, w, payments) },
		func() ([]Table, error) { return writeCustomers(dir, w) },
		func() ([]Table, error) { return writeTerminals(dir, w) },
		func() ([]Table, error) { return writeMarket(dir, w) },
		func() ([]Table, error) { return writeSpine(dir, w, payments, res) },
	} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		tables, err := write()
		if err != nil {
			return nil, fmt.Errorf("simulate: %w", err)
		}
		res.Tables = append(res.Tables, tables...)
	}
	return res, nil
}

// complete fills in the defaults.
func (c *Config) complete() error {
	if c.End.IsZero() {
		return feature.Errorf(feature.ErrInvalid, "simulate: the end of the three months is missing")
	}
	if c.Customers == 0 {
		c.Customers = 5000
	}
	if c.Terminals == 0 {
		c.Terminals = max(1, c.Customers*2/5)
	}
	if c.Payments == 0 {
		c.Payments = 60 * c.Customers
	}
	if c.Spine == "" {
		c.Spine = "training.parquet"
	}
	const most = 10_000_000 // they are made in memory
	if c.Customers < 2 || c.Terminals < 1 || c.Payments < 1 || c.Payments > most || c.SpineRows < 0 {
		return feature.Errorf(feature.ErrInvalid, "simulate: %d customers, %d terminals and %d payments: there must be at least 2 customers, 1 terminal, and from 1 to %d payments",
			c.Customers, c.Terminals, c.Payments, most)
	}
	return nil
}

// stream returns the random numbers of one part of the world; parts do not disturb each other.
func (c *Config) stream(part uint64) *rand.Rand { return rand.New(rand.NewPCG(c.Seed, part)) }

package main

import (
	"context"
	_ "embed"
	"os/exec"
)

// peerScript answers questions with DuckDB or Polars.
//
//go:embed peer.py
var peerScript string

// The peers.
const (
	peerDuckDB = "DuckDB"
	peerPolars = "Polars"
)

// question is what a peer's process is asked.
type question struct {
	Peer    string
	Do      string
	Spine   string        // a file
	Source  string        // a pattern of files
	History []peerHistory // of views
	Keys    []string      // columns
	Out     string
	Ours    string // what is to be compared with Out
	// Warehouse holds view0, whose rows are to be compared with those of Out in their order; Order is its data files.
	Warehouse string
	Order     []string
	Columns   []string // to compare
	Days      []int    // windows
	Few       bool     // the spine is small: look for its keys alone
}

// peerHistory is the history of a view, and what is wanted of it.
type peerHistory struct {
	Files    []string
	Features []string
}

// peers returns peers that answer q.
func (b *bench) peers(q question, names ...string) []contender {
	var all []contender
	for _, name := range names {
		q.Peer, q.Out = name, b.output("peer-"+name+".parquet")
		compare := q
		compare.Peer, compare.Do = peerDuckDB, "compare"
		all = append(all, contender{name: name, once: b.asking(q), check: b.asking(compare)})
	}
	return all
}

// asking returns what asks a peer once.
func (b *bench) asking(q question) func(context.Context) (figure, error) {
	return func(ctx context.Context) (figure, error) {
		if q.Warehouse != "" {
			var err error
			if q.Order, err = historyFiles(ctx, q.Warehouse, "view0"); err != nil {
				return figure{}, err
			}
		}
		p, err := begin(exec.CommandContext(ctx, b.python, "-c", peerScript), q)
		if err != nil {
			return figure{}, err
		}
		return p.end()
	}
}

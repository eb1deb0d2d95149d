package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"

	"github.com/asof-store/asof/offline"
)

// peerScript joins with DuckDB's ASOF JOIN, makes windows, or compares two results.
//
//go:embed peer.py
var peerScript string

// benchPeer runs the same join with the peer, compares its result with ours, row by row, and prints how the two stand.
func (b *bench) benchPeer(ctx context.Context, t task, ours figure) error {
	if b.peer == "" {
		fmt.Println("  no peer beside it: run make bench-peers, which installs DuckDB below build/")
		return nil
	}
	files, err := historyFiles(ctx, t)
	if err != nil {
		return err
	}
	out := filepath.Join(filepath.Dir(t.Out), "peer.parquet")
	theirs, err := b.median(func() (figure, error) {
		return b.askPeer(ctx, peerTask{Do: "join", Spine: t.Out, History: files, Out: out})
	})
	if err != nil {
		return err
	}
	show("  DuckDB ASOF JOIN, same files", theirs, "spine rows")
	// The last export's result still lies there.
	unequal, err := b.askPeer(ctx, peerTask{Do: "compare", Out: out, Ours: outputOf(t), Columns: []string{"f0", "f1", "f2", "f3"}})
	if err != nil {
		return err
	}
	fmt.Printf("bench join commits=%d ratio_time=%.2f ratio_memory=%.2f equal=%t\n", t.Commits, theirs.Seconds/ours.Seconds, float64(theirs.Peak)/float64(ours.Peak), unequal.Count == 0)
	if unequal.Count != 0 {
		return fmt.Errorf("%d rows of the peer's result are not ours", unequal.Count)
	}
	return nil
}

// peerTask is what the peer's process is to do.
type peerTask struct {
	Do      string
	Spine   string
	History []string
	Out     string
	Ours    string
	Columns []string // to compare
	Days    []int    // windows
	Events  bool     // History is the events, not the tiles made of them
}

func (b *bench) askPeer(ctx context.Context, t peerTask) (figure, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return figure{}, err
	}
	c := exec.CommandContext(ctx, b.peer, "-c", peerScript)
	c.Stdin = bytes.NewReader(text)
	return measureCommand(c)
}

// historyFiles returns the data files of the history that t reads.
func historyFiles(ctx context.Context, t task) (paths []string, err error) {
	var snapshot *offline.Snapshot
	if snapshot, err = openHistory(ctx, t.Data, view(0).Name); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	for _, f := range snapshot.Files() {
		paths = append(paths, f.Path)
	}
	return paths, nil
}

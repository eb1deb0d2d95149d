// Package online keeps the newest values of every entity key of every published view, and answers lookups by key.
//
// A [Store] lies on a small ordered key-value interface, [KV]; [Open] puts Badger under it. Every stored byte is
// described in docs/format/online.md.
//
// Writing goes through a [Publish], one at a time per view. Values that it has written are durable before the view's [State]
// is, so a state never promises what a crash can take away. A publication in place leaves a mark in the state until it is
// committed ([State.Unfinished]); one that rebuilds writes beside the old values and swaps a single pointer.
//
// Reading happens inside one snapshot of the store: a batch of keys sees one state of each view, whatever is
// published meanwhile. A Store may be used by many goroutines at once.
package online

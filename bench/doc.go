// Command bench measures asof on generated data beside DuckDB, Polars and others, every figure in processes of its own.
//
// The data is seeded, made once below -dir and written through the real stores; each of its rows follows from its place by arithmetic, so
// results can be checked without a second copy. A measurement starts this program again for one operation, and takes the operation's own time,
// the process's processor time and its peak resident memory as the operating system counts them. Contenders work in turn, and the median of each
// figure is shown. Before any time counts, what asof has made is compared with what the generator knows, and what a peer has made
// with that.
//
//	make bench-peers                # once: the peers
//	make bench ONLY=export-asof     # one suite; all of them without ONLY
//
// A processor profile of one operation comes from
//
//	echo '{"Do": "export", ...}' | build/asof-bench -child -cpuprofile export.prof
//
// with the task as struct task has it. docs/benchmarks.md has the figures, and says what limits them.
package main

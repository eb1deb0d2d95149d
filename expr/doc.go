// Package expr is the expression language of definitions: a documented subset of Spark SQL, parsed with positions,
// checked for types when it is compiled, and run on whole Arrow columns.
//
//	source text -> grammar.go (participle) -> check.go (typed tree) -> plan.go (kernels) -> Eval (Arrow in, Arrow out)
//	                                                   \-> print.go (Spark SQL)
//
// docs/expressions.md is the reference of the language. Three things shape the code:
//
//   - Kernels are loops over slices of at most [chunkRows] values, so that what is between them stays in the
//     processor's cache and needs little memory; no row is interpreted on its own.
//   - A kernel computes every row of a chunk, the rows that nobody asks for and the NULL ones included, since that is
//     faster than leaving them out. It must therefore not fail on such rows: a mask of the active rows
//     goes with every call, and only a valid value in an active row can overflow. CASE, IF, COALESCE, AND, OR and IN hand
//     down a smaller mask, and that is all their laziness.
//   - Everything is deterministic and does no I/O; a [Program] is immutable and may be used from many goroutines.
package expr

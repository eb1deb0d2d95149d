// Package aggregate has the functions of windowed aggregations and the partial states that they are computed from.
//
// A state is a small algebra over sets of rows: it begins empty, takes in rows (Add) and stored tiles (Fold), and merges with
// another (Merge); some also take another out again (Remover). What a state holds is a function of the set of rows alone, and is
// stored in one form alone, so that no result depends on the order of rows, the layout of files, or who has added what first.
// Materialization, the export and publishing all use the same states.
//
// States come in columns: a [States] holds the states of many groups, numbered from 0.
//
// To add a function, write a file with its entry (see sum.go) and a test, and list it in functions().
package aggregate

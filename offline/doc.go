// Package offline keeps the history of feature views as Iceberg tables of sorted Parquet files in a directory, the
// warehouse. A run replaces the rows of a range of event times in one commit, which also records how far the view is;
// readers work on snapshots that never change.
//
// docs/format/offline.md describes every stored byte. Only unix systems are supported: writers of a view exclude each
// other by flock.
package offline

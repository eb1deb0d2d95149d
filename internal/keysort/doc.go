// Package keysort orders rows by entity key and times, in time linear in their number, and merges sorted sequences of them.
package keysort

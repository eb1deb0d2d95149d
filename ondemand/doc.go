// Package ondemand computes features when they are asked for, from fields of a request and other features: in exports and in lookups
// by the same programs. [Bind] says once, when definitions are loaded, where in a service their inputs come from; [Compute] runs the programs.
package ondemand

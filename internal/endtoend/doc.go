// Package endtoend holds the tests that drive all of asof at once, from Parquet files and YAML to training sets and online
// values: the scripts of testdata, the law that training and serving agree, the conformance cases, crashes, and real data.
package endtoend

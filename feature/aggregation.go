package feature

import "time"

// Aggregation is a function over the rows of a window. Package aggregate has the functions.
type Aggregation struct {
	Function string // its name in definitions, such as "sum"
	// Input is what goes into the function. Its name begins the names of the stored states (amount__sum); its type is that of
	// the values, and the zero Type where rows are counted.
	Input  Field
	Window time.Duration // its length; 0 is unbounded
	Parameters
}

// Parameters are the parameters of aggregation functions; each is zero for functions that do not take it.
type Parameters struct {
	N         int       // of first_n and last_n: how many values
	P         []float64 // of approx_percentile: the percentiles, each in [0, 1], in the order of the result
	PList     bool      // of approx_percentile: the result is a list, even of one
	Precision int       // of approx_count_distinct: the base 2 logarithm of the number of registers
	Accuracy  float64   // of approx_percentile: the relative error of a result
}

package parquetio

import (
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go/format"
)

// TestRunsOfBools decodes runs as writers make them, the last of which may reach past the end of a page.
func TestRunsOfBools(t *testing.T) {
	for name, c := range map[string]struct {
		body []byte // behind its length
		want []bool
	}{
		"a run of true":                      {[]byte{3 << 1, 1}, []bool{true, true, true}},
		"a run of true as parquet-go has it": {[]byte{8 << 1, 0xff}, []bool{true, true, true, true, true}},
		"a run of false":                     {[]byte{2 << 1, 0}, []bool{false, false}},
		"packed and a run":                   {[]byte{1<<1 | 1, 0b00000101, 2 << 1, 1}, []bool{true, false, true, false, false, false, false, false, true}},
		"nothing":                            {nil, []bool{}},
	} {
		got, err := decodeBools(nil, format.RLE, append([]byte{byte(len(c.body)), 0, 0, 0}, c.body...), len(c.want))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if _, err := decodeBools(nil, format.RLE, append([]byte{byte(len(c.body)), 0, 0, 0}, c.body...), 17); err == nil {
			t.Errorf("%s: as 17 values", name)
		}
	}
}

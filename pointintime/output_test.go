package pointintime

import (
	"slices"
	"testing"

	"github.com/asof-store/asof/feature"
)

// TestAbsentValuesAreZeros: what memory held before does not get into an answer, under a NULL, in a row that expired, or in one that nothing was found for.
func TestAbsentValuesAreZeros(t *testing.T) {
	rows := []feature.Status{feature.Present, feature.NotFound, feature.Present, feature.Expired, feature.Present, feature.Present, feature.Present, feature.Present, feature.NotFound, feature.Present}
	p := &presence{rows: rows, present: func() ([]byte, int) { return feature.PresentBits(rows) }}
	p.setNull(2)
	s := newSink(feature.Scalar(feature.Int64), p, nil).(*fixedSink[int64])
	for i := range s.values {
		s.values[i] = 7
	}
	if _, err := s.finish(nil); err != nil {
		t.Fatal(err)
	}
	if want := []int64{7, 0, 0, 0, 7, 7, 7, 7, 0, 7}; !slices.Equal(s.values, want) {
		t.Errorf("%v, want %v", s.values, want)
	}
}

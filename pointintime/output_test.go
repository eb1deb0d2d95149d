package pointintime

import (
	"slices"
	"testing"

	"github.com/asof-store/asof/feature"
)

// TestAbsentValuesAreZeros: what memory held before does not get into an answer, under a NULL, in a row that expired, or in one that nothing was found for.
func TestAbsentValuesAreZeros(t *testing.T) {
	rows := []feature.Status{feature.Present, feature.NotFound, feature.Present, feature.Expired, feature.Present, feature.Present, feature.Present, feature.Present, feature.NotFound, feature.Present}
	p := &presence{rows: rows, present: func() ([]byte, int) { return feature.PresentBits(rows) }, expires: true}
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
	// Of rows that all have a value where they have a place, those without a place need no clearing.
	found := []feature.Status{feature.Present, feature.NotFound, feature.Present, feature.NotFound}
	s = newSink(feature.Scalar(feature.Int64), &presence{rows: found, present: func() ([]byte, int) { return feature.PresentBits(found) }}, nil).(*fixedSink[int64])
	copy(s.values, []int64{7, 8, 9, 9})
	at, taken := newPlaces(len(found), nil), []uint32{2, 0}
	at.take(taken, new([]uint32))
	s.settle(at)
	if _, err := s.finish(nil); err != nil {
		t.Fatal(err)
	}
	if want := []int64{8, 0, 7, 0}; !slices.Equal(s.values, want) {
		t.Errorf("%v, want %v", s.values, want)
	}
}

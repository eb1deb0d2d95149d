package pointintime

import (
	"reflect"
	"testing"

	"github.com/asof-store/asof/offline"
)

// TestPieces cuts spans of pages of ten rows: each piece ends with the page in which it has as many rows as it may, wherever the spans have gaps, and rows whose pages are
// not known are one piece.
func TestPieces(t *testing.T) {
	var pages []offline.Page
	for from := 0; from < 100; from += 10 {
		pages = append(pages, offline.Page{From: from, To: from + 10})
	}
	type spans = []offline.Span
	for _, c := range []struct {
		name  string
		spans spans
		pages []offline.Page
		rows  int
		want  []spans
	}{
		{"nothing", nil, pages, 20, nil},
		{"a page each", spans{{From: 20, To: 50}}, pages, 1, []spans{{{From: 20, To: 30}}, {{From: 30, To: 40}}, {{From: 40, To: 50}}}},
		{"a page more", spans{{From: 0, To: 50}}, pages, 15, []spans{{{From: 0, To: 20}}, {{From: 20, To: 40}}, {{From: 40, To: 50}}}},
		{"over gaps", spans{{From: 0, To: 10}, {From: 20, To: 30}, {From: 60, To: 100}}, pages, 30, []spans{{{From: 0, To: 10}, {From: 20, To: 30}, {From: 60, To: 70}}, {{From: 70, To: 100}}}},
		{"no more than there are", spans{{From: 0, To: 10}, {From: 90, To: 100}}, pages, 1000, []spans{{{From: 0, To: 10}, {From: 90, To: 100}}}},
		{"pages that are not known", spans{{From: 0, To: 1000}}, nil, 20, []spans{{{From: 0, To: 1000}}}},
	} {
		if got := piecesOf(c.spans, c.pages, c.rows); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

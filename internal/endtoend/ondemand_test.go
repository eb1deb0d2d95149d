package endtoend

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/asof-store/asof/internal/tabular"
	"github.com/asof-store/asof/materialize"
	"github.com/asof-store/asof/pointintime"
)

// TestOnDemandAcrossChunks exports a spine of several batches in chunks of one row or more: a row that cannot be computed is named by its number in the
// spine, and fields of every type, lists too, reach the expressions of their rows.
func TestOnDemandAcrossChunks(t *testing.T) {
	w := newWorld(t, t.TempDir(), worldOptions{workers: 1, chunk: 1})
	defer w.close()
	rows, err := parseTable("k:int64 at:timestamp n:int64\n1 09:00 4\n2 09:00 4611686018427387904")
	w.must(err)
	w.write("src/a.parquet", rows)
	w.now = 1_767_261_600_000_000 // 2026-01-01T10:00
	w.must(w.define(`
entities: [{name: e, keys: {k: int64}}]
sources: [{name: src, parquet: 'src/*.parquet', event_time: at}]
views: [{name: v, entity: e, source: src, features: [{name: n}]}]
on_demand:
  - name: d
    request: {times: int64, l: list<string>, b: bytes, f: float32, at: timestamp, yes: bool, i: int32, s: string}
    features:
      - {name: product, expr: v.n * times}
      - {name: fields, expr: "concat(l[0], cast(size(l) as string), cast(b as string), cast(f as string), cast(at as string), cast(yes as string), cast(i as string), s)"}
services: [{name: svc, features: [{on_demand: d}]}]
`))
	_, err = w.materialize(materialize.Request{})
	w.must(err)
	header := "k:int64 event_timestamp:timestamp times:int64 l:list<string> b:bytes f:float32 at:timestamp yes:bool i:int32 s:string\n"
	spine := func(ending string, factors ...int) string {
		var batches []arrow.RecordBatch
		var schema *arrow.Schema
		for i, factor := range factors {
			piece, err := parseTable(header + fmt.Sprintf("%d 10:00 %d [x,y] eno= 1.5 09:30 true %d t", 1+i%2, factor, i))
			w.must(err)
			batches, schema = append(batches, piece.batch), piece.schema
		}
		name := "spine" + ending
		w.must(tabular.WriteFile(w.path(name), schema, batches...))
		return name
	}
	for _, ending := range []string{".arrow", ".parquet"} {
		w.must(w.export("svc", spine(ending, 1, 1, 2), "out.arrow", pointintime.ExportOptions{}))
		set := concatenated(t, readTable(t, w.path("out.arrow")))
		if got := valueText(set["product"], 0) + " " + valueText(set["product"], 1) + " " + valueText(set["product"], 2); got != "4 4611686018427387904 8" {
			t.Errorf("%s: the products are %s", ending, got)
		}
		if got, want := valueText(set["fields"], 2), "x2zz1.52026-01-01 09:30:00true2t"; got != want {
			t.Errorf("%s: the fields of row 2 are %s, not %s", ending, got, want)
		}
		err := w.export("svc", spine(ending, 1, 1, 1, 2, 1), "out.arrow", pointintime.ExportOptions{})
		if err == nil || !strings.Contains(err.Error(), "spine"+ending+": service svc, on-demand feature d.product: row 3: v.n * times: integer overflow") {
			t.Errorf("%s: an overflow in row 3: %v", ending, err)
		}
	}
}

package materialize

import (
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/asof-store/asof/aggregate"
	"github.com/asof-store/asof/feature"
)

// TestCheckTiles gives tiles that a run stores, and ones that it cannot have stored.
func TestCheckTiles(t *testing.T) {
	hour := int64(time.Hour / time.Microsecond)
	amount := feature.Field{Name: "amount", Type: feature.Scalar(feature.Float64)}
	view := &feature.View{Name: "v", Keys: []feature.Field{{Name: "id", Type: feature.Scalar(feature.Int64)}}, Granularity: time.Hour}
	for _, f := range []string{"count", "sum", "max", "approx_count_distinct"} {
		view.Features = append(view.Features, feature.Feature{Aggregation: &feature.Aggregation{Function: f, Input: amount, Window: time.Hour, Parameters: feature.Parameters{Precision: 14}}})
	}
	specs, err := aggregate.Specs(view.Features)
	if err != nil {
		t.Fatal(err)
	}
	var columns []arrow.Array
	for i := range specs {
		view.States = append(view.States, specs[i].Columns...)
		values := array.NewFloat64Builder(memory.DefaultAllocator)
		values.AppendValues([]float64{2.5, 0.1}, nil)
		states := specs[i].New()
		states.Reset(2)
		states.Add(values.NewArray(), aggregate.Times{Events: []int64{hour, 2 * hour}}, []aggregate.Span{{Group: 0, From: 0, To: 1}, {Group: 1, From: 1, To: 2}})
		stored, err := states.Store()
		if err != nil {
			t.Fatal(err)
		}
		columns = append(columns, stored...)
	}
	check, err := CheckTiles(view)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		column string // that is replaced
		events []int64
		value  string // of row 1
		want   string
	}{
		{"as they are", "", []int64{hour, 2 * hour}, "", ""},
		{"off the grid", "", []int64{hour, 2*hour + 1}, "", "row 1: a tile ends at 1970-01-01T02:00:00.000001Z"},
		{"a sum in two parts that is one", "amount__sum_low", []int64{hour, 2 * hour}, "0.5", "row 1, column amount__sum: it has 0.1, which a run would store as 0.6"},
		{"a count of less than nothing", "amount__count", []int64{hour, 2 * hour}, "-1", "column amount__count"},
		{"a sketch that is none", "amount__hll_14", []int64{hour, 2 * hour}, "AAAA", "column amount__hll_14"},
		{"an exact sum that is none", "amount__sum_exact", []int64{hour, 2 * hour}, "AAAA", "a stored exact sum is damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys := array.NewInt64Builder(memory.DefaultAllocator)
			keys.AppendValues([]int64{1, 1}, nil)
			all := []arrow.Array{keys.NewArray(), timestamps(c.events)}
			for i, f := range view.States {
				column := columns[i]
				if f.Name == c.column {
					b := array.NewBuilder(memory.DefaultAllocator, column.DataType())
					for row, text := range []string{column.ValueStr(0), c.value} {
						if row == 0 && column.IsNull(0) {
							b.AppendNull()
						} else if err := b.AppendValueFromString(text); err != nil {
							t.Fatal(err)
						}
					}
					column = b.NewArray()
				}
				all = append(all, column)
			}
			err := check(array.NewRecordBatch(schemaOf(view), all, 2))
			if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func timestamps(values []int64) arrow.Array {
	b := array.NewTimestampBuilder(memory.DefaultAllocator, feature.Scalar(feature.Timestamp).Arrow().(*arrow.TimestampType))
	for _, v := range values {
		b.Append(arrow.Timestamp(v))
	}
	return b.NewArray()
}

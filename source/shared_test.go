package source

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/material"
)

// Five files of one data set, with three physical types for one column.
func TestGreenTaxi(t *testing.T) {
	spec := Spec{Name: "taxi", Root: material.Path(t, "data/green_taxi"), Glob: "*.parquet", EventTime: "lpep_pickup_datetime"}
	schema, err := Inspect(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	for column, want := range map[string]string{"VendorID": "int64", "ehail_fee": "float64", "passenger_count": "float64", "duration": "float64", "store_and_fwd_flag": "string"} {
		if got, _ := schema.Type(column); got.String() != want {
			t.Errorf("%s is %s, want %s", column, got, want)
		}
	}
	wantError(t, schema.Problem("PULocationID"), feature.ErrInvalid,
		"column PULocationID is string (BYTE_ARRAY STRING) in green_tripdata_2021-01.parquet and int64 (INT64) in green_tripdata_2023-01.parquet")
	_, stats, err := rows(spec, Request{Range: always, Keys: []feature.Field{field("VendorID", feature.Int64)}, Columns: []feature.Field{field("ehail_fee", feature.Float64), field("duration", feature.Float64)}})
	if err != nil {
		t.Fatal(err)
	}
	if stats.Rows != 73908+61921+68211+64809+72044 {
		t.Errorf("%d rows", stats.Rows)
	}
	if f := stats.Files[3]; f.MinEvent.String() != "2008-12-31T23:02:29Z" || f.MaxEvent.String() != "2023-03-01T00:01:06Z" {
		t.Errorf("%s is bounded by %s and %s", f.Path, f.MinEvent, f.MaxEvent)
	}
	places := Request{Range: always, Columns: []feature.Field{field("PULocationID", feature.Int64)}}
	_, _, err = rows(spec, places)
	wantError(t, err, feature.ErrInvalid, "source taxi: ", "green_tripdata_2021-01.parquet: column PULocationID is string (BYTE_ARRAY STRING), which cannot be read as int64")
	spec.Glob = "green_tripdata_2023-*.parquet"
	if _, stats, err = rows(spec, places); err != nil || stats.Rows != 68211+64809+72044 {
		t.Error(stats.Rows, err)
	}
	_, _, err = rows(spec, Request{Range: always, Columns: []feature.Field{field("fare_amont", feature.Float64)}})
	wantError(t, err, feature.ErrInvalid, "no file has a column fare_amont: did you mean fare_amount?")
}

func TestDriverStats(t *testing.T) {
	spec := Spec{Name: "drivers", Root: material.Path(t, "data/driver_stats"), Glob: "*.parquet", EventTime: "event_timestamp", CreatedTime: "created"}
	request := Request{Range: always, Keys: []feature.Field{field("driver_id", feature.Int64)}, Columns: []feature.Field{field("conv_rate", feature.Float32), field("avg_daily_trips", feature.Int32)}}
	got, stats, err := rows(spec, request)
	if err != nil || stats.Rows != 1808+1807 || stats.Skipped != 0 {
		t.Fatal(stats, err)
	}
	if last := got[len(got)-1]; !strings.HasPrefix(last, "driver_stats_workshop.parquet ") || !strings.HasSuffix(last, " (null)") {
		t.Error(last) // a column that the second file does not have
	}
	distinct := map[string]bool{}
	for _, row := range got {
		distinct[row] = true
	}
	if len(distinct) == len(got) {
		t.Error("the exact duplicates are gone")
	}
}

func TestFootball(t *testing.T) {
	spec := Spec{Name: "results", Root: material.Path(t, "data/football"), Glob: "team_results.parquet", EventTime: "event_timestamp", CreatedTime: "created_timestamp"}
	goals, teams := int64(0), map[string]bool{}
	stats, err := Read(context.Background(), spec, Request{Range: always, Keys: []feature.Field{field("team", feature.String)}, Columns: []feature.Field{field("goal_diff", feature.Int64)}}, func(b Batch) error {
		for i := range int(b.Record.NumRows()) {
			teams[b.Record.Column(2).ValueStr(i)] = true
			var diff int64
			if _, err := fmt.Sscan(b.Record.Column(3).ValueStr(i), &diff); err != nil {
				return err
			}
			goals += diff
		}
		return nil
	})
	if err != nil || stats.Rows != 99040 || len(teams) != 337 || goals != 0 { // what one team wins the other loses
		t.Fatal(stats, err, len(teams), goals)
	}
}

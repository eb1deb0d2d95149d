package tabular_test

import (
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/internal/tabular"
)

func fromJSON(t testing.TB, typ arrow.DataType, json string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(memory.DefaultAllocator, typ, strings.NewReader(json))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestConvert(t *testing.T) {
	text, dict := arrow.BinaryTypes.String, &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	stamp := func(u arrow.TimeUnit) arrow.DataType { return &arrow.TimestampType{Unit: u} }
	for _, c := range []struct {
		from   arrow.DataType
		json   string
		kind   feature.Kind
		want   string // JSON, or the error
		failed bool
	}{
		{text, `["7",null,"-1","7.0",""]`, feature.Int64, `[7,null,-1,7,null]`, false},
		{text, `["2147483648"]`, feature.Int32, `row 0: column c: "2147483648" is no int32`, true},
		{text, `["1"," 2"]`, feature.Int64, `row 1: column c: " 2" is no int64`, true},
		{text, `["7.5"]`, feature.Int64, `"7.5" is no int64`, true},
		{text, `["true","FALSE"]`, feature.Bool, `[true,false]`, false},
		{text, `["yes"]`, feature.Bool, `"yes" is no bool`, true},
		{text, `["0.1","NaN"]`, feature.Float64, `[0.1,"NaN"]`, false},
		{text, `["AP8="]`, feature.Bytes, `["AP8="]`, false},
		{text, `["a",""]`, feature.String, `["a",""]`, false},
		{arrow.BinaryTypes.LargeString, `["a"]`, feature.String, `["a"]`, false},
		{dict, `["7",null,"8"]`, feature.Int64, `[7,null,8]`, false},
		{dict, `["a",null,"b"]`, feature.String, `["a",null,"b"]`, false},
		{arrow.PrimitiveTypes.Int32, `[1,null]`, feature.Int64, `[1,null]`, false},
		{arrow.PrimitiveTypes.Uint64, `[18446744073709551615]`, feature.Int64, `is no int64`, true},
		{arrow.PrimitiveTypes.Int64, `[2147483648]`, feature.Int32, `is no int32`, true},
		{arrow.PrimitiveTypes.Float64, `[7,null]`, feature.Int64, `[7,null]`, false},
		{arrow.PrimitiveTypes.Float64, `[7.5]`, feature.Int64, `"7.5" is no int64`, true},
		{arrow.PrimitiveTypes.Float64, `[1e300]`, feature.Int64, `is no int64`, true},
		{arrow.PrimitiveTypes.Int64, `[7]`, feature.String, `column c: its type is int64, where string is wanted`, true},
		{arrow.PrimitiveTypes.Int64, `[7]`, feature.Timestamp, `an integer does not tell its unit`, true},
		{arrow.PrimitiveTypes.Int64, `[7]`, feature.Float64, `[7]`, false},
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, `["7.00"]`, feature.Int64, `[7]`, false},
		{&arrow.Decimal128Type{Precision: 10, Scale: 2}, `["7.01"]`, feature.Int64, `"7.01" is no int64`, true},
		{stamp(arrow.Second), `[1,null]`, feature.Timestamp, `[1000000,null]`, false},
		{stamp(arrow.Millisecond), `[-1]`, feature.Timestamp, `[-1000]`, false},
		{stamp(arrow.Microsecond), `[5]`, feature.Timestamp, `[5]`, false},
		{stamp(arrow.Nanosecond), `[1999,-1,-1000,-1001]`, feature.Timestamp, `[1,-1,-1,-2]`, false},
		{stamp(arrow.Second), `[9223372036854775807]`, feature.Timestamp, `is no timestamp`, true},
		{arrow.FixedWidthTypes.Date32, `[1]`, feature.Timestamp, `[86400000000]`, false},
		{arrow.FixedWidthTypes.Date64, `[86400000]`, feature.Timestamp, `[86400000000]`, false},
		{text, `["2024-02-30"]`, feature.Timestamp, `"2024-02-30" is no timestamp that asof reads: write 2006-01-02T15:04:05Z`, true},
	} {
		got, err := tabular.Convert(fromJSON(t, c.from, c.json), "c", feature.Scalar(c.kind), func(int) string { return "row 1" })
		if c.failed {
			want := strings.Replace(c.want, "row 0", "row 1", 1)
			if feature.KindOf(err) != feature.ErrInvalid || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s to %s: got %v, want %q", c.from, c.json, c.kind, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %s to %s: %v", c.from, c.json, c.kind, err)
			continue
		}
		if want := fromJSON(t, feature.Scalar(c.kind).Arrow(), c.want); !array.Equal(got, want) && c.kind != feature.Float64 {
			t.Errorf("%s %s to %s: got %s, want %s", c.from, c.json, c.kind, got, want)
		}
	}
}

func TestConvertNamesFileAndLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spine.csv")
	batch := fromJSON(t, arrow.BinaryTypes.String, `["1","a\nb","x"]`)
	schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}}, nil)
	if err := tabular.WriteFile(path, schema, array.NewRecordBatch(schema, []arrow.Array{batch}, 3)); err != nil {
		t.Fatal(err)
	}
	r, err := tabular.OpenReader(path, tabular.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := r.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = tabular.Convert(b.Column(0), "id", feature.Scalar(feature.Int64), r.Where); err == nil ||
		err.Error() != path+`:3: column id: "a\nb" is no int64` {
		t.Error(err)
	}
	if r.Where(2) != path+":5" {
		t.Error(r.Where(2))
	}
}

func TestParseTime(t *testing.T) {
	for s, want := range map[string]string{
		"2024-01-02":                          "2024-01-02T00:00:00Z",
		"2024-01-02T03:04:05Z":                "2024-01-02T03:04:05Z",
		"2024-01-02 03:04:05":                 "2024-01-02T03:04:05Z",
		"2024-01-02 03:04":                    "2024-01-02T03:04:00Z",
		"2024-01-02T03:04:05.5":               "2024-01-02T03:04:05.5Z",
		"2024-01-02T03:04:05.123456999Z":      "2024-01-02T03:04:05.123456Z",
		"1969-12-31T23:59:59.9999999Z":        "1969-12-31T23:59:59.999999Z",
		"2024-01-02 03:04:05+02:00":           "2024-01-02T01:04:05Z",
		"2024-01-02T03:04:05.25-0530":         "2024-01-02T08:34:05.25Z",
		"2024-01-02 03:04:05.123456+00":       "2024-01-02T03:04:05.123456Z",
		"2024-02-29":                          "2024-02-29T00:00:00Z",
		"0001-01-01T00:00:00Z":                "0001-01-01T00:00:00Z",
		"":                                    "",
		"2024":                                "",
		"2024-1-2":                            "",
		"2024-02-30":                          "",
		"2023-02-29":                          "",
		"2024-13-01":                          "",
		"2024-01-02T":                         "",
		"2024-01-02T24:00:00":                 "",
		"2024-01-02T03:04:60Z":                "",
		"2024-01-02T03:04:05.Z":               "",
		"2024-01-02T03:04:05 Europe/Paris":    "",
		"2024-01-02T03:04:05Z ":               "",
		"01/02/2024":                          "",
		"1704164645":                          "",
		"2024-01-02T03:04:05+2":               "",
		"2024-01-02T03:04:05+02:00:00":        "",
		"２０２４-01-02":                          "",
		"2024-01-02T03:04:05.123456789012345": "2024-01-02T03:04:05.123456Z",
	} {
		got, ok := tabular.ParseTime(s)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("%q: got %v %v, want %s", s, got, ok, want)
		}
	}
}

// TestParseTimeAgreesWithStandardLibrary reads random instants in the layouts that package time writes.
func TestParseTimeAgreesWithStandardLibrary(t *testing.T) {
	layouts := []string{time.RFC3339Nano, time.RFC3339, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.000-0700", time.DateOnly, "2006-01-02 15:04:05.000000000-07"}
	rapid.Check(t, func(rt *rapid.T) {
		zone := time.FixedZone("", 3600*rapid.IntRange(-14, 14).Draw(rt, "zone"))
		instant := time.Unix(rapid.Int64Range(-60_000_000_000, 250_000_000_000).Draw(rt, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(rt, "nanos")).In(zone)
		layout := rapid.SampledFrom(layouts).Draw(rt, "layout")
		s := instant.Format(layout)
		want, err := time.Parse(layout, s)
		if err != nil {
			rt.Skip("the year does not fit the layout")
		}
		floor := math.Floor(float64(want.Nanosecond()) / 1000)
		got, ok := tabular.ParseTime(s)
		if !ok || int64(got) != want.Unix()*1_000_000+int64(floor) {
			rt.Fatalf("%q: got %v %v, want %v", s, got, ok, want.UTC())
		}
	})
}

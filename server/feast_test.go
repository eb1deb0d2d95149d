package server

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/asof-store/asof/feature"
	feastserving "github.com/asof-store/asof/proto/feast/serving"
	feasttypes "github.com/asof-store/asof/proto/feast/types"
)

const feastPath = "/get-online-features"

// TestFeastWire asks with a client that knows nothing of this module: every status, and the times beside values.
func TestFeastWire(t *testing.T) {
	m := testModel()
	c := newFeastClient(t, start(t, newStore(t, m), func() *Model { return m }, Options{Now: clockAt(50 * hour), Version: "v9"}).conn)
	info, err := c.call(context.Background(), "GetFeastServingInfo", c.empty("GetFeastServingInfo"))
	if err != nil || info.Get(info.Descriptor().Fields().ByNumber(1)).String() != "v9" {
		t.Errorf("info: %v, %v", info, err)
	}
	customers := feastInput{fieldCustomer, "int64_val", []any{int64(1), int64(2), int64(3), int64(9)}}
	for name, r := range map[string]struct {
		request *feastRequestMessage
		want    string
	}{
		"statuses": {c.request("", []string{"profile:age", "profile:city"}, false, []feastInput{customers}, nil),
			"customer_id: 1 PRESENT@00 2 PRESENT@00 3 PRESENT@00 9 PRESENT@00; " +
				"age: 30 PRESENT@20 NULL NULL_VALUE@21 NULL OUTSIDE_MAX_AGE@01 NULL NOT_FOUND@00; " +
				"city: Rome PRESENT@20 ? NULL_VALUE@21 ? OUTSIDE_MAX_AGE@01 ? NOT_FOUND@00"},
		"full names": {c.request("", []string{"profile:age", "world:rate"}, true, []feastInput{{fieldCustomer, "int32_val", []any{int32(1)}}}, nil),
			"customer_id: 1 PRESENT@00; profile__age: 30 PRESENT@20; world__rate: 0.5 PRESENT@20"},
		"request context": {c.request("priced", nil, false, []feastInput{{fieldCustomer, "int64_val", []any{int64(1)}}}, []feastInput{{"amount", "double_val", []any{8.0}}}),
			"customer_id: 1 PRESENT@00; local: 4 PRESENT@00; age: 30 PRESENT@20"},
		"fields among entities": {c.request("priced", nil, true, []feastInput{{"amount", "int32_val", []any{int32(8)}}, {fieldCustomer, "int64_val", []any{int64(1)}}}, nil),
			"customer_id: 1 PRESENT@00; price__local: 4 PRESENT@00; profile__age: 30 PRESENT@20"},
		"no entity":             {c.request("global", nil, false, nil, nil), "rate: 0.5 PRESENT@20"},
		"rows of no entity":     {c.request("global", nil, false, []feastInput{{"__dummy_id", "string_val", []any{"", ""}}}, nil), "rate: 0.5 PRESENT@20 0.5 PRESENT@20"},
		"no rows of no entity":  {c.request("global", nil, false, []feastInput{{"__dummy_id", "string_val", nil}}, nil), "rate:"},
		"the same feature once": {c.request("", []string{"world:rate"}, false, nil, nil), "rate: 0.5 PRESENT@20"},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := c.call(context.Background(), "GetOnlineFeatures", r.request)
			if err != nil {
				t.Fatal(err)
			}
			columns, err := feastTexts(answer)
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, column := range columns {
				text := column.name + ":"
				for row, value := range column.values {
					text += fmt.Sprintf(" %s %s@%s", value, column.statuses[row], column.times[row][len("1970-01-01T"):][:2])
				}
				texts = append(texts, text)
			}
			if got := strings.Join(texts, "; "); got != r.want {
				t.Errorf("got  %s\nwant %s", got, r.want)
			}
		})
	}
}

// TestFeastOrder: key columns are answered in the request's order, over gRPC too, where Feast has a map.
func TestFeastOrder(t *testing.T) {
	m := testModel()
	s := start(t, newStore(t, m), func() *Model { return m }, Options{})
	h := web(t, newStore(t, m), m, Options{})
	country := &feastserving.Column{Key: "country", Value: &feasttypes.RepeatedValue{Val: []*feasttypes.Value{{Val: &feasttypes.Value_StringVal{StringVal: "IT"}}}}}
	number := &feastserving.Column{Key: "number", Value: &feasttypes.RepeatedValue{Val: []*feasttypes.Value{{Val: &feasttypes.Value_Int64Val{Int64Val: 7}}}}}
	for want, columns := range map[string][]*feastserving.Column{"[country number risk]": {country, number}, "[number country risk]": {number, country}} {
		r, err := feastserving.NewServingServiceClient(s.conn).GetOnlineFeatures(context.Background(),
			&feastserving.GetOnlineFeaturesRequest{Kind: &feastserving.GetOnlineFeaturesRequest_FeatureService{FeatureService: "terminals"}, Entities: columns})
		if got := fmt.Sprint(r.GetMetadata().GetFeatureNames().GetVal()); err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
		text := map[string]string{"country": `"country":["IT"]`, "number": `"number":[7]`}
		_, got := call(h, "POST", feastPath, fmt.Sprintf(`{"feature_service":"terminals","entities":{%s,%s}}`, text[columns[0].GetKey()], text[columns[1].GetKey()]))
		if names := strings.NewReplacer("[", `["`, " ", `","`, "]", `"]`).Replace(want); !strings.HasPrefix(got, `{"metadata":{"feature_names":`+names) {
			t.Errorf("got %s, want %s", got, names)
		}
	}
}

// TestFeastHTTP answers requests as Feast's Python client sends them, byte for byte as that client reads answers.
func TestFeastHTTP(t *testing.T) {
	m := testModel()
	h := web(t, newStore(t, m), m, Options{Now: clockAt(50*hour + 1)})
	const epoch = `"1970-01-01T00:00:00Z"`
	for name, c := range map[string]struct{ body, want string }{
		"features of feast 0.67": {`{"entities": {"customer_id": [1, 3]}, "full_feature_names": false, "include_feature_view_version_metadata": false, "features": ["profile:age", "profile:city"]}`,
			`{"metadata":{"feature_names":["customer_id","age","city"]},"results":[` +
				`{"values":[1,3],"statuses":["PRESENT","PRESENT"],"event_timestamps":[` + epoch + `,` + epoch + `]},` +
				`{"values":[30,null],"statuses":["PRESENT","OUTSIDE_MAX_AGE"],"event_timestamps":["1970-01-01T20:00:00Z","1970-01-01T01:00:00Z"]},` +
				`{"values":["Rome","?"],"statuses":["PRESENT","OUTSIDE_MAX_AGE"],"event_timestamps":["1970-01-01T20:00:00Z","1970-01-01T01:00:00Z"]}]}`},
		"service of feast 0.67": {`{"entities": {"customer_id": [2], "amount": [0.5]}, "full_feature_names": false, "include_feature_view_version_metadata": false, "feature_service": "priced"}`,
			`{"metadata":{"feature_names":["customer_id","local","age"]},"results":[{"values":[2],"statuses":["PRESENT"],"event_timestamps":[` + epoch + `]},` +
				`{"values":[0.25],"statuses":["PRESENT"],"event_timestamps":[` + epoch + `]},{"values":[null],"statuses":["NULL_VALUE"],"event_timestamps":["1970-01-01T21:00:00Z"]}]}`},
		"no entity, feast 0.67": {`{"entities": {}, "full_feature_names": false, "include_feature_view_version_metadata": false, "features": ["world:rate"]}`,
			`{"metadata":{"feature_names":["rate"]},"results":[{"values":[0.5],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T20:00:00Z"]}]}`},
		"no entity, feast 0.40": {`{"features": ["world:rate"], "entities": {"__dummy_id": [""]}}`,
			`{"metadata":{"feature_names":["rate"]},"results":[{"values":[0.5],"statuses":["PRESENT"],"event_timestamps":["1970-01-01T20:00:00Z"]}]}`},
		"the context apart": {`{"feature_service": "priced", "entities": {"customer_id": [null]}, "request_context": {"amount": [4]}, "full_feature_names": true}`,
			`{"metadata":{"feature_names":["customer_id","price__local","profile__age"]},"results":[{"values":[null],"statuses":["PRESENT"],"event_timestamps":[` + epoch + `]},` +
				`{"values":[2.0],"statuses":["PRESENT"],"event_timestamps":[` + epoch + `]},{"values":[null],"statuses":["NOT_FOUND"],"event_timestamps":[` + epoch + `]}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if code, got := call(h, "POST", feastPath, c.body); code != 200 || got != c.want {
				t.Errorf("%d %s\nwant %s", code, got, c.want)
			}
		})
	}
}

// TestFeastLooks: what a client of Feast's feature server tells types by. An integer is a number however great, a float has a point, and a time has
// the digits that it needs in threes.
func TestFeastLooks(t *testing.T) {
	m := protocolModel(t)
	store := protocolStore(t, m)
	h := web(t, store, m, Options{Now: clockAt(100 * hour)})
	_, got := call(h, "POST", feastPath, `{"features": ["types:int64", "types:float64", "lists:int64s", "lists:float32s"], "entities": {"id": [9007199254740993, 6, 1]}}`)
	const times = `["1970-01-04T18:00:01.500Z","1970-01-04T18:00:00.000001Z","1970-01-04T18:00:00Z"]`
	for _, want := range []string{
		`{"values":[9007199254740993,6,1],"statuses":["PRESENT","PRESENT","PRESENT"],"event_timestamps":["1970-01-01T00:00:00Z","1970-01-01T00:00:00Z","1970-01-01T00:00:00Z"]}`,
		`{"values":[9223372036854775807,-9007199254740993,9007199254740993],"statuses":["PRESENT","PRESENT","PRESENT"],"event_timestamps":` + times + `}`,
		`{"values":["Infinity",5e-324,0.1],"statuses":["PRESENT","PRESENT","PRESENT"],"event_timestamps":` + times + `}`,
		`{"values":[null,null,[9007199254740993,-9007199254740993]],`, `{"values":[null,null,[1.0,0.1]],`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	if _, got := call(h, "POST", feastPath, `{"feature_service": "moments", "entities": {"at": [1700000000, "2023-11-14T22:13:20Z", 1700000000.5], "open": [true, true, true], "code": ["AQI=", "AQI=", "AQI="]}}`); !strings.Contains(got, "entities.at: row 2: 1700000000.5 is no timestamp") {
		t.Error(got)
	}
	if _, got := call(h, "POST", feastPath, `{"feature_service": "moments", "entities": {"at": [1700000000, "2023-11-14T22:13:20Z", 1.7e9, 17], "open": [true, true, true, true], "code": ["AQI=", "AQI=", "AQI=", "AQI="]}}`); !strings.Contains(got, `{"values":[8,8,8,null]`) {
		t.Error(got)
	}
	if list, err := readFeastList([]byte(`[[1, "1970-01-01T00:00:02Z"], null]`), feature.ListOf(feature.Timestamp)); err != nil || list.String() != "[[1000000 2000000] (null)]" {
		t.Errorf("%v, %v", list, err)
	}
	s := start(t, store, func() *Model { return m }, Options{Now: clockAt(100 * hour)})
	c := newFeastClient(t, s.conn)
	answer, err := c.call(context.Background(), "GetOnlineFeatures", c.request("", []string{"types:int64"}, false, []feastInput{{"id", "int64_val", []any{int64(beyond), int64(6), int64(1)}}}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if columns, err := feastTexts(answer); err != nil || fmt.Sprint(columns[1].times) != "[1970-01-04T18:00:01.5Z 1970-01-04T18:00:00.000001Z 1970-01-04T18:00:00Z]" {
		t.Errorf("over gRPC: %v, %v", columns, err)
	}
}

// TestFeastBadRequests sends what cannot be answered, over gRPC and over HTTP.
func TestFeastBadRequests(t *testing.T) {
	m := testModel()
	options := Options{Now: clockAt(50 * hour), MaxValues: 8, MaxRequestBytes: 1 << 20}
	c := newFeastClient(t, start(t, newStore(t, m), func() *Model { return m }, options).conn)
	h := web(t, newStore(t, m), m, options)
	customers := func(values ...any) []feastInput { return []feastInput{{fieldCustomer, "int64_val", values}} }
	both := func(values ...any) []feastInput {
		return append(customers(values...), feastInput{"payee_id", "int64_val", values})
	}
	million := strings.Repeat("1,", 1_000_000)
	for name, r := range map[string]struct {
		request *feastRequestMessage // nil: over HTTP alone
		body    string               // "": over gRPC alone
		code    codes.Code
		http    int
		says    string
	}{
		"nothing":          {c.request("", nil, false, nil, nil), `{}`, codes.InvalidArgument, 400, "nothing is asked for"},
		"no features":      {c.request("", []string{}, false, nil, nil), `{"features": []}`, codes.InvalidArgument, 400, "nothing is asked for"},
		"unknown service":  {c.request("fraud_v2", nil, false, nil, nil), `{"feature_service": "fraud_v2"}`, codes.NotFound, 404, "did you mean fraud_v1?"},
		"unknown view":     {c.request("", []string{"profil:age"}, false, nil, nil), `{"features": ["profil:age"]}`, codes.NotFound, 404, "did you mean profile?"},
		"unknown feature":  {c.request("", []string{"profile:agee"}, false, nil, nil), `{"features": ["profile:agee"]}`, codes.NotFound, 404, "did you mean age?"},
		"other form":       {c.request("", []string{"profile.age"}, false, nil, nil), `{"features": ["profile.age"]}`, codes.InvalidArgument, 400, "is not of the form view:feature"},
		"twice":            {c.request("", []string{"world:rate", "world:rate"}, false, nil, nil), `{"features": ["world:rate", "world:rate"]}`, codes.InvalidArgument, 400, "features[1]: world.rate is features[0] already"},
		"missing key":      {c.request("fraud_v1", nil, false, customers(int64(1)), nil), `{"feature_service": "fraud_v1", "entities": {"customer_id": [1]}}`, codes.InvalidArgument, 400, "needs the key column payee_id (int64)"},
		"unknown key":      {c.request("global", nil, false, customers(int64(1)), nil), `{"feature_service": "global", "entities": {"customer_id": [1]}}`, codes.InvalidArgument, 400, "entities.customer_id: service global has no column"},
		"missing field":    {c.request("priced", nil, false, customers(int64(1)), nil), `{"feature_service": "priced", "entities": {"customer_id": [1]}}`, codes.InvalidArgument, 400, "needs the request field amount (float64)"},
		"wrong type":       {c.request("fraud_v1", nil, false, []feastInput{{fieldCustomer, "string_val", []any{"7"}}}, nil), ``, codes.InvalidArgument, 0, "entities.customer_id: value 0 is string_val 7, not int64"},
		"wrong JSON type":  {nil, `{"feature_service": "fraud_v1", "entities": {"customer_id": [1, "x"]}}`, 0, 400, `entities.customer_id: row 1: \"x\" is no int64`},
		"wrong field type": {c.request("priced", nil, false, customers(int64(1)), []feastInput{{"amount", "bool_val", []any{true}}}), `{"feature_service": "priced", "request_context": {"amount": [true]}}`, codes.InvalidArgument, 400, "request_context.amount: "},
		"unequal":          {c.request("fraud_v1", nil, false, append(customers(int64(1), int64(2)), feastInput{"payee_id", "int64_val", []any{int64(1)}}), nil), `{"feature_service": "fraud_v1", "entities": {"customer_id": [1, 2], "payee_id": [1]}}`, codes.InvalidArgument, 400, "all need the same number"},
		"column twice":     {c.request("global", nil, false, []feastInput{{"__dummy_id", "string_val", []any{""}}}, customers(int64(1))), `{"feature_service": "terminals", "entities": {"country": ["IT"], "number": [1], "country": ["IT"]}}`, codes.InvalidArgument, 400, "column"},
		"too many values":  {c.request("fraud_v1", nil, false, both(int64(1), int64(2), int64(3)), nil), `{"feature_service": "fraud_v1", "entities": {"customer_id": [1,2,3], "payee_id": [1,2,3]}}`, codes.InvalidArgument, 400, "more than the 8 values of one request: ask for 2 rows at a time"},
		"too many rows":    {c.request("global", nil, false, []feastInput{{"__dummy_id", "string_val", make([]any, 9)}}, nil), `{"feature_service": "global", "entities": {"__dummy_id": [1,1,1,1,1,1,1,1,1]}}`, codes.InvalidArgument, 400, ""},
		"too large":        {c.request("", []string{strings.Repeat("x", 2<<20)}, false, nil, nil), `{"features": ["` + strings.Repeat("x", 2<<20) + `"]}`, codes.ResourceExhausted, 413, ""},
		"ten million keys": {nil, `{"feature_service": "fraud_v1", "entities": {"customer_id": [` + strings.Repeat(million, 10) + `1]}}`, 0, 413, "more than the 1048576 bytes that one may have"},
		"many names":       {c.request("", slices.Repeat([]string{"x"}, 10_000), false, nil, nil), `{"features": [` + strings.Repeat(`"x",`, 10_000) + `"x"]}`, codes.InvalidArgument, 400, "(and 9 more)"},
		"many columns":     {nil, `{"feature_service": "global", "entities": {` + strings.Repeat(`"x": 1, `, 1_000) + `"y": 1}}`, 0, 400, "entities.y: the request has 1001 columns, it may have 1000"},
		"no JSON":          {nil, `features=`, 0, 400, "the body is no request in JSON"},
		"empty":            {nil, ``, 0, 400, "the body is no request in JSON"},
		"cut off":          {nil, `{"features": ["profile`, 0, 400, "the body is no request in JSON"},
		"two":              {nil, `{} {}`, 0, 400, "more follows after its end"},
		"deep":             {nil, `{"entities": {"customer_id": ` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}`, 0, 400, "exceeded max depth"},
		"deep elsewhere":   {nil, `{"more": ` + strings.Repeat(`{"a":`, 20_000), 0, 400, "exceeded max depth"},
		"features a text":  {nil, `{"features": "profile:age"}`, 0, 400, "features: this is no place for JSON of kind string"},
		"entities a list":  {nil, `{"features": ["profile:age"], "entities": [1]}`, 0, 400, "entities and request_context are objects of lists"},
		"values a number":  {nil, `{"features": ["profile:age"], "entities": {"customer_id": 1}}`, 0, 400, "entities.customer_id: 1 is no list"},
		"an object within": {nil, `{"features": ["profile:age"], "entities": {"customer_id": [{"int64_val": 1}]}}`, 0, 400, "is no int64"},
	} {
		t.Run(name, func(t *testing.T) {
			if r.request != nil {
				_, err := c.call(context.Background(), "GetOnlineFeatures", r.request)
				if st := status.Convert(err); st.Code() != r.code || !strings.Contains(st.Message(), r.says) {
					t.Errorf("gRPC: %v: %.300s, want %v: ...%s...", st.Code(), st.Message(), r.code, r.says)
				}
			}
			if r.body == "" && name != "empty" {
				return
			}
			code, got := call(h, "POST", feastPath, r.body)
			var told struct{ Detail string }
			if err := json.Unmarshal([]byte(got), &told); err != nil || code != r.http || told.Detail == "" || !strings.Contains(got, r.says) {
				t.Errorf("HTTP: %d %.300s, want %d: ...%s...", code, got, r.http, r.says)
			}
		})
	}
	if code, got := call(h, "POST", feastPath, `{"feature_service": "global"}`); code != 200 {
		t.Errorf("after all of them a request is answered %d %s", code, got)
	}
}

// TestFeastNames: features of one name need full names.
func TestFeastNames(t *testing.T) {
	m := testModel()
	m.Views["terminal"].Features[0].Name = "rate"
	h := web(t, newStore(t, m), m, Options{})
	body := `{"features": ["world:rate", "terminal:rate"], "entities": {"country": ["IT"], "number": [1]}`
	if code, got := call(h, "POST", feastPath, body+`}`); code != 400 || !strings.Contains(got, "features[1]: the name rate is taken twice, by world:rate and by terminal:rate: ask with full_feature_names") {
		t.Errorf("%d %s", code, got)
	}
	if _, got := call(h, "POST", feastPath, body+`, "full_feature_names": true}`); !strings.Contains(got, `["country","number","world__rate","terminal__rate"]`) {
		t.Error(got)
	}
}

// TestFeastValues reads values as columns of each type: what fits is taken, whatever field of Value it came in.
func TestFeastValues(t *testing.T) {
	i32 := func(v int32) *feasttypes.Value {
		return &feasttypes.Value{Val: &feasttypes.Value_Int32Val{Int32Val: v}}
	}
	i64 := func(v int64) *feasttypes.Value {
		return &feasttypes.Value{Val: &feasttypes.Value_Int64Val{Int64Val: v}}
	}
	f64 := func(v float64) *feasttypes.Value {
		return &feasttypes.Value{Val: &feasttypes.Value_DoubleVal{DoubleVal: v}}
	}
	f32 := func(v float32) *feasttypes.Value {
		return &feasttypes.Value{Val: &feasttypes.Value_FloatVal{FloatVal: v}}
	}
	seconds := func(v int64) *feasttypes.Value {
		return &feasttypes.Value{Val: &feasttypes.Value_UnixTimestampVal{UnixTimestampVal: v}}
	}
	doubles := &feasttypes.Value{Val: &feasttypes.Value_DoubleListVal{DoubleListVal: &feasttypes.DoubleList{Val: []float64{1, 0.1}}}}
	text := &feasttypes.Value{Val: &feasttypes.Value_StringVal{StringVal: "a"}}
	for _, c := range []struct {
		of     feature.Type
		values []*feasttypes.Value
		want   string // the column, or what is wrong
	}{
		{feature.Scalar(feature.Int64), []*feasttypes.Value{i32(-1), i64(beyond), f64(7), f64(-beyond + 2), nil, {}, {Val: &feasttypes.Value_NullVal{}}}, "[-1 9007199254740993 7 -9007199254740991 (null) (null) (null)]"},
		{feature.Scalar(feature.Int32), []*feasttypes.Value{i64(math.MaxInt32), i64(math.MinInt32), f64(1e9)}, "[2147483647 -2147483648 1000000000]"},
		{feature.Scalar(feature.Int32), []*feasttypes.Value{i64(1), i64(math.MaxInt32 + 1)}, "value 1 is int64_val 2147483648, not int32"},
		{feature.Scalar(feature.Int64), []*feasttypes.Value{f64(0.5)}, "value 0 is double_val 0.5, not int64"},
		{feature.Scalar(feature.Int64), []*feasttypes.Value{f64(1 << 54)}, "value 0 is double_val 1.8014398509481984e+16, not int64"},
		{feature.Scalar(feature.Int64), []*feasttypes.Value{f64(math.NaN())}, "value 0 is double_val NaN, not int64"},
		{feature.Scalar(feature.Int64), []*feasttypes.Value{seconds(1)}, "value 0 is unix_timestamp_val 1, not int64"},
		{feature.Scalar(feature.Float64), []*feasttypes.Value{f64(0.1), f32(0.5), i64(beyond - 2), f64(math.Inf(1))}, "[0.1 0.5 9.007199254740991e+15 +Inf]"},
		{feature.Scalar(feature.Float64), []*feasttypes.Value{i64(beyond)}, "value 0 is int64_val 9007199254740993, not float64"},
		{feature.Scalar(feature.Float32), []*feasttypes.Value{f64(0.1), f64(math.Inf(-1)), i32(3)}, "[0.1 -Inf 3]"},
		{feature.Scalar(feature.Float32), []*feasttypes.Value{f64(1e300)}, "value 0 is double_val 1e+300, not float32"},
		{feature.Scalar(feature.Timestamp), []*feasttypes.Value{seconds(-1), i64(2)}, "[-1000000 2000000]"},
		{feature.Scalar(feature.Timestamp), []*feasttypes.Value{seconds(math.MaxInt64/1_000_000 + 1)}, "value 0 is unix_timestamp_val 9223372036855, not timestamp"},
		{feature.Scalar(feature.Timestamp), []*feasttypes.Value{seconds(math.MinInt64/1_000_000 - 1)}, "not timestamp"},
		{feature.Scalar(feature.String), []*feasttypes.Value{text, i64(7)}, "value 1 is int64_val 7, not string"},
		{feature.Scalar(feature.Bytes), []*feasttypes.Value{text}, "value 0 is string_val a, not bytes"},
		{feature.Scalar(feature.Bool), []*feasttypes.Value{{Val: &feasttypes.Value_BoolVal{BoolVal: true}}, i32(1)}, "value 1 is int32_val 1, not bool"},
		{feature.ListOf(feature.Float32), []*feasttypes.Value{doubles, nil, {Val: &feasttypes.Value_FloatListVal{FloatListVal: &feasttypes.FloatList{}}}}, "[[1 0.1] (null) []]"},
		{feature.ListOf(feature.Int64), []*feasttypes.Value{doubles}, "value 0 is double_list_val, not list<int64>"},
		{feature.ListOf(feature.Int64), []*feasttypes.Value{i64(1)}, "value 0 is int64_val 1, not list<int64>"},
		{feature.Scalar(feature.Float64), []*feasttypes.Value{doubles}, "not float64"},
		{feature.Scalar(feature.String), []*feasttypes.Value{{Val: &feasttypes.Value_BytesVal{BytesVal: make([]byte, 1000)}}}, "..., not string"},
	} {
		column, err := readFeastValues(c.values, c.of)
		got := fmt.Sprint(err)
		if err == nil {
			got = column.String()
		}
		if !strings.Contains(got, c.want) || (err == nil) != strings.HasPrefix(c.want, "[") || len(got) > 200 {
			t.Errorf("%v as %s: %s, want %s", c.values, c.of, got, c.want)
		}
	}
}

// TestFeastListWithNull: Feast's protobuf lists have no place for a NULL, which is refused rather than made up; its JSON has one.
func TestFeastListWithNull(t *testing.T) {
	b := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Int64)
	b.AppendNull()
	b.Append(true)
	b.ValueBuilder().(*array.Int64Builder).AppendValues([]int64{1, 0}, []bool{true, false})
	b.Append(true)
	b.ValueBuilder().(*array.Int64Builder).Append(5)
	lists := b.NewArray()
	if _, err := writeFeast([]feastVector{{name: "f", values: lists}}); codeOf(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "f: row 1 is a list with a NULL in it") {
		t.Errorf("%v", err)
	}
	if got := string(appendFeastJSON(nil, lists, 1)); got != "[1,null]" {
		t.Error(got)
	}
	whole := array.NewSlice(lists, 2, 3)
	if values, err := writeFeastValues(whole); err != nil || fmt.Sprint(values[0].GetInt64ListVal().GetVal()) != "[5]" {
		t.Errorf("beside it: %v, %v", values, err)
	}
}

// FuzzFeastRequest sends any bytes as a request over gRPC: it is answered, one value for each row, or refused as the caller's mistake.
func FuzzFeastRequest(f *testing.F) {
	m := testModel()
	s := start(f, newStore(f, m), func() *Model { return m }, Options{Now: clockAt(50 * hour)})
	c := newFeastClient(f, s.conn)
	for _, r := range []proto.Message{
		c.request("fraud_v1", nil, true, []feastInput{{fieldCustomer, "int64_val", []any{int64(1), nil}}, {"payee_id", "double_val", []any{1.0, 2.0}}}, nil),
		c.request("", []string{"profile:age", "price:local"}, false, []feastInput{{fieldCustomer, "int32_val", []any{int32(1)}}}, []feastInput{{"amount", "float_val", []any{float32(2)}}}),
		c.request("terminals", nil, false, []feastInput{{"country", "string_val", []any{"IT"}}, {"number", "int64_list_val", []any{[]any{int64(7)}}}}, nil),
		c.request("global", nil, false, []feastInput{{"__dummy_id", "string_val", []any{"", ""}}}, nil),
	} {
		wire, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		req := &feastserving.GetOnlineFeaturesRequest{}
		if proto.Unmarshal(wire, req) != nil {
			return
		}
		answer, err := feastserving.NewServingServiceClient(s.conn).GetOnlineFeatures(context.Background(), req)
		switch status.Code(err) {
		case codes.InvalidArgument, codes.NotFound, codes.Unavailable:
		case codes.OK:
			rows := len(answer.GetResults()[0].GetValues())
			for _, v := range answer.GetResults() {
				if len(v.GetValues()) != rows || len(v.GetStatuses()) != rows || len(v.GetEventTimestamps()) != rows || len(answer.GetResults()) != len(answer.GetMetadata().GetFeatureNames().GetVal()) {
					t.Errorf("%v is answered with %v", req, answer)
				}
			}
		default:
			t.Errorf("%v: %v", req, err)
		}
	})
}

// FuzzFeastJSON sends any text as a request over HTTP: it is answered with JSON, or refused with JSON, as the caller's mistake.
func FuzzFeastJSON(f *testing.F) {
	m := testModel()
	h := web(f, newStore(f, m), m, Options{Now: clockAt(50 * hour)})
	for _, text := range []string{
		`{"feature_service": "fraud_v1", "entities": {"customer_id": [1, "3", null], "payee_id": [2.0, 1e0, 9]}, "full_feature_names": true}`,
		`{"features": ["profile:age", "price:local"], "entities": {"customer_id": [1]}, "request_context": {"amount": ["NaN"]}}`,
		`{"features": ["world:rate"], "entities": {"__dummy_id": ["", ""]}}`,
		`{"feature_service": "terminals", "entities": {"country": ["IT"], "number": [[7]]}}`, `{"entities": null}`, `[]`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, got := call(h, "POST", feastPath, text)
		if code != 200 && code != 400 && code != 404 && code != 503 || !json.Valid([]byte(got)) {
			t.Errorf("%q is answered %d %s", text, code, got)
		}
	})
}

// BenchmarkFeast asks as BenchmarkGetFeatures does, in Feast's shape: 100 keys of 4 features over an in-memory connection.
//
//	go test ./server -run='^$' -bench=Feast -benchmem
func BenchmarkFeast(b *testing.B) {
	m := testModel()
	s := start(b, newStore(b, m), func() *Model { return m }, Options{Now: clockAt(24 * hour)})
	ids := &feasttypes.RepeatedValue{Val: each(100, func(i int) *feasttypes.Value {
		return &feasttypes.Value{Val: &feasttypes.Value_Int64Val{Int64Val: int64(i % 5)}}
	})}
	req := &feastserving.GetOnlineFeaturesRequest{Kind: &feastserving.GetOnlineFeaturesRequest_FeatureService{FeatureService: "fraud_v1"},
		Entities: []*feastserving.Column{{Key: fieldCustomer, Value: ids}, {Key: "payee_id", Value: ids}}}
	client := feastserving.NewServingServiceClient(s.conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.GetOnlineFeatures(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
)

func invocations(service string) string { return "/serving-endpoints/" + service + "/invocations" }

// TestDatabricks answers tables in both of their forms, byte for byte.
func TestDatabricks(t *testing.T) {
	m := testModel()
	m.Views["profile"].Features[0].Default = int64(-5)
	h := web(t, newStore(t, m), m, Options{Now: clockAt(50 * hour)})
	for name, c := range map[string]struct{ service, body, want string }{
		"records": {"fraud_v1", `{"dataframe_records": [{"customer_id": 1, "payee_id": 2}, {"payee_id": 1, "customer_id": 9}]}`,
			`{"outputs":[{"city":"Rome","age":30,"rate":0.5,"payee__city":"?"},{"city":"?","age":-5,"rate":0.5,"payee__city":"Rome"}]}`},
		"split": {"fraud_v1", `{"dataframe_split": {"index": [7, 8], "columns": ["payee_id", "customer_id"], "data": [[2, 1], [1, 9]]}}`,
			`{"outputs":[{"city":"Rome","age":30,"rate":0.5,"payee__city":"?"},{"city":"?","age":-5,"rate":0.5,"payee__city":"Rome"}]}`},
		"request fields":        {"priced", `{"dataframe_records": [{"customer_id": 1, "amount": 8}, {"customer_id": 2, "amount": null}]}`, `{"outputs":[{"local":4,"age":30},{"local":-1,"age":-5}]}`},
		"params beside":         {"global", `{"dataframe_records": [{}], "params": {"a": [1]}, "client_request_id": "x"}`, `{"outputs":[{"rate":0.5}]}`},
		"rows of no columns":    {"global", `{"dataframe_split": {"columns": [], "data": [[], []]}}`, `{"outputs":[{"rate":0.5},{"rate":0.5}]}`},
		"no rows":               {"fraud_v1", `{"dataframe_records": []}`, `{"outputs":[]}`},
		"no rows with columns":  {"fraud_v1", `{"dataframe_split": {"columns": ["customer_id", "payee_id"], "data": []}}`, `{"outputs":[]}`},
		"no rows of no columns": {"global", `{"dataframe_records": []}`, `{"outputs":[]}`},
		"a column overrides":    {"fraud_v1", `{"dataframe_split": {"columns": ["payee_id", "customer_id", "age"], "data": [[2, 1, 7], [1, 9, 8]]}}`, `{"outputs":[{"city":"Rome","age":7,"rate":0.5,"payee__city":"?"},{"city":"?","age":8,"rate":0.5,"payee__city":"Rome"}]}`},
		"in the rows that have it": {"fraud_v1", `{"dataframe_records": [{"customer_id": 1, "payee_id": 2, "payee__city": "Bern"}, {"customer_id": 1, "payee_id": 1, "age": 8}]}`,
			`{"outputs":[{"city":"Rome","age":30,"rate":0.5,"payee__city":"Bern"},{"city":"Rome","age":8,"rate":0.5,"payee__city":"Rome"}]}`},
		"NULL overrides too":       {"fraud_v1", `{"dataframe_records": [{"customer_id": 1, "payee_id": 1, "age": null, "rate": null}]}`, `{"outputs":[{"city":"Rome","age":-5,"rate":null,"payee__city":"Rome"}]}`},
		"computed ones too":        {"priced", `{"dataframe_records": [{"customer_id": 1, "amount": 8, "local": 1.5}, {"customer_id": 1, "amount": 8}]}`, `{"outputs":[{"local":1.5,"age":30},{"local":4,"age":30}]}`},
		"rows of overrides alone":  {"global", `{"dataframe_records": [{"rate": "Infinity"}, {}]}`, `{"outputs":[{"rate":"Infinity"},{"rate":0.5}]}`},
		"numbers beyond float64's": {"fraud_v1", `{"dataframe_records": [{"customer_id": "1", "payee_id": 1.0, "age": 9007199254740993}]}`, `{"outputs":[{"city":"Rome","age":"9007199254740993","rate":0.5,"payee__city":"Rome"}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			if code, got := call(h, "POST", invocations(c.service), c.body); code != 200 || got != c.want {
				t.Errorf("%d %s\nwant %s", code, got, c.want)
			}
		})
	}
}

// TestDatabricksFeedsOnDemand: what a caller sends for a feature is what on-demand features are computed from.
func TestDatabricksFeedsOnDemand(t *testing.T) {
	m := protocolModel(t)
	h := web(t, protocolStore(t, m), m, Options{Now: clockAt(100 * hour)})
	body := `{"dataframe_records": [{"id": 1, "bonus": 1}, {"id": 1, "bonus": 1, "n": 100}, {"id": 1, "bonus": 1, "n": null}, {"id": 1, "bonus": 1, "double": 6}]}`
	want := `{"outputs":[{"n":5,"tags":["a"],"double":11,"negative":-11},{"n":100,"tags":["a"],"double":201,"negative":-201},` +
		`{"n":-1,"tags":["a"],"double":-1,"negative":1},{"n":5,"tags":["a"],"double":6,"negative":-6}]}`
	if code, got := call(h, "POST", invocations("sums"), body); code != 200 || got != want {
		t.Errorf("%d %s\nwant %s", code, got, want)
	}
}

func TestDatabricksBadRequests(t *testing.T) {
	m := testModel()
	h := web(t, newStore(t, m), m, Options{Now: clockAt(50 * hour), MaxValues: 8, MaxRequestBytes: 1 << 20})
	records := func(rows string) string { return `{"dataframe_records": [` + rows + `]}` }
	split := func(columns, data string) string {
		return `{"dataframe_split": {"columns": [` + columns + `], "data": [` + data + `]}}`
	}
	const row = `{"customer_id": 1, "payee_id": 1}`
	for name, c := range map[string]struct {
		service, body string
		http          int
		code, says    string
	}{
		"unknown service":    {"fraud_v2", records(row), 404, "RESOURCE_DOES_NOT_EXIST", "did you mean fraud_v1?"},
		"no service":         {"%20", records(row), 404, "RESOURCE_DOES_NOT_EXIST", "there is no service"},
		"nothing":            {"fraud_v1", `{}`, 400, "INVALID_PARAMETER_VALUE", "nothing is asked for: give dataframe_records, or dataframe_split"},
		"tensors":            {"fraud_v1", `{"inputs": [[1]]}`, 400, "INVALID_PARAMETER_VALUE", "nothing is asked for"},
		"both":               {"fraud_v1", `{"dataframe_records": [], "dataframe_split": {}}`, 400, "INVALID_PARAMETER_VALUE", "give one of them"},
		"missing key":        {"fraud_v1", records(`{"customer_id": 1}`), 400, "INVALID_PARAMETER_VALUE", "needs the key column payee_id (int64)"},
		"missing in a row":   {"fraud_v1", records(row + `, {"customer_id": 1}`), 400, "INVALID_PARAMETER_VALUE", "dataframe_records[1]: there is no payee_id, which other rows have"},
		"missing field":      {"priced", records(`{"customer_id": 1}`), 400, "INVALID_PARAMETER_VALUE", "needs the request field amount (float64)"},
		"unknown column":     {"fraud_v1", records(`{"custmer_id": 1, "payee_id": 1}`), 400, "INVALID_PARAMETER_VALUE", `dataframe_records[0].custmer_id: service fraud_v1 has no column and no feature \"custmer_id\", did you mean customer_id?`},
		"unknown in a row":   {"fraud_v1", records(row + `, {"customer_id": 1, "payee_id": 2, "x": 1}`), 400, "INVALID_PARAMETER_VALUE", `dataframe_records[1].x: `},
		"unknown in split":   {"fraud_v1", split(`"customer_id", "x"`, `[1, 2]`), 400, "INVALID_PARAMETER_VALUE", `dataframe_split.columns[1]: service fraud_v1 has no column and no feature \"x\"`},
		"feature misspelt":   {"fraud_v1", records(`{"customer_id": 1, "payee_id": 1, "agee": 1}`), 400, "INVALID_PARAMETER_VALUE", "did you mean age?"},
		"wrong type":         {"fraud_v1", records(row + `, {"customer_id": "x", "payee_id": 1}`), 400, "INVALID_PARAMETER_VALUE", `customer_id: row 1: \"x\" is no int64`},
		"wrong feature":      {"fraud_v1", records(`{"customer_id": 1, "payee_id": 1, "city": 7}`), 400, "INVALID_PARAMETER_VALUE", `city: row 0: 7 is no string`},
		"column twice":       {"fraud_v1", split(`"customer_id", "customer_id"`, `[1, 2]`), 400, "INVALID_PARAMETER_VALUE", "dataframe_split.columns[1]: column customer_id is dataframe_split.columns[0] already"},
		"feature twice":      {"fraud_v1", split(`"customer_id", "payee_id", "age", "age"`, `[1, 2, 3, 4]`), 400, "INVALID_PARAMETER_VALUE", "dataframe_split.columns[3]: column age is dataframe_split.columns[2] already"},
		"too few cells":      {"fraud_v1", split(`"customer_id", "payee_id"`, `[1, 2], [1]`), 400, "INVALID_PARAMETER_VALUE", "dataframe_split.data[1]: it has 1 values, and there are 2 columns"},
		"too many cells":     {"global", split(``, `[1]`), 400, "INVALID_PARAMETER_VALUE", "dataframe_split.data[0]: it has 1 values, and there are 0 columns"},
		"cannot be computed": {"priced", records(`{"customer_id": 1, "amount": 26}`), 400, "INVALID_PARAMETER_VALUE", "13 is no product"},
		"too many values":    {"fraud_v1", records(row + "," + row + "," + row), 400, "INVALID_PARAMETER_VALUE", "3 rows of 4 values are more than one request may ask for: ask for 2 rows at a time"},
		"too many rows":      {"global", split(``, strings.Repeat("[],", 8)+"[]"), 400, "INVALID_PARAMETER_VALUE", "9 rows of 1 values are more than one request may ask for: ask for 8 rows at a time"},
		"ten million keys":   {"fraud_v1", records(strings.Repeat(row+",", 300_000) + row), 413, "RESOURCE_EXHAUSTED", "more than the 1048576 bytes that one may have"},
		"many wrong columns": {"fraud_v1", split(strings.Repeat(`"",`, 200_000)+`""`, ""), 400, "INVALID_PARAMETER_VALUE", "has no column and no feature"},
		"a row of anything":  {"fraud_v1", records(manyNames(50_000)), 400, "INVALID_PARAMETER_VALUE", "(and 9 more)"},
		"no JSON":            {"fraud_v1", `customer_id=1`, 400, "INVALID_PARAMETER_VALUE", "the body is no request in JSON"},
		"empty":              {"fraud_v1", ``, 400, "INVALID_PARAMETER_VALUE", "the body is no request in JSON"},
		"cut off":            {"fraud_v1", `{"dataframe_records": [{"customer_id": 1`, 400, "INVALID_PARAMETER_VALUE", "the body is no request in JSON"},
		"two":                {"fraud_v1", records(row) + records(row), 400, "INVALID_PARAMETER_VALUE", "more follows after its end"},
		"deep":               {"fraud_v1", records(`{"customer_id": ` + strings.Repeat("[", 20_000)), 400, "INVALID_PARAMETER_VALUE", "exceeded max depth"},
		"records no list":    {"fraud_v1", `{"dataframe_records": {"customer_id": [1]}}`, 400, "INVALID_PARAMETER_VALUE", "dataframe_records: this is no place for JSON of kind object"},
		"a row no object":    {"fraud_v1", records(`[1]`), 400, "INVALID_PARAMETER_VALUE", "dataframe_records: this is no place for JSON of kind array"},
		"a row null":         {"fraud_v1", records(`null, ` + row), 400, "INVALID_PARAMETER_VALUE", "dataframe_records[0]: there is no customer_id"},
		"split a list":       {"fraud_v1", `{"dataframe_split": [1]}`, 400, "INVALID_PARAMETER_VALUE", "dataframe_split: this is no place for JSON of kind array"},
	} {
		t.Run(name, func(t *testing.T) {
			code, got := call(h, "POST", invocations(c.service), c.body)
			var told struct {
				Code string `json:"error_code"`
			}
			if err := json.Unmarshal([]byte(got), &told); err != nil || code != c.http || told.Code != c.code || !strings.Contains(got, c.says) || len(got) > 1000 {
				t.Errorf("%d %.500s, want %d: %s ...%s...", code, got, c.http, c.code, c.says)
			}
		})
	}
	if code, got := call(h, "POST", invocations("global"), records(`{}`)); code != 200 {
		t.Errorf("after all of them a request is answered %d %s", code, got)
	}
}

// manyNames is a record of n names that mean nothing.
func manyNames(n int) string {
	record := map[string]int{}
	for i := range n {
		record[string(rune('a'+i%26))+strings.Repeat("x", i%10)+string(rune(0x4e00+i/260))] = i
	}
	text, err := json.Marshal(record)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// TestShapesGuard: a fault of the server reaches clients of Feast's and Databricks' shapes without its detail.
func TestShapesGuard(t *testing.T) {
	m := testModel()
	for _, c := range []struct {
		err        error
		http       int
		code, says string
	}{
		{feature.Errorf(feature.ErrUnavailable, "out of reach"), 503, "TEMPORARILY_UNAVAILABLE", "out of reach"},
		{feature.Errorf(feature.ErrConflict, "first"), 409, "ABORTED", "first"},
		{feature.Errorf(feature.ErrCorrupt, "secret"), 500, "DATA_LOSS", "stored data is damaged"},
		{errors.New("secret"), 500, "INTERNAL_ERROR", "internal error"},
		{context.DeadlineExceeded, 504, "DEADLINE_EXCEEDED", "deadline"},
		{context.Canceled, 499, "CANCELLED", "canceled"},
		{nil, 500, "INTERNAL_ERROR", "internal error"}, // stands for a panic
	} {
		h := web(t, fakeStore{lookup: func(context.Context) (*online.Answer, error) {
			if c.err == nil {
				panic("secret")
			}
			return nil, c.err
		}}, m, Options{})
		for path, body := range map[string]string{feastPath: `{"feature_service": "global"}`, invocations("global"): `{"dataframe_records": [{}]}`} {
			code, got := call(h, "POST", path, body)
			if code != c.http || !strings.Contains(got, c.says) || strings.Contains(got, "secret") || (path != feastPath && !strings.Contains(got, `"`+c.code+`"`)) {
				t.Errorf("%s, %v: %d %s", path, c.err, code, got)
			}
		}
	}
}

// FuzzDatabricksJSON sends any text as a request: it is answered with JSON, or refused with JSON, as the caller's mistake.
func FuzzDatabricksJSON(f *testing.F) {
	m := testModel()
	h := web(f, newStore(f, m), m, Options{Now: clockAt(50 * hour)})
	for _, text := range []string{
		`{"dataframe_records": [{"customer_id": 1, "amount": 8}, {"customer_id": "2", "amount": null, "age": 3}]}`,
		`{"dataframe_split": {"index": [0], "columns": ["customer_id", "amount", "local"], "data": [[1, "NaN", 2.5]]}}`,
		`{"dataframe_split": {"columns": [], "data": [[]]}}`, `{"dataframe_records": [null]}`, `{"dataframe_split": null}`, `[]`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		code, got := call(h, "POST", invocations("priced"), text)
		if code != 200 && code != 400 && code != 503 || !json.Valid([]byte(got)) {
			t.Errorf("%q is answered %d %s", text, code, got)
		}
	})
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"golang.org/x/sync/errgroup"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
)

// web returns what answers over HTTP.
func web(t testing.TB, store Store, m *Model, o Options) http.Handler {
	t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := New(store, func() *Model { return m }, o)
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.handler(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// call makes a request and returns its status and what it is answered.
func call(h http.Handler, method, path, body string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

const getPath = "/v1/features:get"

func TestHTTP(t *testing.T) {
	m := testModel()
	m.Descriptions = map[string]string{"global": "what holds for all"}
	h := web(t, newStore(t, m), m, Options{Now: clockAt(50 * hour), Version: "v9"})
	for name, c := range map[string]struct{ method, path, body, want string }{
		"service": {"POST", getPath, `{"service": "fraud_v1", "keys": {"customer_id": [1, "3", null], "payee_id": [2.0, 1e0, 9]}}`,
			`{"columns":[{"name":"city","values":["Rome","?","?"],"statuses":["PRESENT","EXPIRED","NOT_FOUND"],"event_times_index":0},` +
				`{"name":"age","values":[30,null,null],"statuses":["PRESENT","EXPIRED","NOT_FOUND"],"event_times_index":0},` +
				`{"name":"rate","values":[0.5,0.5,0.5],"statuses":["PRESENT","PRESENT","PRESENT"],"event_times_index":1},` +
				`{"name":"payee__city","values":["?","Rome","?"],"statuses":["NULL","PRESENT","NOT_FOUND"],"event_times_index":2}],` +
				`"event_times":[{"view":"profile","times":["1970-01-01T20:00:00Z","1970-01-01T01:00:00Z",null]},` +
				`{"view":"world","times":["1970-01-01T20:00:00Z","1970-01-01T20:00:00Z","1970-01-01T20:00:00Z"]},` +
				`{"view":"payee","times":["1970-01-01T21:00:00Z","1970-01-01T20:00:00Z",null]}],"rows":3}`},
		"the least": {"POST", getPath, `{"features": ["profile.age"], "keys": {"customer_id": [1]}, "omit_statuses": true, "omit_event_times": true}`,
			`{"columns":[{"name":"profile.age","values":[30],"statuses":[],"event_times_index":0}],"event_times":[],"rows":1}`},
		"global": {"POST", getPath, `{"service": "global", "full_names": true}`,
			`{"columns":[{"name":"world__rate","values":[0.5],"statuses":["PRESENT"],"event_times_index":0}],"event_times":[{"view":"world","times":["1970-01-01T20:00:00Z"]}],"rows":1}`},
		"services": {"GET", "/v1/services", "", `{"services":[{"name":"fraud_v1","description":"","features":4},{"name":"global","description":"what holds for all","features":1},{"name":"priced","description":"","features":2},{"name":"terminals","description":"","features":1}]}`},
		"one": {"GET", "/v1/services/global", "", `{"name":"global","description":"what holds for all","keys":[],"fields":[],"features":[{"name":"rate","type":"float64","view":"world","description":"","owner":""}],` +
			`"views":[{"view":"world","published":true,"watermark_micros":"86400000000","snapshot":"8","current":true,"unfinished":false,"horizon_micros":"0"}],"rows_max":400000}`},
		"on demand": {"POST", getPath, `{"service": "priced", "keys": {"customer_id": [1]}, "fields": {"amount": [4]}}`,
			`{"columns":[{"name":"local","values":[2],"statuses":["PRESENT"],"event_times_index":0},{"name":"age","values":[30],"statuses":["PRESENT"],"event_times_index":1}],` +
				`"event_times":[{"view":"","times":[null]},{"view":"profile","times":["1970-01-01T20:00:00Z"]}],"rows":1}`},
		"its fields": {"GET", "/v1/services/priced", "", `"keys":[{"name":"customer_id","type":"int64"}],"fields":[{"name":"amount","type":"float64"}],"features":[{"name":"local","type":"float64","view":"price"`},
		"status":     {"GET", "/v1/status", "", `"version":"v9"`},
	} {
		t.Run(name, func(t *testing.T) {
			code, got := call(h, c.method, c.path, c.body)
			if compact := strings.ReplaceAll(got, ": ", ":"); code != 200 || !json.Valid([]byte(got)) || (compact != c.want && !strings.Contains(strings.ReplaceAll(compact, ", ", ","), c.want)) {
				t.Errorf("%d %s\nwant %s", code, got, c.want)
			}
		})
	}
}

func TestHTTPBadRequests(t *testing.T) {
	m := testModel()
	h := web(t, newStore(t, m), m, Options{Now: clockAt(50 * hour), MaxValues: 8, MaxRequestBytes: 1 << 20})
	ask := func(keys string) string { return `{"service": "fraud_v1", "keys": {` + keys + `}}` }
	for name, c := range map[string]struct {
		method, path, body string
		code               int
		says               string
	}{
		"nothing":         {"POST", getPath, ``, 400, "nothing is asked for"},
		"no JSON":         {"POST", getPath, `service=fraud`, 400, "the body is no request in JSON"},
		"cut off":         {"POST", getPath, `{"service": "fra`, 400, "the body is no request in JSON"},
		"two":             {"POST", getPath, `{"service": "global"} {}`, 400, "more follows after its end"},
		"unknown field":   {"POST", getPath, `{"servise": "global"}`, 400, `unknown field \"servise\"`},
		"unknown service": {"POST", getPath, `{"service": "fraud_v2", "keys": {"a": 1}}`, 404, "did you mean fraud_v1?"},
		"unknown view":    {"POST", getPath, `{"features": ["profil.age"]}`, 404, "did you mean profile?"},
		"unknown feature": {"POST", getPath, `{"features": ["profile.aje"]}`, 404, "did you mean age?"},
		"no name":         {"POST", getPath, `{"features": ["age"]}`, 400, "is not of the form view.feature"},
		"both":            {"POST", getPath, `{"service": "global", "features": ["world.rate"]}`, 400, "not for both"},
		"missing key":     {"POST", getPath, ask(`"customer_id": [1]`), 400, "needs the key column payee_id (int64)"},
		"unknown key":     {"POST", getPath, ask(`"custmer_id": [1], "payee_id": [1]`), 400, `keys.custmer_id: service fraud_v1 has no column \"custmer_id\", did you mean customer_id?`},
		"wrong type":      {"POST", getPath, ask(`"customer_id": [1, "x"], "payee_id": [1, 2]`), 400, `keys.customer_id: row 1: \"x\" is no int64`},
		"fraction":        {"POST", getPath, ask(`"customer_id": [1.5], "payee_id": [1]`), 400, `row 0: 1.5 is no int64`},
		"too great":       {"POST", getPath, ask(`"customer_id": [9223372036854775808], "payee_id": [1]`), 400, `9223372036854775808 is no int64`},
		"no array":        {"POST", getPath, ask(`"customer_id": 1, "payee_id": [1]`), 400, "keys.customer_id: 1 is no array"},
		"null":            {"POST", getPath, ask(`"customer_id": null, "payee_id": [1]`), 400, "null is no array"},
		"missing field":   {"POST", getPath, `{"service": "priced", "keys": {"customer_id": [1]}}`, 400, "needs the request field amount (float64)"},
		"wrong field":     {"POST", getPath, `{"service": "priced", "keys": {"customer_id": [1]}, "fields": {"amount": ["much"]}}`, 400, `fields.amount: row 0: \"much\" is no float64`},
		"unequal":         {"POST", getPath, ask(`"customer_id": [1, 2], "payee_id": [1]`), 400, "payee_id has 1 rows, customer_id has 2"},
		"too many values": {"POST", getPath, ask(`"customer_id": [1, 2, 3], "payee_id": [1, 2, 3]`), 400, "more than the 8 values of one request: ask for 2 rows at a time"},
		"deep":            {"POST", getPath, ask(`"customer_id": ` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000)), 400, "exceeded max depth"},
		"ten million":     {"POST", getPath, ask(`"customer_id": [` + strings.Repeat("1,", 10_000_000) + `1]`), 413, "more than the 1048576 bytes that one may have"},
		"other path":      {"GET", "/v2", "", 404, "Not Found"},
		"other method":    {"GET", getPath, "", 501, "Method Not Allowed"},
		"no such service": {"GET", "/v1/services/fraud_v2", "", 404, "did you mean fraud_v1?"},
	} {
		t.Run(name, func(t *testing.T) {
			code, got := call(h, c.method, c.path, c.body)
			var told struct {
				Code    int
				Message string
			}
			if err := json.Unmarshal([]byte(got), &told); err != nil || code != c.code || !strings.Contains(got, c.says) || told.Code == 0 {
				t.Errorf("%d %.300s, want %d: ...%s...; %v", code, got, c.code, c.says, err)
			}
		})
	}
	if code, _ := call(h, "POST", getPath, `{"service": "global"}`); code != 200 {
		t.Errorf("after all of them a request is answered with %d", code)
	}
}

// TestHTTPGuard: a fault of the server reaches clients of HTTP without its detail, as it does those of gRPC.
func TestHTTPGuard(t *testing.T) {
	m := testModel()
	for _, c := range []struct {
		err  error
		code int
		says string
	}{
		{feature.Errorf(feature.ErrUnavailable, "out of reach"), 503, "out of reach"},
		{feature.Errorf(feature.ErrCorrupt, "secret"), 500, "stored data is damaged"},
		{errors.New("secret"), 500, "internal error"},
		{nil, 500, "internal error"}, // stands for a panic
	} {
		store := fakeStore{lookup: func(context.Context) (*online.Answer, error) {
			if c.err == nil {
				panic("secret")
			}
			return nil, c.err
		}}
		code, got := call(web(t, store, m, Options{}), "POST", getPath, `{"service": "global"}`)
		if code != c.code || !strings.Contains(got, c.says) || strings.Contains(got, "secret") {
			t.Errorf("%v: %d %s", c.err, code, got)
		}
	}
}

// TestJSONValues writes a value of each type, and reads it again.
func TestJSONValues(t *testing.T) {
	scalar := feature.Scalar
	for _, c := range []struct {
		column arrow.Array
		want   string
	}{
		{columnOf(t, scalar(feature.Bool), true, false, nil), `[true,false,null]`},
		{columnOf(t, scalar(feature.Int32), int32(math.MinInt32)), `[-2147483648]`},
		{columnOf(t, scalar(feature.Int64), int64(1<<53-1), int64(1<<53), int64(-1<<53), int64(math.MinInt64)), `[9007199254740991,"9007199254740992","-9007199254740992","-9223372036854775808"]`},
		{columnOf(t, scalar(feature.Float32), float32(0.1), float32(math.Inf(1))), `[0.1,"Infinity"]`},
		{columnOf(t, scalar(feature.Float64), 0.1, 1e300, 5e-324, math.NaN(), math.Inf(-1), math.Copysign(0, -1), 123456789.0), `[0.1,1e+300,5e-324,"NaN","-Infinity",-0,123456789]`},
		{columnOf(t, scalar(feature.String), "", "a\"\n\u2028é", "<"), `["","a\"\n\u2028é","\u003c"]`},
		{columnOf(t, scalar(feature.Bytes), []byte{0, 255}, []byte{}), `["AP8=",""]`},
		{columnOf(t, scalar(feature.Timestamp), hour, feature.Time(1_715_932_800_123_456)), `["1970-01-01T01:00:00Z","2024-05-17T08:00:00.123456Z"]`},
		{columnOf(t, feature.ListOf(feature.Float32), []float32{1, float32(math.NaN())}, nil, []float32{}), `[[1,"NaN"],null,[]]`},
		{columnOf(t, feature.ListOf(feature.Timestamp), []feature.Time{0}), `[["1970-01-01T00:00:00Z"]]`},
	} {
		text := string(appendEach([]byte("["), c.column.Len(), func(b []byte, i int) []byte { return AppendJSON(b, c.column, i) })) + "]"
		if text != c.want {
			t.Errorf("%s is written as %s, want %s", c.column.DataType(), text, c.want)
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var values []any
		if err := d.Decode(&values); err != nil {
			t.Fatal(err)
		}
		of, _ := feature.TypeOfArrow(c.column.DataType())
		back, err := ReadJSON(of, values)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.column.Len() {
			if got, want := back.ValueStr(i), c.column.ValueStr(i); got != want {
				t.Errorf("%s is read back as %s", want, got)
			}
		}
	}
	for _, c := range []struct {
		of    feature.Type
		value any
		says  string
	}{
		{scalar(feature.Int32), json.Number("2147483648"), "2147483648 is no int32"},
		{scalar(feature.Int64), json.Number("9007199254740993.0"), "is no int64"},
		{scalar(feature.Int64), true, "true is no int64"},
		{scalar(feature.Float64), json.Number("1e999"), "1e999 is no float64"},
		{scalar(feature.Float32), json.Number("1e39"), "is no float32"},
		{scalar(feature.Float64), "inf", `"inf" is no float64`},
		{scalar(feature.String), json.Number("1"), "1 is no string"},
		{scalar(feature.Bool), "true", `"true" is no bool`},
		{scalar(feature.Bytes), "!", "write it in base64"},
		{scalar(feature.Timestamp), json.Number("1"), `write "2024-05-17T08:00:00Z"`},
		{feature.ListOf(feature.Int64), json.Number("1"), "is no list<int64>: write an array"},
		{feature.ListOf(feature.Int64), []any{json.Number("1"), []any{}}, "element 1: [] is no int64"},
		{scalar(feature.Int64), map[string]any{"a": strings.Repeat("x", 100)}, `...`},
	} {
		if _, err := ReadJSON(c.of, []any{nil, c.value}); !errors.Is(err, feature.ErrInvalid) || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "row 1: ") {
			t.Errorf("%v as %s: %v", c.value, c.of, err)
		}
	}
}

// TestRunHTTP serves on a socket: the description is there, a deadline is kept, and a request under way is answered when the server stops.
func TestRunHTTP(t *testing.T) {
	m := testModel()
	store, entered, leave, ended := blocked()
	s, err := New(store, func() *Model { return m }, Options{StopTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var serving, asking errgroup.Group
	serving.Go(func() error { return s.RunHTTP(ctx, listener) })
	url := "http://" + listener.Addr().String()
	ask := func(timeout string) (int, string, error) {
		req, err := http.NewRequest(http.MethodPost, url+getPath, strings.NewReader(`{"service": "global"}`))
		if err != nil {
			return 0, "", err
		}
		if timeout != "" {
			req.Header.Set("Grpc-Timeout", timeout)
		}
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, "", err
		}
		text, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text), errors.Join(err, answer.Body.Close())
	}
	answer, err := http.Get(url + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var description struct{ Paths map[string]any }
	if err := errors.Join(json.NewDecoder(answer.Body).Decode(&description), answer.Body.Close()); err != nil || description.Paths[getPath] == nil {
		t.Errorf("the description has the paths %v; %v", description.Paths, err)
	}
	if code, text, err := ask("1m"); err != nil || code != http.StatusGatewayTimeout {
		t.Errorf("after its deadline a request is answered %d %s, %v", code, text, err)
	}
	<-entered
	asking.Go(func() error {
		code, text, err := ask("")
		if err == nil && code != http.StatusOK {
			err = errors.New(text)
		}
		return err
	})
	<-entered
	stop()
	close(leave)
	if err := errors.Join(asking.Wait(), serving.Wait()); err != nil {
		t.Error(err)
	}
	if ended.Load() != 2 {
		t.Errorf("%d requests ended", ended.Load())
	}
}

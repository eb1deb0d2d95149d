package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/asof-store/asof/feature"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// asker asks one server by all protocols.
type asker struct {
	model   *Model
	running *running
	feast   *feastClient
	http    http.Handler
}

// typeOf returns the type of a column by the name of its feature, of which every one in the model has its own.
func (a asker) typeOf(column string) feature.Type {
	_, name, full := strings.Cut(strings.ReplaceAll(column, "__", "."), ".")
	if !full {
		name = column
	}
	for _, v := range a.model.Views {
		if i := v.Feature(name); i >= 0 {
			return v.Features[i].Type
		}
	}
	return feature.Scalar(feature.Int64)
}

func (a asker) grpc(c protocolCase) ([]answered, error) {
	req := &asofv1.GetFeaturesRequest{Service: c.service, Features: c.features, FullNames: c.full, Keys: map[string]*asofv1.Values{}, Fields: map[string]*asofv1.Values{}}
	for _, in := range c.inputs {
		column, err := ReadJSON(feature.Scalar(in.kind), each(len(in.values), func(i int) any { return jsonInput(in.values[i]) }))
		if err != nil {
			return nil, err
		}
		if in.field {
			req.Fields[in.name] = WriteValues(column)
		} else {
			req.Keys[in.name] = WriteValues(column)
		}
	}
	r, err := a.running.features.GetFeatures(context.Background(), req)
	if err != nil {
		return nil, err
	}
	var columns []answered
	for _, c := range r.GetColumns() {
		values, err := ReadValues(c.GetValues())
		if err != nil {
			return nil, err
		}
		columns = append(columns, answered{name: c.GetName(), values: each(values.Len(), func(i int) string { return arrowText(values, i) }),
			statuses: each(len(c.GetStatuses()), func(i int) string { return feature.Status(c.GetStatuses()[i]).String() })})
	}
	return columns, nil
}

func (a asker) json(c protocolCase) ([]answered, error) {
	keys, fields := map[string][]any{}, map[string][]any{}
	for _, in := range c.inputs {
		into := keys
		if in.field {
			into = fields
		}
		into[in.name] = each(len(in.values), func(i int) any { return jsonInput(in.values[i]) })
	}
	var r struct {
		Columns []struct {
			Name     string
			Values   []any
			Statuses []string
		}
	}
	request := map[string]any{"service": c.service, "features": c.features, "keys": keys, "fields": fields, "full_names": c.full}
	if err := a.post("/v1/features:get", request, &r); err != nil {
		return nil, err
	}
	var columns []answered
	for _, c := range r.Columns {
		columns = append(columns, answered{name: c.Name, values: a.plainTexts(c.Name, c.Values), statuses: c.Statuses})
	}
	return columns, nil
}

// post sends a request in JSON, and reads the answer.
func (a asker) post(path string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	w := httptest.NewRecorder()
	a.http.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
	if w.Code != http.StatusOK {
		return fmt.Errorf("%d: %s", w.Code, w.Body)
	}
	d := json.NewDecoder(w.Body)
	d.UseNumber()
	return d.Decode(answer)
}

func (a asker) feastGRPC(c protocolCase) ([]answered, error) {
	var entities, fields []feastInput
	for _, in := range c.inputs {
		field := protoreflect.Name(map[feature.Kind]string{feature.Bool: "bool_val", feature.Int32: "int32_val", feature.Int64: "int64_val",
			feature.String: "string_val", feature.Bytes: "bytes_val", feature.Timestamp: "unix_timestamp_val"}[in.kind])
		column := feastInput{name: in.name, field: field, values: each(len(in.values), func(i int) any {
			if at, is := in.values[i].(feature.Time); is {
				return int64(at) / 1_000_000
			}
			return in.values[i]
		})}
		if in.field {
			fields = append(fields, column)
		} else {
			entities = append(entities, column)
		}
	}
	r, err := a.feast.call(context.Background(), "GetOnlineFeatures", a.feast.request(c.service, feastNames(c.features), c.full, entities, fields))
	if err != nil {
		return nil, err
	}
	columns, err := feastTexts(r)
	if err != nil {
		return nil, err
	}
	return feastFeatures(columns, c)
}

// feastNames are names of features as Feast has them.
func feastNames(features []string) []string {
	if features == nil {
		return nil
	}
	return each(len(features), func(i int) string { return strings.Replace(features[i], ".", ":", 1) })
}

// feastFeatures takes the key columns off the head of an answer, which have to be those of the request, and gives statuses asof's names.
func feastFeatures(columns []answered, c protocolCase) ([]answered, error) {
	names := map[string]bool{}
	for _, in := range c.inputs {
		if !in.field {
			names[in.name] = true
		}
	}
	for n := len(names); n > 0; n-- {
		if len(columns) == 0 || !names[columns[0].name] || len(columns[0].values) != c.rows {
			return nil, fmt.Errorf("key columns %v are answered by %v", names, columns)
		}
		for row, status := range columns[0].statuses {
			if status != "PRESENT" || columns[0].times[row] != "1970-01-01T00:00:00Z" {
				return nil, fmt.Errorf("a key is %s at %s", status, columns[0].times[row])
			}
		}
		columns = columns[1:]
	}
	for _, column := range columns {
		for row, status := range column.statuses {
			column.statuses[row] = strings.NewReplacer("NULL_VALUE", "NULL", "OUTSIDE_MAX_AGE", "EXPIRED").Replace(status)
		}
	}
	return columns, nil
}

func (a asker) feastHTTP(c protocolCase) ([]answered, error) {
	entities := map[string][]any{}
	for _, in := range c.inputs { // request fields are among the entities here, as Feast's feature server has it
		entities[in.name] = each(len(in.values), func(i int) any { return jsonInput(in.values[i]) })
	}
	request := map[string]any{"entities": entities, "full_feature_names": c.full}
	if c.service != "" {
		request["feature_service"] = c.service
	} else {
		request["features"] = feastNames(c.features)
	}
	var r struct {
		Metadata struct {
			Names []string `json:"feature_names"`
		}
		Results []struct {
			Values   []any
			Statuses []string
			Times    []string `json:"event_timestamps"`
		}
	}
	if err := a.post("/get-online-features", request, &r); err != nil {
		return nil, err
	}
	var columns []answered
	for i, v := range r.Results {
		columns = append(columns, answered{name: r.Metadata.Names[i], values: a.plainTexts(r.Metadata.Names[i], v.Values), statuses: v.Statuses, times: v.Times})
	}
	return feastFeatures(columns, c)
}

func (a asker) databricksRecords(c protocolCase) ([]answered, error) {
	records := each(c.rows, func(row int) any {
		record := map[string]any{}
		for _, in := range c.inputs {
			record[in.name] = jsonInput(in.values[row])
		}
		return record
	})
	return a.databricks(c, map[string]any{"dataframe_records": records})
}

func (a asker) databricksSplit(c protocolCase) ([]answered, error) {
	names := each(len(c.inputs), func(i int) string { return c.inputs[i].name })
	data := each(c.rows, func(row int) any {
		return each(len(c.inputs), func(i int) any { return jsonInput(c.inputs[i].values[row]) })
	})
	return a.databricks(c, map[string]any{"dataframe_split": map[string]any{"index": []int{}, "columns": names, "data": data}})
}

func (a asker) databricks(c protocolCase, request any) ([]answered, error) {
	var r struct{ Outputs []map[string]any }
	if err := a.post("/serving-endpoints/"+c.service+"/invocations", request, &r); err != nil {
		return nil, err
	}
	if r.Outputs == nil || len(r.Outputs) != c.rows {
		return nil, fmt.Errorf("%d rows are answered by %v", c.rows, r.Outputs)
	}
	var columns []answered
	for _, want := range c.want {
		name, _, _ := strings.Cut(want, ":")
		column := answered{name: name}
		for _, row := range r.Outputs {
			if value, there := row[name]; there && len(row) == len(c.want) {
				column.values = append(column.values, a.plainTexts(name, []any{value})...)
			}
		}
		columns = append(columns, column)
	}
	return columns, nil
}

// jsonInput returns a value of a request as it is in JSON.
func jsonInput(v any) any {
	switch v := v.(type) {
	case int64:
		return json.Number(fmt.Sprint(v))
	case int32:
		return json.Number(fmt.Sprint(v))
	case []byte:
		return base64.StdEncoding.EncodeToString(v)
	case feature.Time:
		return v.String()
	}
	return v
}

// plainTexts returns values of JSON as the table of cases has them.
func (a asker) plainTexts(column string, values []any) []string {
	return each(len(values), func(i int) string { return plainText(values[i], a.typeOf(column)) })
}

func plainText(v any, t feature.Type) string {
	if list, is := v.([]any); is {
		return "[" + strings.Join(each(len(list), func(i int) string { return plainText(list[i], feature.Scalar(t.Kind)) }), " ") + "]"
	}
	if v == nil {
		return "NULL"
	}
	text := fmt.Sprint(v)
	_, isText := v.(string)
	switch t.Kind {
	case feature.Float32, feature.Float64:
		bits := map[feature.Kind]int{feature.Float32: 32, feature.Float64: 64}[t.Kind]
		if f, err := strconv.ParseFloat(text, bits); err == nil {
			return floatText(f, bits)
		}
	case feature.Bytes:
		if b, err := base64.StdEncoding.DecodeString(text); err == nil && isText {
			return fmt.Sprintf("%x", b)
		}
	case feature.Timestamp:
		if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return fmt.Sprint(at.UnixMicro())
		}
	}
	return text
}

// arrowText returns value i of a column as the table of cases has it.
func arrowText(column arrow.Array, i int) string {
	if column.IsNull(i) {
		return "NULL"
	}
	switch c := column.(type) {
	case *array.Float32:
		return floatText(float64(c.Value(i)), 32)
	case *array.Float64:
		return floatText(c.Value(i), 64)
	case *array.Binary:
		return fmt.Sprintf("%x", c.Value(i))
	case *array.Timestamp:
		return fmt.Sprint(int64(c.Value(i)))
	case *array.List:
		from, to := c.ValueOffsets(i)
		return "[" + strings.Join(each(int(to-from), func(e int) string { return arrowText(c.ListValues(), int(from)+e) }), " ") + "]"
	}
	return column.ValueStr(i)
}

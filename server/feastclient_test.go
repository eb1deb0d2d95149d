package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// feastProtos are Feast's messages as a client has them, apart from the definitions that the server is built with. What counts are names of
// packages and of the service, and numbers.
func feastProtos() map[string]string {
	return map[string]string{
		"feast/types/Value.proto": `
			syntax = "proto3";
			package feast.types;
			message Value {
			  oneof val {
			    bytes bytes_val = 1; string string_val = 2; int32 int32_val = 3; int64 int64_val = 4;
			    double double_val = 5; float float_val = 6; bool bool_val = 7; int64 unix_timestamp_val = 8;
			    BytesList bytes_list_val = 11; StringList string_list_val = 12; Int32List int32_list_val = 13; Int64List int64_list_val = 14;
			    DoubleList double_list_val = 15; FloatList float_list_val = 16; BoolList bool_list_val = 17; Int64List unix_timestamp_list_val = 18;
			    Null null_val = 19;
			  }
			}
			enum Null { NULL = 0; }
			message BytesList { repeated bytes val = 1; }
			message StringList { repeated string val = 1; }
			message Int32List { repeated int32 val = 1; }
			message Int64List { repeated int64 val = 1; }
			message DoubleList { repeated double val = 1; }
			message FloatList { repeated float val = 1; }
			message BoolList { repeated bool val = 1; }
			message RepeatedValue { repeated Value val = 1; }`,
		"feast/serving/ServingService.proto": `
			syntax = "proto3";
			package feast.serving;
			import "google/protobuf/timestamp.proto";
			import "feast/types/Value.proto";
			service ServingService {
			  rpc GetFeastServingInfo (GetFeastServingInfoRequest) returns (GetFeastServingInfoResponse);
			  rpc GetOnlineFeatures (GetOnlineFeaturesRequest) returns (GetOnlineFeaturesResponse);
			}
			message GetFeastServingInfoRequest {}
			message GetFeastServingInfoResponse { string version = 1; }
			message FeatureList { repeated string val = 1; }
			message GetOnlineFeaturesRequest {
			  oneof kind { string feature_service = 1; FeatureList features = 2; }
			  map<string, feast.types.RepeatedValue> entities = 3;
			  bool full_feature_names = 4;
			  map<string, feast.types.RepeatedValue> request_context = 5;
			}
			message GetOnlineFeaturesResponse {
			  GetOnlineFeaturesResponseMetadata metadata = 1;
			  message FeatureVector {
			    repeated feast.types.Value values = 1;
			    repeated FieldStatus statuses = 2;
			    repeated google.protobuf.Timestamp event_timestamps = 3;
			  }
			  repeated FeatureVector results = 2;
			  bool status = 3;
			}
			message GetOnlineFeaturesResponseMetadata { FeatureList feature_names = 1; }
			enum FieldStatus { INVALID = 0; PRESENT = 1; NULL_VALUE = 2; NOT_FOUND = 3; OUTSIDE_MAX_AGE = 4; }`,
	}
}

// feastClient speaks Feast's protocol by descriptors of its own, which nobody else in this process knows.
type feastClient struct {
	conn    grpc.ClientConnInterface
	service protoreflect.ServiceDescriptor
	value   protoreflect.MessageDescriptor
}

func newFeastClient(t testing.TB, conn grpc.ClientConnInterface) *feastClient {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(feastProtos())})}
	files, err := compiler.Compile(context.Background(), "feast/types/Value.proto", "feast/serving/ServingService.proto")
	if err != nil {
		t.Fatal(err)
	}
	return &feastClient{conn: conn, value: files[0].Messages().ByName("Value"), service: files[1].Services().ByName("ServingService")}
}

// call calls a method with the request, and returns the answer.
func (c *feastClient) call(ctx context.Context, method protoreflect.Name, request proto.Message) (protoreflect.Message, error) {
	m := c.service.Methods().ByName(method)
	answer := dynamicpb.NewMessage(m.Output())
	err := c.conn.Invoke(ctx, fmt.Sprintf("/%s/%s", c.service.FullName(), method), request, answer)
	return answer, err
}

// feastRequestMessage is a request of Feast's in the words of the client.
type feastRequestMessage = dynamicpb.Message

// empty returns a request of a method in which nothing is set.
func (c *feastClient) empty(method protoreflect.Name) *feastRequestMessage {
	return dynamicpb.NewMessage(c.service.Methods().ByName(method).Input())
}

// request returns a GetOnlineFeaturesRequest: of a service, or of features where there is none.
func (c *feastClient) request(service string, features []string, full bool, entities, fields []feastInput) *feastRequestMessage {
	r := c.empty("GetOnlineFeatures")
	set := func(name protoreflect.Name, v protoreflect.Value) { r.Set(r.Descriptor().Fields().ByName(name), v) }
	if service != "" {
		set("feature_service", protoreflect.ValueOfString(service))
	} else if features != nil {
		list := r.Mutable(r.Descriptor().Fields().ByName("features")).Message()
		val := list.Mutable(list.Descriptor().Fields().ByName("val")).List()
		for _, f := range features {
			val.Append(protoreflect.ValueOfString(f))
		}
	}
	set("full_feature_names", protoreflect.ValueOfBool(full))
	for name, columns := range map[protoreflect.Name][]feastInput{"entities": entities, "request_context": fields} {
		m := r.Mutable(r.Descriptor().Fields().ByName(name)).Map()
		for _, column := range columns {
			repeated := m.NewValue()
			val := repeated.Message().Mutable(repeated.Message().Descriptor().Fields().ByName("val")).List()
			for _, v := range column.values {
				val.Append(protoreflect.ValueOfMessage(c.newValue(column.field, v)))
			}
			m.Set(protoreflect.ValueOfString(column.name).MapKey(), repeated)
		}
	}
	return r
}

// feastInput is a column of a request: Go values that go to one field of Value, or nil.
type feastInput struct {
	name   string
	field  protoreflect.Name // "int64_val"
	values []any
}

func (c *feastClient) newValue(field protoreflect.Name, v any) protoreflect.Message {
	m := dynamicpb.NewMessage(c.value)
	f := c.value.Fields().ByName(field)
	switch list, isList := v.([]any); {
	case v == nil:
		m.Set(c.value.Fields().ByName("null_val"), protoreflect.ValueOfEnum(0))
	case isList:
		val := m.Mutable(f).Message()
		elements := val.Mutable(val.Descriptor().Fields().ByName("val")).List()
		for _, e := range list {
			elements.Append(protoreflect.ValueOf(e))
		}
	default:
		m.Set(f, protoreflect.ValueOf(v))
	}
	return m
}

// feastTexts returns the columns of an answer of GetOnlineFeatures.
func feastTexts(r protoreflect.Message) ([]answered, error) {
	get := func(m protoreflect.Message, number protoreflect.FieldNumber) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByNumber(number))
	}
	names := get(get(get(r, 1).Message(), 1).Message(), 1).List()
	results := get(r, 2).List()
	if names.Len() != results.Len() {
		return nil, fmt.Errorf("%d names, %d results", names.Len(), results.Len())
	}
	if !get(r, 3).Bool() {
		return nil, errors.New("status is false")
	}
	columns := make([]answered, names.Len())
	for i := range columns {
		vector := results.Get(i).Message()
		values, statuses, times := get(vector, 1).List(), get(vector, 2).List(), get(vector, 3).List()
		columns[i].name = names.Get(i).String()
		if values.Len() != statuses.Len() || values.Len() != times.Len() {
			return nil, fmt.Errorf("%s: %d values, %d statuses, %d times", columns[i].name, values.Len(), statuses.Len(), times.Len())
		}
		for row := range values.Len() {
			columns[i].values = append(columns[i].values, feastText(values.Get(row).Message()))
			columns[i].statuses = append(columns[i].statuses, []string{"INVALID", "PRESENT", "NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"}[statuses.Get(row).Enum()])
			at := times.Get(row).Message()
			columns[i].times = append(columns[i].times, time.Unix(get(at, 1).Int(), get(at, 2).Int()).UTC().Format(time.RFC3339Nano))
		}
	}
	return columns, nil
}

// feastText returns a Value as the table of cases writes values.
func feastText(v protoreflect.Message) string {
	field := v.WhichOneof(v.Descriptor().Oneofs().ByName("val"))
	if field == nil {
		return "unset"
	}
	switch {
	case field.Name() == "null_val":
		return "NULL"
	case field.Kind() == protoreflect.MessageKind:
		m := v.Get(field).Message()
		return "[" + protoListText(m.Get(m.Descriptor().Fields().ByNumber(1)).List(), m.Descriptor().Fields().ByNumber(1)) + "]"
	}
	return protoText(v.Get(field), field)
}

func protoListText(list protoreflect.List, field protoreflect.FieldDescriptor) (text string) {
	for i := range list.Len() {
		if i > 0 {
			text += " "
		}
		text += protoText(list.Get(i), field)
	}
	return text
}

// protoText returns a scalar as the table of cases writes it.
func protoText(v protoreflect.Value, field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.BytesKind:
		return fmt.Sprintf("%x", v.Bytes())
	case protoreflect.FloatKind:
		return floatText(v.Float(), 32)
	case protoreflect.DoubleKind:
		return floatText(v.Float(), 64)
	}
	return v.String()
}

func floatText(v float64, bits int) string {
	if math.IsNaN(v) {
		return "NaN" // whatever its bits
	}
	return strconv.FormatFloat(v, 'g', -1, bits)
}

package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/asof-store/asof/feature"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

func clockAt(t feature.Time) func() time.Time { return t.Std }

func TestGetFeatures(t *testing.T) {
	m := testModel()
	s := start(t, newStore(t, m), func() *Model { return m }, Options{Now: clockAt(50 * hour)})
	nullPayee := ints("payee_id", 2, 0, 1)
	nullPayee.Values.NullRows = []uint32{1}
	for name, c := range map[string]struct {
		req  *asofv1.GetFeaturesRequest
		want []string
	}{
		"service": {ofService("fraud_v1", ints(fieldCustomer, 1, 3, 9), nullPayee), []string{
			"city: Rome PRESENT@20(profile) ? EXPIRED@1(profile) ? NOT_FOUND@0(profile)",
			"age: 30 PRESENT@20(profile) NULL EXPIRED@1(profile) NULL NOT_FOUND@0(profile)",
			"rate: 0.5 PRESENT@20(world) 0.5 PRESENT@20(world) 0.5 PRESENT@20(world)",
			"payee__city: ? NULL@21(payee) ? NOT_FOUND@0(payee) Rome PRESENT@20(payee)"}},
		"named features": {named([]string{"profile.age", "world.rate", "profile.city"}, ints(fieldCustomer, 1)), []string{
			"profile.age: 30 PRESENT@20(profile)", "world.rate: 0.5 PRESENT@20(world)", "profile.city: Rome PRESENT@20(profile)"}},
		"no keys needed": {ofService("global"), []string{"rate: 0.5 PRESENT@20(world)"}},
		"composite key": {ofService("terminals", column{Name: "number", Values: &asofv1.Values{Kind: &asofv1.Values_Int32S{Int32S: &asofv1.Int32Values{Values: []int32{7, 7}}}}},
			texts("country", "IT", "FR")), []string{"risk: 0.25 PRESENT@20(terminal) NULL NOT_FOUND@0(terminal)"}},
		"on demand": {with(ofService("priced", ints(fieldCustomer, 1, 9)), floats("amount", 4, 6)), []string{"local: 2 PRESENT@0() 3 PRESENT@0()", "age: 30 PRESENT@20(profile) NULL NOT_FOUND@0(profile)"}},
		"on demand by name": {with(named([]string{"price.times", "profile.age", "price.local", "world.rate"}, ints(fieldCustomer, 1)), floats("amount", 4), floats("factor", 3)), []string{
			"price.times: 6 PRESENT@0()", "profile.age: 30 PRESENT@20(profile)", "price.local: 2 PRESENT@0()", "world.rate: 0.5 PRESENT@20(world)"}},
		"fields among keys": {named([]string{"price.local"}, floats("amount", 4, 6)), []string{"price.local: 2 PRESENT@0() 3 PRESENT@0()"}},
		"no rows":           {ofService("fraud_v1", ints(fieldCustomer), ints("payee_id")), []string{"city:", "age:", "rate:", "payee__city:"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := s.features.GetFeatures(context.Background(), c.req)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, show(r)); d != "" {
				t.Error(d)
			}
		})
	}
	full := ofService("fraud_v1", ints(fieldCustomer, 1), ints("payee_id", 1))
	full.FullNames = true
	r, err := s.features.GetFeatures(context.Background(), full)
	if err != nil || r.GetColumns()[0].GetName() != "profile__city" || r.GetColumns()[3].GetName() != "payee__city" {
		t.Errorf("full names: %v, %v", r, err)
	}
}

func TestBadRequests(t *testing.T) {
	m := testModel()
	s := start(t, newStore(t, m), func() *Model { return m }, Options{Now: clockAt(50 * hour), MaxValues: 8})
	payee := ints("payee_id", 1)
	var many []column
	for i := range 1001 {
		many = append(many, ints(fmt.Sprintf("c_%03d", i), 1))
	}
	nulls := func(rows ...uint32) column {
		c := ints(fieldCustomer, 1, 2, 3)
		c.Values.NullRows = rows
		return c
	}
	fullNamed := named([]string{"profile.age"}, ints(fieldCustomer, 1))
	fullNamed.FullNames = true
	lists := column{Name: fieldCustomer, Values: &asofv1.Values{Kind: &asofv1.Values_Lists{Lists: &asofv1.ListValues{
		Lengths: []uint32{1}, Elements: ints("", 1).Values}}}}
	for name, c := range map[string]struct {
		req   *asofv1.GetFeaturesRequest
		code  codes.Code
		field string // of the first violation, "" for none
		says  string
	}{
		"nothing":             {&asofv1.GetFeaturesRequest{}, codes.InvalidArgument, "service", "give a service, or features by name"},
		"unknown service":     {ofService("fraud_v2"), codes.NotFound, "", `there is no service "fraud_v2", did you mean fraud_v1?`},
		"far from any":        {ofService("churn"), codes.NotFound, "", "there are fraud_v1, global, priced, terminals"},
		"no names":            {named(nil), codes.InvalidArgument, "service", "nothing is asked for"},
		"not of the form":     {named([]string{"age"}), codes.InvalidArgument, "features[0]", `"age" is not of the form view.feature`},
		"twice":               {named([]string{"profile.age", "profile.age"}), codes.InvalidArgument, "features[1]", "profile.age is features[0] already"},
		"unknown view":        {named([]string{"profil.age"}), codes.NotFound, "", "did you mean profile?"},
		"unknown feature":     {named([]string{"profile.agee"}), codes.NotFound, "", "view profile has no feature agee, did you mean age?"},
		"not online":          {named([]string{"hidden.x"}, ints(fieldCustomer, 1)), codes.InvalidArgument, "", "online: false"},
		"key types clash":     {named([]string{"profile.age", "clash.y"}, ints(fieldCustomer, 1)), codes.InvalidArgument, "", "view clash needs string"},
		"full names of some":  {fullNamed, codes.InvalidArgument, "full_names", "leave full names out"},
		"missing column":      {ofService("fraud_v1", ints(fieldCustomer, 1)), codes.InvalidArgument, "keys", "service fraud_v1 needs the key column payee_id (int64)"},
		"unknown column":      {ofService("fraud_v1", ints("customer", 1), payee), codes.InvalidArgument, "keys.customer", `no column "customer": it needs customer_id, payee_id (and 1 more)`},
		"misspelt column":     {ofService("fraud_v1", ints("custmer_id", 1), payee), codes.InvalidArgument, "keys.custmer_id", "did you mean customer_id?"},
		"keys for none":       {ofService("global", payee), codes.InvalidArgument, "keys.payee_id", "takes no keys"},
		"other type":          {ofService("fraud_v1", texts(fieldCustomer, "1", "2", "3"), payee), codes.InvalidArgument, "keys.customer_id", "column customer_id has 3 values of type string, service fraud_v1 needs int64"},
		"list":                {ofService("fraud_v1", lists, payee), codes.InvalidArgument, "keys.customer_id", "1 values of type list<int64>"},
		"no values":           {ofService("fraud_v1", column{Name: fieldCustomer}, payee), codes.InvalidArgument, "keys.customer_id", "column customer_id has no values"},
		"other lengths":       {ofService("fraud_v1", payee, ints(fieldCustomer, 1, 2)), codes.InvalidArgument, "keys.payee_id", "payee_id has 1 rows, customer_id has 2: all need the same number"},
		"NULL beyond":         {ofService("fraud_v1", nulls(0, 3), ints("payee_id", 1, 2, 3)), codes.InvalidArgument, "keys.customer_id", "column customer_id: null_rows[1] is row 3 of 3"},
		"NULLs not in order":  {ofService("fraud_v1", nulls(1, 1), ints("payee_id", 1, 2, 3)), codes.InvalidArgument, "keys.customer_id", "ascending"},
		"missing field":       {ofService("priced", ints(fieldCustomer, 1)), codes.InvalidArgument, "fields", "service priced needs the request field amount (float64)"},
		"field of other type": {with(ofService("priced", ints(fieldCustomer, 1)), ints("amount", 1)), codes.InvalidArgument, "fields.amount", "column amount has 1 values of type int64, service priced needs float64"},
		"unequal fields":      {with(ofService("priced", ints(fieldCustomer, 1)), floats("amount", 1, 2)), codes.InvalidArgument, "fields.amount", "column amount has 2 rows, customer_id has 1"},
		"not computed":        {with(ofService("priced", ints(fieldCustomer, 1, 2)), floats("amount", 1, 26)), codes.InvalidArgument, "", "row 1: 13 is no product"},
		"unknown on demand":   {named([]string{"price.locale"}), codes.NotFound, "", "on_demand price has no feature locale, did you mean local?"},
		"twice on demand":     {named([]string{"price.local", "price.local"}), codes.InvalidArgument, "features[1]", "price.local is features[0] already"},
		"given as both":       {with(ofService("priced", ints(fieldCustomer, 1), floats("amount", 1)), floats("amount", 1)), codes.InvalidArgument, "fields.amount", "column amount is keys.amount already"},
		"too many columns":    {named([]string{"world.rate"}, many...), codes.InvalidArgument, "keys.c_999", "the request has 1001 columns, it may have 1000"},
		"too many values":     {ofService("fraud_v1", ints(fieldCustomer, 1, 2, 3), ints("payee_id", 1, 2, 3)), codes.InvalidArgument, "keys", "3 rows of 4 features are more than the 8 values of one request: ask for 2 rows at a time"},
		"too large":           {ofService(strings.Repeat("x", 5<<20)), codes.ResourceExhausted, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.features.GetFeatures(context.Background(), c.req)
			st := status.Convert(err)
			if st.Code() != c.code || !strings.Contains(st.Message(), c.says) {
				t.Errorf("%v: %s, want %v: ...%s...", st.Code(), st.Message(), c.code, c.says)
			}
			field := ""
			for _, d := range st.Details() {
				if bad, ok := d.(*errdetails.BadRequest); ok {
					field = bad.GetFieldViolations()[0].GetField()
				}
			}
			if field != c.field {
				t.Errorf("field %q, want %q", field, c.field)
			}
		})
	}
}

// TestReload: each request goes by the definitions of its moment.
func TestReload(t *testing.T) {
	m := testModel()
	current := m
	s := start(t, newStore(t, m), func() *Model { return current }, Options{})
	if _, err := s.features.GetFeatures(context.Background(), ofService("global")); err != nil {
		t.Fatal(err)
	}
	changed := testModel()
	changed.Views["world"].Hash = "w2"
	current = changed
	_, err := s.features.GetFeatures(context.Background(), ofService("global"))
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "asof materialize world") {
		t.Errorf("after the definition has changed: %v", err)
	}
}

// TestWriteValues puts a column of each type on the wire and back.
func TestWriteValues(t *testing.T) {
	int32s := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Int32)
	elements := int32s.ValueBuilder().(*array.Int32Builder)
	int32s.Append(true)
	elements.Append(1)
	elements.AppendNull()
	int32s.AppendNull()
	int32s.Append(true)
	elements.Append(3)
	lists := int32s.NewArray()
	wantList := &asofv1.Values{NullRows: []uint32{1}, Kind: &asofv1.Values_Lists{Lists: &asofv1.ListValues{Lengths: []uint32{2, 0, 1},
		Elements: &asofv1.Values{NullRows: []uint32{1}, Kind: &asofv1.Values_Int32S{Int32S: &asofv1.Int32Values{Values: []int32{1, 0, 3}}}}}}}
	tail := &asofv1.Values{NullRows: []uint32{0}, Kind: &asofv1.Values_Lists{Lists: &asofv1.ListValues{Lengths: []uint32{0, 1},
		Elements: &asofv1.Values{Kind: &asofv1.Values_Int32S{Int32S: &asofv1.Int32Values{Values: []int32{3}}}}}}}
	for name, c := range map[string]struct {
		column arrow.Array
		want   *asofv1.Values
	}{
		"bool":      {columnOf(t, feature.Scalar(feature.Bool), true, nil), &asofv1.Values{NullRows: []uint32{1}, Kind: &asofv1.Values_Bools{Bools: &asofv1.BoolValues{Values: []bool{true, false}}}}},
		"int32":     {columnOf(t, feature.Scalar(feature.Int32), int32(-1)), &asofv1.Values{Kind: &asofv1.Values_Int32S{Int32S: &asofv1.Int32Values{Values: []int32{-1}}}}},
		"int64":     {columnOf(t, feature.Scalar(feature.Int64), int64(-1), nil), &asofv1.Values{NullRows: []uint32{1}, Kind: &asofv1.Values_Int64S{Int64S: &asofv1.Int64Values{Values: []int64{-1, 0}}}}},
		"float32":   {columnOf(t, feature.Scalar(feature.Float32), float32(0.5)), &asofv1.Values{Kind: &asofv1.Values_Float32S{Float32S: &asofv1.Float32Values{Values: []float32{0.5}}}}},
		"float64":   {columnOf(t, feature.Scalar(feature.Float64), 0.5), &asofv1.Values{Kind: &asofv1.Values_Float64S{Float64S: &asofv1.Float64Values{Values: []float64{0.5}}}}},
		"string":    {columnOf(t, feature.Scalar(feature.String), "a", "b\xff"), &asofv1.Values{Kind: &asofv1.Values_Strings{Strings: &asofv1.StringValues{Values: []string{"a", "b\ufffd"}}}}},
		"bytes":     {columnOf(t, feature.Scalar(feature.Bytes), []byte{255}), &asofv1.Values{Kind: &asofv1.Values_Bytes{Bytes: &asofv1.BytesValues{Values: [][]byte{{255}}}}}},
		"timestamp": {columnOf(t, feature.Scalar(feature.Timestamp), hour), &asofv1.Values{Kind: &asofv1.Values_Timestamps{Timestamps: &asofv1.TimestampValues{Micros: []int64{int64(hour)}}}}},
		"list":      {lists, wantList},
		"slice":     {array.NewSlice(lists, 1, 3), tail},
		"no lists":  {columnOf(t, feature.ListOf(feature.Int32)), &asofv1.Values{Kind: &asofv1.Values_Lists{Lists: &asofv1.ListValues{Elements: &asofv1.Values{Kind: &asofv1.Values_Int32S{Int32S: &asofv1.Int32Values{}}}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			wire, err := proto.Marshal(WriteValues(c.column))
			if err != nil {
				t.Fatal(err)
			}
			got := &asofv1.Values{}
			if err := proto.Unmarshal(wire, got); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got, protocmp.Transform()); d != "" {
				t.Error(d)
			}
			back, err := ReadValues(got)
			if err != nil || back.Len() != c.column.Len() || !arrow.TypeEqual(back.DataType(), c.column.DataType()) {
				t.Fatalf("read back: %v, %v", back, err)
			}
			for i := range back.Len() {
				if is, want := back.ValueStr(i), strings.ToValidUTF8(c.column.ValueStr(i), "\ufffd"); is != want {
					t.Errorf("row %d is read back as %s, want %s", i, is, want)
				}
			}
		})
	}
}

// FuzzReadValues reads any message: what is read has as many rows as it says, and is read again from what is written of it.
func FuzzReadValues(f *testing.F) {
	for _, v := range []*asofv1.Values{
		{NullRows: []uint32{1}, Kind: &asofv1.Values_Int64S{Int64S: &asofv1.Int64Values{Values: []int64{1, 2}}}},
		{NullRows: []uint32{0}, Kind: &asofv1.Values_Lists{Lists: &asofv1.ListValues{Lengths: []uint32{0, 2}, Elements: &asofv1.Values{NullRows: []uint32{1}, Kind: &asofv1.Values_Strings{Strings: &asofv1.StringValues{Values: []string{"a", ""}}}}}}},
		{NullRows: []uint32{7}, Kind: &asofv1.Values_Bools{Bools: &asofv1.BoolValues{Values: []bool{true}}}},
		{Kind: &asofv1.Values_Lists{Lists: &asofv1.ListValues{Lengths: []uint32{3}, Elements: &asofv1.Values{Kind: &asofv1.Values_Float32S{Float32S: &asofv1.Float32Values{Values: []float32{1, 2}}}}}}},
	} {
		wire, err := proto.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		v := &asofv1.Values{}
		if proto.Unmarshal(wire, v) != nil {
			return
		}
		column, err := ReadValues(v)
		if err != nil {
			if !errors.Is(err, feature.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		again, err := ReadValues(WriteValues(column))
		if err != nil || again.Len() != column.Len() {
			t.Fatalf("%v is written and read as %v, %v", column, again, err)
		}
		for i := range column.Len() {
			if again.ValueStr(i) != column.ValueStr(i) {
				t.Fatalf("row %d is %s, and written and read %s", i, column.ValueStr(i), again.ValueStr(i))
			}
		}
	})
}

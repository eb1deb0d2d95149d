package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/asof-store/asof/feature"
	"github.com/asof-store/asof/online"
	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// streamed asks all requests in one stream and returns the answers.
func streamed(t *testing.T, s *running, requests ...*asofv1.GetFeaturesRequest) ([]*asofv1.GetFeaturesResponse, error) {
	t.Helper()
	stream, err := s.features.StreamFeatures(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var sending errgroup.Group
	sending.Go(func() error {
		for _, r := range requests {
			if err := stream.Send(r); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
		return stream.CloseSend()
	})
	var answers []*asofv1.GetFeaturesResponse
	for {
		r, err := stream.Recv()
		if err != nil {
			if err := sending.Wait(); err != nil {
				t.Error(err)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return answers, err
		}
		answers = append(answers, r)
	}
}

// TestStream: requests are answered in order, in pieces of as many values as one answer may have, all rows once.
func TestStream(t *testing.T) {
	m := testModel()
	s := start(t, newStore(t, m), func() *Model { return m }, Options{Now: clockAt(24 * hour), MaxValues: 20})
	ids := make([]int64, 25)
	for i := range ids {
		ids[i] = int64(i % 4)
	}
	again := &asofv1.GetFeaturesRequest{Keys: valuesOf([]column{ints(fieldCustomer, 1), ints("payee_id", 2)})}
	none := &asofv1.GetFeaturesRequest{Keys: valuesOf([]column{ints(fieldCustomer), ints("payee_id")})}
	answers, err := streamed(t, s, ofService("fraud_v1", ints(fieldCustomer, ids...), ints("payee_id", ids...)), again, none, ofService("global"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []uint32
	row := 0
	for n, a := range answers {
		rows = append(rows, a.GetRows())
		for i := range a.GetRows() {
			if n > 4 {
				break
			}
			want := feature.NotFound
			if ids[row] > 0 {
				want = feature.Present
			}
			if ids[row] == 2 {
				want = feature.Null
			}
			if got := feature.Status(a.GetColumns()[0].GetStatuses()[i]); got != want {
				t.Errorf("row %d is %s, want %s", row, got, want)
			}
			row++
		}
	}
	if fmt.Sprint(rows) != "[5 5 5 5 5 1 0 1]" {
		t.Errorf("answers of %d rows", rows)
	}
	if last := answers[len(answers)-1]; last.GetColumns()[0].GetName() != "rate" {
		t.Errorf("the last answer is %v", last)
	}
}

// TestStreamOfLongValues: an answer is cut so that a client takes it that knows nothing of asof, however long the values are.
func TestStreamOfLongValues(t *testing.T) {
	m := testModel()
	store := newStore(t, m)
	long := strings.Repeat("x", 300_000)
	rows, ids := make([][]any, 40), make([]int64, 40)
	for i := range rows {
		rows[i], ids[i] = []any{int64(i), 20 * hour, int64(i), long}, int64(i)
	}
	put(t, store, m.Views["profile"], 9, rows)
	s := start(t, store, func() *Model { return m }, Options{Now: clockAt(24 * hour)})
	answers, err := streamed(t, s, named([]string{"profile.city", "profile.age"}, ints(fieldCustomer, ids...)))
	if err != nil {
		t.Fatal(err)
	}
	var ages []int64
	for _, a := range answers {
		ages = append(ages, a.GetColumns()[1].GetValues().GetInt64S().GetValues()...)
		if size := proto.Size(a); size > 4<<20 || a.GetColumns()[0].GetValues().GetStrings().GetValues()[0] != long {
			t.Errorf("an answer of %d bytes", size)
		}
	}
	if fmt.Sprint(ages) != fmt.Sprint(ids) || len(answers) > 6 {
		t.Errorf("%d answers of the rows %d", len(answers), ages)
	}
}

func TestStreamOfBadRequests(t *testing.T) {
	m := testModel()
	s := start(t, newStore(t, m), func() *Model { return m }, Options{Now: clockAt(24 * hour)})
	for name, c := range map[string]struct {
		requests []*asofv1.GetFeaturesRequest
		answers  int
		code     codes.Code
		says     string
	}{
		"nothing":      {[]*asofv1.GetFeaturesRequest{{}}, 0, codes.InvalidArgument, "nothing is asked for"},
		"the second":   {[]*asofv1.GetFeaturesRequest{ofService("global"), ofService("globe")}, 1, codes.NotFound, "there are fraud_v1, global, priced, terminals"},
		"a bad name":   {[]*asofv1.GetFeaturesRequest{ofService("global"), named([]string{"x"})}, 1, codes.InvalidArgument, "view.feature"},
		"other keys":   {[]*asofv1.GetFeaturesRequest{ofService("fraud_v1", ints(fieldCustomer, 1))}, 0, codes.InvalidArgument, "payee_id"},
		"empty values": {[]*asofv1.GetFeaturesRequest{ofService("fraud_v1", column{Name: fieldCustomer, Values: &asofv1.Values{}})}, 0, codes.InvalidArgument, "has no values"},
	} {
		answers, err := streamed(t, s, c.requests...)
		if len(answers) != c.answers || status.Code(err) != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d answers, then %v", name, len(answers), err)
		}
	}
	broken := start(t, fakeStore{lookup: func(context.Context) (*online.Answer, error) {
		return nil, feature.Errorf(feature.ErrUnavailable, "out of reach")
	}}, func() *Model { return m }, Options{})
	if _, err := streamed(t, broken, ofService("global")); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
}

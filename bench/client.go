package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// client sends requests that are encoded beforehand and leaves answers encoded, so that a load costs the same on asof and on an echo.
type client struct {
	// ask sends request i. The answer goes into a *[]byte, or its size into an *int: copies would take processor time from what is measured.
	ask    func(ctx context.Context, i int, answer any) error
	decode func(answer []byte) ([][]float64, error)
	close  func() error
}

// dialGRPC returns a client of asof.v1.FeatureStore.
func dialGRPC(address string, asked [][]int) (*client, error) {
	var conns []*grpc.ClientConn
	requests := make([][]byte, len(asked))
	c := &client{decode: decodeGRPC, close: func() error {
		var errs []error
		for _, conn := range conns {
			errs = append(errs, conn.Close())
		}
		return errors.Join(errs...)
	}}
	for range connections {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		conns = append(conns, conn)
	}
	for i, keys := range asked {
		values := &asofv1.Int64Values{}
		for _, k := range keys {
			values.Values = append(values.Values, keyOf(k))
		}
		request := &asofv1.GetFeaturesRequest{Service: serviceName, Keys: map[string]*asofv1.Values{"customer_id": {Kind: &asofv1.Values_Int64S{Int64S: values}}}}
		var err error
		if requests[i], err = proto.Marshal(request); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	c.ask = func(ctx context.Context, i int, answer any) error {
		return conns[i%connections].Invoke(ctx, asofv1.FeatureStore_GetFeatures_FullMethodName, &requests[i], answer, grpc.ForceCodecV2(rawCodec{}))
	}
	return c, nil
}

// publish has the server at address, which is one of gRPC, publish all keys of a view anew.
func publish(ctx context.Context, address string) (err error) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	_, err = asofv1.NewAdminClient(conn).Publish(ctx, &asofv1.PublishRequest{Rebuild: true})
	return err
}

func decodeGRPC(answer []byte) (columns [][]float64, err error) {
	var response asofv1.GetFeaturesResponse
	if err := proto.Unmarshal(answer, &response); err != nil {
		return nil, err
	}
	for _, c := range response.GetColumns() {
		columns = append(columns, c.GetValues().GetFloat64S().GetValues())
	}
	return columns, nil
}

// dialHTTP returns a client of JSON over HTTP.
func dialHTTP(address string, asked [][]int) (*client, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: openCallsMax}
	caller, requests := &http.Client{Transport: transport}, make([][]byte, len(asked))
	for i, keys := range asked {
		numbers := make([]int64, len(keys))
		for j, k := range keys {
			numbers[j] = keyOf(k)
		}
		var err error
		if requests[i], err = json.Marshal(map[string]any{"service": serviceName, "keys": map[string]any{"customer_id": numbers}}); err != nil {
			return nil, err
		}
	}
	ask := func(ctx context.Context, i int, answer any) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/v1/features:get", bytes.NewReader(requests[i]))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := caller.Do(request)
		if err != nil {
			return err
		}
		return errors.Join(readAnswer(response, answer), response.Body.Close())
	}
	return &client{ask: ask, decode: decodeJSON, close: func() error { transport.CloseIdleConnections(); return nil }}, nil
}

// readAnswer reads the body of a response, as ask has it.
func readAnswer(response *http.Response, answer any) (err error) {
	if response.StatusCode != http.StatusOK {
		body, err := io.ReadAll(response.Body)
		return errors.Join(fmt.Errorf("%s: %.200s", response.Status, body), err)
	}
	if size, is := answer.(*int); is {
		n, err := io.Copy(io.Discard, response.Body)
		*size = int(n)
		return err
	}
	*answer.(*[]byte), err = io.ReadAll(response.Body)
	return err
}

func decodeJSON(answer []byte) (columns [][]float64, err error) {
	var response struct {
		Columns []struct{ Values []float64 }
	}
	err = json.Unmarshal(answer, &response)
	for _, c := range response.Columns {
		columns = append(columns, c.Values)
	}
	return columns, err
}

// keysAsked are the keys of each request, by their numbers.
func (t task) keysAsked() [][]int {
	random, asked := rand.New(rand.NewPCG(seed, 3)), make([][]int, requestsMade)
	for i := range asked {
		for range t.Load.Keys {
			asked[i] = append(asked[i], random.IntN(t.Shape.Keys))
		}
	}
	return asked
}

// checkAnswer compares an answer with what the generator knows.
func (t task) checkAnswer(keys []int, answer []byte, decode func([]byte) ([][]float64, error)) error {
	columns, err := decode(answer)
	if err != nil {
		return err
	}
	if len(columns) != t.Load.Features {
		return fmt.Errorf("%w: an answer has %d columns, not %d", errUnequal, len(columns), t.Load.Features)
	}
	for v, ref := range service(serviceName, t.Shape.views(), t.Load.Features).Refs {
		for _, f := range ref.Features {
			values := columns[0]
			columns = columns[1:]
			if len(values) != len(keys) {
				return fmt.Errorf("%w: feature %d of view %d has %d values for %d keys", errUnequal, f, v, len(values), len(keys))
			}
			for i, k := range keys {
				if values[i] != t.Shape.value(v, k, t.Shape.perKey()-1, f) {
					return fmt.Errorf("%w: feature %d of key %d of view %d is %v", errUnequal, f, k, v, values[i])
				}
			}
		}
	}
	return nil
}

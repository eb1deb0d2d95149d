//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	asofv1 "github.com/asof-store/asof/proto/asof/v1"
)

// TestServingPage makes the requests that docs/serving.md and docs/protocols.md show, of a new project, and holds the answers against those that
// follow there.
func TestServingPage(t *testing.T) {
	pages, err := filepath.Abs(filepath.Join("..", "..", "docs"))
	if err != nil {
		t.Fatal(err)
	}
	inProject(t, "apply", "materialize")
	s := startServer(t, "--schedule=false", "--http-listen", "127.0.0.1:0")
	for name, n := range map[string]int{"serving.md": 3, "protocols.md": 2} {
		page, err := os.ReadFile(filepath.Join(pages, name))
		if err != nil {
			t.Fatal(err)
		}
		examples := regexp.MustCompile("(?s)```sh\n(curl|grpcurl) (.*?)-d '(.*?)'(.*?)\n```\n```json\n(.*?)```").FindAllStringSubmatch(string(page), -1)
		if len(examples) != n {
			t.Fatalf("%s has %d examples", name, len(examples))
		}
		for _, e := range examples {
			ask := s.overCurl
			if e[1] == "grpcurl" {
				ask = s.overGRPCurl
			}
			var got, want any
			text := ask(e[2]+e[4], e[3])
			if err := errors.Join(json.Unmarshal(text, &got), json.Unmarshal([]byte(e[5]), &want)); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s %s is answered %s\n%s", e[1], e[3], text, d)
			}
		}
	}
	s.stop(os.Interrupt)
}

func (s *served) overCurl(arguments, body string) []byte {
	s.t.Helper()
	path := regexp.MustCompile(`http://127\.0\.0\.1:7880(/\S+)`).FindStringSubmatch(arguments)[1]
	r, err := http.Post(s.web()+path, "application/x-www-form-urlencoded", strings.NewReader(body)) // as curl -d says
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		s.t.Fatal(err)
	}
	return text
}

func (s *served) overGRPCurl(arguments, body string) []byte {
	s.t.Helper()
	if !strings.HasSuffix(arguments, " 127.0.0.1:7878 "+strings.TrimPrefix(asofv1.FeatureStore_GetFeatures_FullMethodName, "/")) {
		s.t.Fatalf("grpcurl %s", arguments)
	}
	request := &asofv1.GetFeaturesRequest{}
	if err := protojson.Unmarshal([]byte(body), request); err != nil {
		s.t.Fatal(err)
	}
	c, err := dial(s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := asofv1.NewFeatureStoreClient(c.conn).GetFeatures(context.Background(), request)
	if err := errors.Join(err, c.close()); err != nil {
		s.t.Fatal(err)
	}
	text, err := protojson.Marshal(answer)
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

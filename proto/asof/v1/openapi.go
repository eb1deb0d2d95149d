// Package asofv1 is the wire contract of asof, described in the .proto files beside it, and what is generated from them.
package asofv1

import _ "embed" // for OpenAPI

// OpenAPI describes what asof.v1.FeatureStore answers over HTTP, as JSON. Nothing writes it.
//
//go:embed openapi.swagger.json
var OpenAPI []byte

// Package server answers feature lookups over gRPC: asof.v1.FeatureStore and asof.v1.Admin, described in proto/asof/v1,
// beside the standard health and reflection services.
//
// It is the place where requests become calls of package online and errors become status codes. Definitions come as a
// [Model] that may be replaced while the server runs; each request sees one.
package server

// Package openapi is the REST API's contract in Go: the models and the strict
// server interface generated from openapi.yaml, and conversions of domain values
// to those models. The command line prints the same models, so that its output
// equals the API's.
package openapi

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config generate.yaml ../openapi.yaml

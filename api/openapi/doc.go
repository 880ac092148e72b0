// Package openapi is the REST API's contract in Go: the models and the strict
// server interface generated from openapi.yaml, and how domain values become
// those models. The command line prints the same models, so that a file looks
// the same wherever it is asked for.
package openapi

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config generate.yaml ../openapi.yaml

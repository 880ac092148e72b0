// Package client is the client of the REST API. client.gen.go is generated from
// openapi.yaml, with a method of API for each operation (methods.tmpl); API adds the
// token, retries, paging, waiting and errors with kinds. All results are the models of
// package openapi.
package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config generate.yaml ../openapi.yaml

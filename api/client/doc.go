// Package client is the REST API's client, generated from openapi.yaml. It
// speaks in the models of package oas. Package remote makes an operator's
// tool of it: tokens, repeats and errors are there.
package client

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config generate.yaml ../openapi.yaml

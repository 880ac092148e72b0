// Package console implements the web console on the same operations as the REST API.
// Pages are HTML forms and links rendered on the server. Scripts only refresh them;
// nothing is loaded from other sites.
package console

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.977 generate -path . -lazy

// Package console is the web console: pages for people over the same operations
// as the REST API. Pages are plain HTML forms and links, made on the server;
// scripts only keep them up to date, and nothing comes from elsewhere.
package console

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.977 generate -path . -lazy

// Package api is stevedore's REST server. openapi.yaml comes first; package
// openapi is generated from it, and the handlers here fill in its interface. What they
// do is in package operations.
package api

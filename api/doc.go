// Package api is stevedore's REST server. Package openapi is generated from openapi.yaml;
// the handlers here implement its interface by calls of package operations.
package api

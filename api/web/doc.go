// Package web is what the API and the console share as HTTP services: the chain of
// middleware around both, the status of errors, and the credentials of requests.
package web

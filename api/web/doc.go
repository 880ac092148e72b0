// Package web has the HTTP middleware that the API and the console share, the status
// codes of errors, and the credentials of requests.
package web

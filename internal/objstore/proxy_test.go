package objstore_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy is between the client and the real store. It counts uploads and injects
// faults.
type proxy struct {
	// partBytes and partCount count the bodies of part and whole-object requests.
	partBytes atomic.Int64
	partCount atomic.Int64

	mu sync.Mutex
	// before, if not nil, sees each request and may change it; false closes the
	// connection without forwarding.
	before func(*http.Request) bool
	// drop, if not nil, reports whether to drop the store's response.
	drop func(*http.Request) bool
}

// startProxy returns the proxy and its host:port.
func startProxy(t *testing.T, endpoint string) (*proxy, string) {
	t.Helper()
	p := &proxy{}
	// The Host header stays the client's: it is part of the signature.
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: endpoint})
			r.Out.Host = r.In.Host
		},
		ModifyResponse: func(resp *http.Response) error {
			if p.answerDropped(resp.Request) {
				return io.ErrUnexpectedEOF
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.admit(r) {
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return p, strings.TrimPrefix(server.URL, "http://")
}

func (p *proxy) harm(before, drop func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.before, p.drop = before, drop
}

func (p *proxy) admit(r *http.Request) bool {
	p.mu.Lock()
	before := p.before
	p.mu.Unlock()
	if before != nil && !before(r) {
		return false
	}
	if r.Method == http.MethodPut {
		p.partCount.Add(1)
		p.partBytes.Add(r.ContentLength)
	}
	return true
}

func (p *proxy) answerDropped(r *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.drop != nil && p.drop(r)
}

func isPart(r *http.Request, number string) bool {
	return r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == number
}

func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// flipByte damages one byte in the middle of a request body.
func flipByte(t *testing.T, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	body[len(body)/2] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(body))
}

// flipInFile damages one bit of a staged file.
func flipInFile(t *testing.T, path string, content []byte, at int64) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer file.Close()
	_, err = file.WriteAt([]byte{content[at] ^ 1}, at)
	require.NoError(t, err)
}

package faults_test

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/test/sandbox"
)

// storeProxy is a proxy before the real object store that injects faults and counts the
// store's responses.
type storeProxy struct {
	// Address is host:port of the proxy.
	Address string

	mu sync.Mutex
	// meddle, if not nil, may change a request. It reports whether it has answered the
	// request itself.
	meddle func(http.ResponseWriter, *http.Request) (answered bool)
	// lose, if not nil, reports whether to drop the store's response.
	lose func(*http.Request) bool
	// parts counts stored parts by number, errors counts refusals by S3 code, lost counts
	// dropped responses. Refused clean-up does not count: two writers may both remove the
	// same upload.
	parts  map[string]int
	errors map[string]int
	lost   int
}

// newStoreProxy puts a proxy before the store of the cluster, for workers in this
// process.
func newStoreProxy(t *testing.T, h *sandbox.Cluster) *storeProxy {
	t.Helper()
	p := &storeProxy{parts: map[string]int{}, errors: map[string]int{}}
	// The Host header is kept: it is part of the signature.
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: h.S3.Endpoint})
			r.Out.Host = r.In.Host
		},
		ModifyResponse: p.note,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		meddle := p.meddle
		p.mu.Unlock()
		if meddle == nil || isTrial(r) || !meddle(w, r) {
			forward.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	p.Address = strings.TrimPrefix(server.URL, "http://")
	h.Cfg.S3.Endpoint = p.Address
	return p
}

// inject sets the faults of requests and responses; nil is none.
func (p *storeProxy) inject(meddle func(http.ResponseWriter, *http.Request) bool, lose func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meddle, p.lose = meddle, lose
}

// note counts a response of the store.
func (p *storeProxy) note(resp *http.Response) error {
	if isTrial(resp.Request) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if number := resp.Request.URL.Query().Get("partNumber"); resp.StatusCode == http.StatusOK && number != "" {
		p.parts[number]++
	}
	if resp.StatusCode >= http.StatusBadRequest && resp.Request.Method != http.MethodHead && resp.Request.Method != http.MethodDelete {
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		resp.Body = io.NopCloser(bytes.NewReader(text))
		var answer struct{ Code string }
		if xml.Unmarshal(text, &answer) == nil {
			p.errors[answer.Code]++
		}
	}
	if p.lose != nil && p.lose(resp.Request) {
		p.lost++
		return io.ErrUnexpectedEOF
	}
	return nil
}

// taken, refused and lostAnswers return the number of times the part was stored, of
// responses with the S3 code, and of dropped responses.
func (p *storeProxy) taken(part string) int   { return count(p, func() int { return p.parts[part] }) }
func (p *storeProxy) refused(code string) int { return count(p, func() int { return p.errors[code] }) }
func (p *storeProxy) lostAnswers() int        { return count(p, func() int { return p.lost }) }

func count(p *storeProxy, of func() int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return of()
}

// refuse answers with an S3 error in place of the store.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	_, _ = io.Copy(io.Discard, r.Body) // a client that still sends would see a broken connection
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "%s<Error><Code>%s</Code><Message>%s</Message><Resource>%s</Resource></Error>", xml.Header, code, message, r.URL.Path)
	}
}

// isTrial reports whether the request only probes the features of the store.
func isTrial(r *http.Request) bool { return strings.Contains(r.URL.Path, "/stevedore-probe") }

// isWrite reports whether the request contains bytes of a file.
func isWrite(r *http.Request) bool { return r.Method == http.MethodPut }

func isPart(r *http.Request, number string) bool {
	return isWrite(r) && r.URL.Query().Get("partNumber") == number
}

func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// flipInBody flips one bit in the middle of a request's body.
func flipInBody(t *testing.T, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	body[len(body)/2] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(body))
}

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

// storeProxy stands between a worker and the real object store. It does harm
// when told to and keeps count of what really happened.
type storeProxy struct {
	// Address is its host:port.
	Address string

	mu sync.Mutex
	// meddle, may be nil, sees each request and may change it; true says that
	// it has answered itself.
	meddle func(http.ResponseWriter, *http.Request) (answered bool)
	// lose, may be nil, says whether the store's answer is cut off.
	lose func(*http.Request) bool
	// parts counts, by number, the parts that the store took, errors its
	// refusals by S3 code, lost the answers that were cut off. Refused clean-up
	// does not count: two writers may both try to remove what is left.
	parts  map[string]int
	errors map[string]int
	lost   int
}

// newStoreProxy puts a proxy before the store of the test's world, whose
// workers in this process use it from then on.
func newStoreProxy(t *testing.T, h *sandbox.Cluster) *storeProxy {
	t.Helper()
	p := &storeProxy{parts: map[string]int{}, errors: map[string]int{}}
	// The Host header stays the client's: it is part of the signature.
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

// harm says what happens to requests and to answers from now on; nil is nothing.
func (p *storeProxy) harm(meddle func(http.ResponseWriter, *http.Request) bool, lose func(*http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meddle, p.lose = meddle, lose
}

// note counts what the store answered.
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

// taken is how often the store took the part, refused how often it answered
// with the S3 code, lostAnswers how many answers were cut off.
func (p *storeProxy) taken(part string) int   { return count(p, func() int { return p.parts[part] }) }
func (p *storeProxy) refused(code string) int { return count(p, func() int { return p.errors[code] }) }
func (p *storeProxy) lostAnswers() int        { return count(p, func() int { return p.lost }) }

func count(p *storeProxy, of func() int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return of()
}

// refuse answers in the store's place with an S3 error.
func refuse(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	_, _ = io.Copy(io.Discard, r.Body) // a client that still sends would see a broken connection
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "%s<Error><Code>%s</Code><Message>%s</Message><Resource>%s</Resource></Error>", xml.Header, code, message, r.URL.Path)
	}
}

// isTrial says that the request only tries out what the store can do.
func isTrial(r *http.Request) bool { return strings.Contains(r.URL.Path, "/stevedore-probe") }

// isWrite says that the request carries bytes of a file.
func isWrite(r *http.Request) bool { return r.Method == http.MethodPut }

func isPart(r *http.Request, number string) bool {
	return isWrite(r) && r.URL.Query().Get("partNumber") == number
}

func isComplete(r *http.Request) bool {
	return r.Method == http.MethodPost && r.URL.Query().Has("uploadId")
}

// flipInBody damages one bit in the middle of what a request carries.
func flipInBody(t *testing.T, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	body[len(body)/2] ^= 1
	r.Body = io.NopCloser(bytes.NewReader(body))
}

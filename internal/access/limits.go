package access

import (
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// defaultRate is far above the needs of users and scripts.
	defaultRate = 100
	burstFactor = 3
	// failureRate bounds the wrong tokens per second from one address.
	failureRate  = 1
	failureBurst = 30
	// MaxStreams bounds the open streams of a principal: each queries the ledger every
	// second.
	MaxStreams = 32
	// maxLimiters bounds the memory for limiters; deleting one allows a new burst.
	maxLimiters = 10_000
)

// TooManyError refuses a request that exceeds a rate limit.
type TooManyError struct{ Wait time.Duration }

// Seconds returns how long to wait, at least 1.
func (e *TooManyError) Seconds() int { return max(1, int(math.Ceil(e.Wait.Seconds()))) }

// Error returns one line.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many requests: wait %d s", e.Seconds())
}

// limits bounds the requests and open streams of each principal, and the wrong tokens from
// each address.
type limits struct {
	mu         sync.Mutex
	perSecond  float64
	principals map[string]*rate.Limiter
	addresses  map[string]*rate.Limiter
	now        func() time.Time
	// streams counts open streams by principal.
	streams map[string]int
}

func newLimits(perSecond float64, now func() time.Time) *limits {
	if perSecond <= 0 {
		perSecond = defaultRate
	}
	return &limits{perSecond: perSecond, principals: map[string]*rate.Limiter{}, addresses: map[string]*rate.Limiter{}, now: now, streams: map[string]int{}}
}

// take counts a principal's request. It returns a *TooManyError over the limit.
func (l *limits) take(principal string) error {
	limiter := l.limiter(l.principals, principal, l.perSecond, int(math.Ceil(l.perSecond*burstFactor)))
	if limiter.AllowN(l.now(), 1) {
		return nil
	}
	return &TooManyError{Wait: time.Duration(float64(time.Second) / l.perSecond)}
}

// failed counts a wrong token. It returns a *TooManyError over the address's limit.
func (l *limits) failed(address string) error {
	if l.limiter(l.addresses, address, failureRate, failureBurst).AllowN(l.now(), 1) {
		return nil
	}
	return &TooManyError{Wait: time.Second / failureRate}
}

// openStream counts a stream of the principal until closed is called; ok is false when the
// principal has MaxStreams.
func (l *limits) openStream(principal string) (closed func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[principal] >= MaxStreams {
		return nil, false
	}
	l.streams[principal]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.streams[principal]--; l.streams[principal] == 0 {
			delete(l.streams, principal)
		}
	}, true
}

func (l *limits) limiter(of map[string]*rate.Limiter, name string, perSecond float64, burst int) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := of[name]
	if limiter == nil {
		if len(of) >= maxLimiters {
			clear(of)
		}
		limiter = rate.NewLimiter(rate.Limit(perSecond), burst)
		of[name] = limiter
	}
	return limiter
}

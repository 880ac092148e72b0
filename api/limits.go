package api

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"
)

const (
	// defaultRate is far above what people and their scripts do.
	defaultRate = 100
	burstFactor = 3
	// failureRate bounds the wrong tokens that one address may try.
	failureRate  = 1
	failureBurst = 30
	// maxStreams is how many streams of changes a principal may have open: each
	// asks the ledger every second.
	maxStreams = 32
	// maxLimiters bounds what is remembered; forgetting gives a fresh burst.
	maxLimiters = 10_000
)

// limits bounds what one principal asks for and holds open, and how many wrong
// tokens one address tries.
type limits struct {
	mu         sync.Mutex
	perSecond  float64
	principals map[string]*rate.Limiter
	addresses  map[string]*rate.Limiter
	now        func() time.Time
	// streams counts those that are open, by principal.
	streams map[string]int
}

func newLimits(perSecond float64, now func() time.Time) *limits {
	if perSecond <= 0 {
		perSecond = defaultRate
	}
	return &limits{perSecond: perSecond, principals: map[string]*rate.Limiter{}, addresses: map[string]*rate.Limiter{}, now: now, streams: map[string]int{}}
}

// take counts a principal's request; if it is one too many it says how long to
// wait.
func (l *limits) take(principal string) (wait time.Duration, ok bool) {
	limiter := l.limiter(l.principals, principal, l.perSecond, int(math.Ceil(l.perSecond*burstFactor)))
	if limiter.AllowN(l.now(), 1) {
		return 0, true
	}
	return time.Duration(float64(time.Second) / l.perSecond), false
}

// failed counts a wrong token; if the address has tried too many it says how
// long to wait.
func (l *limits) failed(address string) (wait time.Duration, ok bool) {
	if l.limiter(l.addresses, address, failureRate, failureBurst).AllowN(l.now(), 1) {
		return 0, true
	}
	return time.Second / failureRate, false
}

// openStream counts a stream that a principal opens, until it is closed; false
// when there are too many.
func (l *limits) openStream(principal string) (closed func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[principal] >= maxStreams {
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

func tooMany(c echo.Context, wait time.Duration) error {
	seconds := max(1, int(math.Ceil(wait.Seconds())))
	c.Response().Header().Set("Retry-After", strconv.Itoa(seconds))
	return echo.NewHTTPError(http.StatusTooManyRequests, fmt.Sprintf("too many requests: wait %d s", seconds))
}

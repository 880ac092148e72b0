// Package ports chooses loopback ports: the preferred one if it is free, else any.
package ports

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// Loopback is the address that all processes of the stack listen on.
const Loopback = "127.0.0.1"

// Free reports whether the port is free.
func Free(port int) bool {
	l, err := net.Listen("tcp", Addr(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// WaitFree waits until the port is free and reports whether that happened within the
// limit.
func WaitFree(ctx context.Context, port int, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !Free(port) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(100 * time.Millisecond):
		}
	}
	return true
}

// Addr returns the loopback address of the port.
func Addr(port int) string { return net.JoinHostPort(Loopback, strconv.Itoa(port)) }

// Choose returns one port for each preferred one; 0 is no preference. All are distinct,
// because they are held until all are chosen.
func Choose(preferred ...int) ([]int, error) {
	var chosen []int
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, port := range preferred {
		l, err := listen(port)
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		held = append(held, l)
		chosen = append(chosen, l.Addr().(*net.TCPAddr).Port)
	}
	return chosen, nil
}

// Ports without a preference are chosen between lowest and highest, below the range from
// which Linux takes ports for connections and for port 0: there, another program may take
// a port between its choice and its use.
const lowest, highest = 10_000, 20_000

// listen occupies the port, or any other one if it is 0 or not free.
func listen(port int) (net.Listener, error) {
	if port > 0 {
		if l, err := net.Listen("tcp", Addr(port)); err == nil {
			return l, nil
		}
	}
	for range 100 {
		if l, err := net.Listen("tcp", Addr(lowest+rand.IntN(highest-lowest))); err == nil { //nolint:gosec // no secret
			return l, nil
		}
	}
	return net.Listen("tcp", Addr(0))
}

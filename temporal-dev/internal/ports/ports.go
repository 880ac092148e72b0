// Package ports chooses loopback ports: the usual one when it is free, else
// any other.
package ports

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"
)

// Loopback is the only address anything here listens on.
const Loopback = "127.0.0.1"

// Free reports whether the port can be listened on.
func Free(port int) bool {
	l, err := net.Listen("tcp", Addr(port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// WaitFree waits until the port can be listened on, at most for the given time.
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

// Choose returns one port for each preferred one, all different. Zero prefers
// none. All are held until all are chosen, so none is given out twice.
func Choose(preferred ...int) ([]int, error) {
	var chosen []int
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, port := range preferred {
		l, err := net.Listen("tcp", Addr(port))
		if err != nil {
			l, err = net.Listen("tcp", Addr(0))
		}
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		held = append(held, l)
		chosen = append(chosen, l.Addr().(*net.TCPAddr).Port)
	}
	return chosen, nil
}

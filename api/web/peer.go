package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// withPeer returns the request with the client's address as its RemoteAddr. Any client
// can write forwarded headers, so only those of the named proxies are trusted.
func withPeer(r *http.Request, proxies []netip.Prefix) *http.Request {
	direct := Address(r)
	address := direct
	if forwarded := r.Header.Values("X-Forwarded-For"); len(forwarded) > 0 && len(proxies) > 0 {
		address = peer(direct, strings.Split(strings.Join(forwarded, ","), ","), proxies)
	}
	if address == direct {
		return r
	}
	moved := r.WithContext(r.Context()) // a shallow copy
	moved.RemoteAddr = net.JoinHostPort(address, "0")
	return moved
}

// peer returns the last address in the list that is no trusted proxy; when all are, the
// first. When one before it is no address, no part of the list is trusted.
func peer(direct string, forwarded []string, proxies []netip.Prefix) string {
	last := direct
	for _, text := range slices.Backward(append(forwarded, direct)) {
		ip, err := netip.ParseAddr(strings.Trim(strings.TrimSpace(text), "[]"))
		if err != nil {
			return direct
		}
		last = ip.Unmap().WithZone("").String()
		if !slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(ip.Unmap().WithZone("")) }) {
			return last
		}
	}
	return last
}

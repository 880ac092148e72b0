package api

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/labstack/echo/v4"
)

// peerOf returns how to find the address of whoever sent a request. Forwarded
// headers can be written by anybody, so they are believed of the named proxies
// alone; without any the peer is who connects.
func peerOf(proxies []netip.Prefix) echo.IPExtractor {
	if len(proxies) == 0 {
		return echo.ExtractIPDirect()
	}
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, proxy := range proxies {
		proxy = proxy.Masked()
		trust = append(trust, echo.TrustIPRange(&net.IPNet{
			IP: proxy.Addr().AsSlice(), Mask: net.CIDRMask(proxy.Bits(), proxy.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}

// fromPeer makes the peer the request's address, so that everything behind has
// one answer to who asks.
func fromPeer(peer echo.IPExtractor, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		address := peer(r)
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && host == address {
			next.ServeHTTP(w, r)
			return
		}
		moved := r.WithContext(r.Context()) // a shallow copy
		moved.RemoteAddr = net.JoinHostPort(address, "0")
		next.ServeHTTP(w, moved)
	})
}

package ingest

import (
	"net/url"
	"strings"
)

// validateRoute checks the proxy and the jump host. It rejects credentials of a
// proxy, because the setting is visible to every user.
func (s Server) validateRoute() (errs []error) {
	bad := func(field, format string, args ...any) { errs = append(errs, fieldErrorf(field, format, args...)) }
	if s.Proxy != "" {
		to, err := url.Parse(s.Proxy)
		switch {
		case err != nil || to.Scheme != "socks5" && to.Scheme != "http" || to.Hostname() == "" || to.Port() == "" || strings.Trim(to.Path, "/") != "" || to.RawQuery != "":
			bad("proxy", "proxy %s: use socks5://host:port or http://host:port", hideUser(s.Proxy))
		case to.User != nil:
			bad("proxy", "proxy: user names and passwords of proxies are not supported; allow the worker's address on the proxy instead")
		}
	}
	switch {
	case s.Jump != "" && !ValidName(s.Jump):
		bad("jump", "jump %s: use the name of another server", Summary(s.Jump))
	case s.Jump != "" && s.Jump == s.Name:
		bad("jump", "jump: a server cannot be its own jump host")
	case s.Jump != "" && s.Proxy != "":
		bad("jump", "jump: use either a jump host or a proxy; the jump host's own proxy applies")
	}
	return errs
}

// hideUser removes the part of an address that may be a password.
func hideUser(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		address = "..." + address[at:]
	}
	return Summary(address)
}

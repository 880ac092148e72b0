package ingest

import (
	"net/url"
	"strings"
)

// validateRoute checks the proxy and the jump host. A proxy's own credentials have
// no place in a setting that everybody sees.
func (s Server) validateRoute() (errs []error) {
	bad := func(field, format string, args ...any) { errs = append(errs, fieldErrorf(field, format, args...)) }
	if s.Proxy != "" {
		to, err := url.Parse(s.Proxy)
		switch {
		case err != nil || to.Scheme != "socks5" && to.Scheme != "http" || to.Hostname() == "" || to.Port() == "" || strings.Trim(to.Path, "/") != "" || to.RawQuery != "":
			bad("proxy", "proxy %s: use socks5://host:port or http://host:port", hideUser(s.Proxy))
		case to.User != nil:
			bad("proxy", "proxy: user names and passwords of proxies are not supported; allow this machine's address at the proxy")
		}
	}
	switch {
	case s.Jump != "" && !ValidName(s.Jump):
		bad("jump", "jump %s: use the name of another server", Summary(s.Jump))
	case s.Jump != "" && s.Jump == s.Name:
		bad("jump", "jump: a server cannot be its own jump host")
	case s.Jump != "" && s.Proxy != "":
		bad("jump", "jump: use a jump host or a proxy; the proxy of the jump host is used, too")
	}
	return errs
}

// hideUser leaves out what may be a password.
func hideUser(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		address = "..." + address[at:]
	}
	return Summary(address)
}

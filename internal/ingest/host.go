package ingest

import (
	"net/netip"
	"strings"
	"unicode"
)

// hostAdvice returns the advice for an invalid host; empty for a valid one.
func hostAdvice(host string) string {
	_, behind, scheme := strings.Cut(host, "://")
	user, at, account := strings.Cut(host, "@")
	name, port, hasPort := strings.Cut(host, ":")
	_, err := netip.ParseAddr(host)
	switch {
	case err == nil:
		return ""
	case host == "":
		return "use a DNS name or an IP address"
	case scheme:
		behind, _, _ = strings.Cut(behind, "/")
		return "use the name alone, without a scheme or a path: " + behind
	case account:
		return "use " + user + " as the user name and " + at + " as the host"
	case strings.ContainsAny(host, "[]"):
		return "use an IPv6 address without brackets, such as 2001:db8::1; the port is a separate setting"
	case hasPort && strings.Trim(port, "0123456789") == "":
		return "use " + name + " as the host; the port is a separate setting"
	case strings.ContainsAny(host, ":/ \t\n"):
		return "use a DNS name or an IP address, without spaces, ':' or '/'"
	case strings.IndexFunc(host, func(r rune) bool { return r > unicode.MaxASCII && unicode.IsLetter(r) }) >= 0:
		return "use the ASCII form of the name, such as xn--e1afmkfd.example"
	default:
		return ""
	}
}

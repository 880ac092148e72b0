package sftp

import (
	"net/netip"
	"syscall"

	"stevedore/internal/ingest"
)

// allowVariable is where an operator allows a special network.
const allowVariable = "STEVEDORE_SFTP_ALLOW_NETWORKS"

// specialNetworks are what netip has no predicate for, by the name people know.
var specialNetworks = []struct {
	prefix netip.Prefix
	name   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmark"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	// These carry an IPv4 address that a gateway takes out again, which may be
	// any of the above.
	{netip.MustParsePrefix("64:ff9b::/96"), "translated"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "translated"},
	{netip.MustParsePrefix("2002::/16"), "translated"},
}

// addressGuard refuses to connect to addresses in special networks. It looks
// at the address after the name was resolved, at the moment of connecting: a
// name that answers differently the second time gains nothing.
type addressGuard struct {
	server  ingest.Server
	allowed []netip.Prefix
}

// control fits net.Dialer.Control.
func (g addressGuard) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return ingest.Wrap(ingest.KindForbiddenAddress, err, "server %s: address %q cannot be checked", g.server.Name, address)
	}
	return g.check(target.Addr())
}

// check refuses an address of a special network that is not allowed.
func (g addressGuard) check(addr netip.Addr) error {
	addr = plainAddress(addr)
	network := specialNetwork(addr)
	if network == "" {
		return nil
	}
	for _, prefix := range g.allowed {
		if prefix.Contains(addr) {
			return nil
		}
	}
	return ingest.Errorf(ingest.KindForbiddenAddress,
		"server %s: %s is at %s, a %s address, which is not allowed; if the server really is there, add %s to %s",
		g.server.Name, g.server.Host, addr, network, netip.PrefixFrom(addr, addr.BitLen()), allowVariable)
}

// specialNetwork names the kind of network of an address that is not plainly
// public; empty for public ones.
func specialNetwork(addr netip.Addr) string {
	switch {
	case addr.IsLoopback():
		return "loopback"
	case addr.IsPrivate():
		return "private"
	case addr.IsLinkLocalUnicast(), addr.IsLinkLocalMulticast(), addr.IsInterfaceLocalMulticast():
		return "link-local"
	case addr.IsMulticast():
		return "multicast"
	case addr.IsUnspecified():
		return "unspecified"
	}
	for _, special := range specialNetworks {
		if special.prefix.Contains(addr) {
			return special.name
		}
	}
	return ""
}

// plainAddress returns the address without its zone, and an IPv4 address that is
// written as an IPv6 one ("::ffff:127.0.0.1", or "::127.0.0.1" of old) as itself:
// both are connected to as IPv4, or may be.
func plainAddress(addr netip.Addr) netip.Addr {
	addr = addr.WithZone("").Unmap()
	if bytes := addr.As16(); addr.Is6() && compatible.Contains(addr) && (bytes[12] != 0 || bytes[13] != 0) {
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return addr
}

// compatible are the IPv4-compatible addresses of old (RFC 4291, 2.5.5.1).
var compatible = netip.MustParsePrefix("::/96")

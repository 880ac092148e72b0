package sftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"

	"stevedore/internal/ingest"
)

// allowVariable is the environment variable that lists the allowed special networks.
const allowVariable = "STEVEDORE_SFTP_ALLOW_NETWORKS"

// specialNetworks are the special networks without a predicate in net/netip.
var specialNetworks = []struct {
	prefix netip.Prefix
	name   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-private"},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmark"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	// These embed an IPv4 address that a gateway extracts, which may be in any
	// special network.
	{netip.MustParsePrefix("64:ff9b::/96"), "translated"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "translated"},
	{netip.MustParsePrefix("2002::/16"), "translated"},
}

// addressGuard refuses connections to addresses in special networks. It checks the
// resolved address at connect time, which defeats DNS rebinding.
type addressGuard struct {
	server  ingest.Server
	allowed []netip.Prefix
}

// guardedDialer connects to the addresses of a host that the guard allows.
type guardedDialer struct{ addressGuard }

// DialContext implements proxy.ContextDialer. Of several addresses, net.Dialer returns
// the error of the first one; a forbidden address is the cause only if none is allowed.
func (g guardedDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var allowed atomic.Bool
	dialer := net.Dialer{Control: func(network, address string, raw syscall.RawConn) error {
		err := g.control(network, address, raw)
		if err == nil {
			allowed.Store(true)
		}
		return err
	}}
	conn, err := dialer.DialContext(ctx, network, address)
	var forbidden *ingest.Error
	if errors.As(err, &forbidden) && allowed.Load() {
		return nil, fmt.Errorf("none of its allowed addresses can be reached, and another one is forbidden: %s", forbidden.Message) //nolint:errorlint // not permanent
	}
	return conn, err
}

// control implements net.Dialer.Control.
func (g addressGuard) control(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return ingest.Wrap(ingest.KindForbiddenAddress, err, "server %s: address %q cannot be checked", g.server.Name, address)
	}
	return g.check(target.Addr())
}

// check returns an error for an address in a special network that is not allowed.
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
		"server %s: %s resolves to %s, a %s address, which is not allowed; if this is intended, add %s to %s",
		g.server.Name, g.server.Host, addr, network, netip.PrefixFrom(addr, addr.BitLen()), allowVariable)
}

// specialNetwork returns the name of the special network that contains the address,
// and "" for a public address.
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

// plainAddress removes the zone and converts IPv4-mapped ("::ffff:127.0.0.1") and
// IPv4-compatible ("::127.0.0.1") addresses to IPv4, because the system may connect
// to them by IPv4.
func plainAddress(addr netip.Addr) netip.Addr {
	addr = addr.WithZone("").Unmap()
	if bytes := addr.As16(); addr.Is6() && compatible.Contains(addr) && (bytes[12] != 0 || bytes[13] != 0) {
		return netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return addr
}

// compatible is the prefix of the deprecated IPv4-compatible addresses (RFC 4291, 2.5.5.1).
var compatible = netip.MustParsePrefix("::/96")

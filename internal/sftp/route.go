package sftp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"golang.org/x/net/proxy"

	"stevedore/internal/ingest"
)

// maxJumps bounds a chain of jump hosts.
const maxJumps = 4

// routeTo returns the server and its jump hosts, the nearest last.
func routeTo(ctx context.Context, directory Directory, server ingest.Server) ([]ingest.Server, error) {
	route := []ingest.Server{server}
	for at := server; at.Jump != ""; at = route[len(route)-1] {
		if directory == nil || len(route) > maxJumps {
			return nil, ingest.Errorf(ingest.KindServer, "server %s: more than %d jump hosts, or jump hosts are not supported here", server.Name, maxJumps)
		}
		jump, err := directory.ServerByName(ctx, at.Jump)
		switch {
		case ingest.IsKind(err, ingest.KindMissing):
			return nil, ingest.Errorf(ingest.KindServer, "server %s: its jump host %s does not exist: add it, or correct --jump", at.Name, at.Jump)
		case err != nil:
			return nil, err
		case slices.ContainsFunc(route, func(s ingest.Server) bool { return s.UUID == jump.UUID }):
			return nil, ingest.Errorf(ingest.KindServer, "server %s: its jump hosts form a loop at %s: correct --jump", server.Name, jump.Name)
		}
		route = append(route, jump)
	}
	return route, nil
}

// connect connects to the server directly, through its proxy, or through its jump host.
func (d *dialer) connect(ctx context.Context) (*meteredConn, error) {
	if d.via != nil {
		return d.jump(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.ConnectTimeout)
	defer cancel()
	guard := addressGuard{server: d.server, allowed: d.cfg.AllowNetworks}
	tcp := guardedDialer{guard}
	if d.server.Proxy != "" {
		return d.throughProxy(ctx, guard, tcp)
	}
	raw, err := tcp.DialContext(ctx, "tcp", d.address())
	if err != nil {
		return nil, &connectError{address: d.address(), err: err}
	}
	return newMeteredConn(raw, nil), nil
}

// jump logs in to the jump host and opens a channel to the server.
func (d *dialer) jump(ctx context.Context) (*meteredConn, error) {
	guard := addressGuard{server: d.server, allowed: d.cfg.AllowNetworks}
	if err := guard.checkLiteral(d.server.Host); err != nil {
		return nil, err
	}
	host, err := d.via.establish(ctx, func(*conn) error { return nil })
	if err != nil {
		return nil, jumpHostError(d.server, d.via.server, err)
	}
	limit := time.AfterFunc(d.cfg.ConnectTimeout, host.kill)
	raw, err := host.ssh.DialContext(ctx, "tcp", d.address())
	if err != nil || !limit.Stop() {
		host.kill()
		host.watchers.Wait()
		if err == nil {
			err = errSlow
		}
		return nil, ingest.Wrap(ingest.KindTransient, err, "server %s: jump host %s cannot connect to %s: %s",
			d.server.Name, d.via.server.Name, d.address(), ingest.Summary(err.Error()))
	}
	return newMeteredConn(raw, host), nil
}

// throughProxy connects through a SOCKS5 or HTTP proxy. The proxy resolves names, so
// that only a literal address can be checked here.
func (d *dialer) throughProxy(ctx context.Context, guard addressGuard, tcp guardedDialer) (*meteredConn, error) {
	if err := guard.checkLiteral(d.server.Host); err != nil {
		return nil, err
	}
	to, err := url.Parse(d.server.Proxy)
	if err != nil {
		return nil, ingest.Errorf(ingest.KindServer, "server %s: proxy %s is not a URL like socks5://host:port", d.server.Name, ingest.Summary(d.server.Proxy))
	}
	forward := &proxyDialer{guardedDialer: tcp, name: "its proxy " + to.Host}
	var raw net.Conn
	if to.Scheme == "http" {
		raw, err = d.connectHTTP(ctx, forward, to.Host)
	} else {
		raw, err = connectSOCKS(ctx, forward, to.Host, d.address())
	}
	var connect *connectError
	var known *ingest.Error
	switch {
	case err == nil:
		return newMeteredConn(raw, nil), nil
	case errors.As(err, &known):
		return nil, known
	case errors.As(err, &connect):
		return nil, connect
	case isTimeout(err), ctx.Err() != nil:
		return nil, ingest.Wrap(ingest.KindTransient, err, "server %s: %s did not connect to %s within %s; check the proxy, or raise --connect-timeout",
			d.server.Name, forward.name, d.address(), d.cfg.ConnectTimeout)
	default:
		return nil, ingest.Wrap(ingest.KindTransient, err, "server %s: %s did not connect to %s: %s; check the proxy and its access rules",
			d.server.Name, forward.name, d.address(), ingest.Summary(err.Error()))
	}
}

// proxyDialer connects to the proxy and marks its failures as connectError, which
// distinguishes an unreachable proxy from one that refuses.
type proxyDialer struct {
	guardedDialer
	name string
}

// DialContext implements proxy.ContextDialer.
func (p *proxyDialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	raw, err := p.guardedDialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, &connectError{address: p.name, err: err}
	}
	return raw, nil
}

// Dial implements proxy.Dialer.
func (p *proxyDialer) Dial(network, address string) (net.Conn, error) {
	return p.DialContext(context.Background(), network, address)
}

func connectSOCKS(ctx context.Context, forward *proxyDialer, proxyAddress, address string) (net.Conn, error) {
	socks, err := proxy.SOCKS5("tcp", proxyAddress, nil, forward)
	if err != nil {
		return nil, err
	}
	dialer, ok := socks.(proxy.ContextDialer)
	if !ok {
		return nil, errors.New("the SOCKS5 client does not support contexts")
	}
	return dialer.DialContext(ctx, "tcp", address)
}

// connectHTTP requests a tunnel from an HTTP proxy.
func (d *dialer) connectHTTP(ctx context.Context, forward *proxyDialer, proxyAddress string) (net.Conn, error) {
	raw, err := forward.DialContext(ctx, "tcp", proxyAddress)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	limited := &io.LimitedReader{R: raw, N: maxProxyResponse}
	reader := bufio.NewReader(limited)
	if err := requestTunnel(raw, reader, d.address()); err != nil {
		_ = raw.Close()
		if limited.N <= 0 {
			err = errors.New("its response is too long")
		}
		return nil, err
	}
	limited.N = math.MaxInt64 // the rest is the server's data
	if !stop() {
		return nil, ctx.Err()
	}
	return &tunnel{Conn: raw, reader: reader}, nil
}

// maxProxyResponse bounds the response header of a proxy.
const maxProxyResponse = 64 << 10

func requestTunnel(raw net.Conn, reader *bufio.Reader, address string) error {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if err := request.Write(raw); err != nil {
		return err
	}
	// The body is not closed: that would read the server's first bytes if a proxy states a
	// length, which is to be ignored (RFC 9110, 9.3.6).
	response, err := http.ReadResponse(reader, request) //nolint:bodyclose // see above
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("it responded %s", quoted(response.Status))
	}
	return nil
}

// tunnel is a connection whose first bytes may be buffered in reader.
type tunnel struct {
	net.Conn
	reader *bufio.Reader
}

// Read implements net.Conn.
func (t *tunnel) Read(p []byte) (int, error) { return t.reader.Read(p) }

// checkLiteral returns an error for a literal address in a special network that is not
// allowed. Names pass: the proxy or jump host resolves them.
func (g addressGuard) checkLiteral(host string) error {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return nil //nolint:nilerr // a host name
	}
	return g.check(addr)
}

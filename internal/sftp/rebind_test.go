package sftp_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// rebindingName is the only name that rebinding resolves.
const rebindingName = "partner.rebinds.test."

// TestFault64_ForbiddenHosts checks that local addresses are refused in every notation.
func TestFault64_ForbiddenHosts(t *testing.T) {
	t.Parallel()
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	outside := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // not a local network
	pool := newPool(t, sftp.Config{AllowNetworks: outside}, secrets{PrivateKey: sshd.PrivateKeyPEM})
	for host, plain := range map[string]bool{
		"169.254.169.254": true, "[::ffff:169.254.169.254]": false, "127.0.0.1": true, "localhost": true, "::1": true,
		// Notations that only some resolvers accept may fail with another error; no
		// connection must be made.
		"127.1": false, "2130706433": false, "0x7f000001": false, "0177.0.0.1": false, "127.0.0.1.": false,
	} {
		server := sshd.Server("acme", uuid.NewString())
		server.Host = host
		_, err := pool.Open(deadline(t), server)
		require.Error(t, err, host)
		if plain {
			requireKind(t, err, ingest.KindForbiddenAddress, "STEVEDORE_SFTP_ALLOW_NETWORKS")
		}
	}
	// sshd writes its log asynchronously, in the order of the connections: the last one
	// is allowed.
	open(t, newPool(t, sftp.Config{}, secrets{PrivateKey: sshd.PrivateKeyPEM}), sshd.Server("acme", uuid.NewString()))
	sshd.AwaitLog(t, "Accepted publickey for")
	require.Equal(t, 1, strings.Count(sshd.Log(t), "Connection from"), "a forbidden connection was made:\n%s", sshd.Log(t))
}

// TestFault64_NameThatRebinds checks that each connection checks the address that the name
// resolves to at that time.
func TestFault64_NameThatRebinds(t *testing.T) {
	t.Parallel()
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	server := sshd.Server("acme", uuid.NewString())
	server.Host = strings.TrimSuffix(rebindingName, ".")
	server.HostKeys = []string{sshd.HostKeyLine}
	var asked atomic.Int32
	rebinding.answer.Store(func() [][4]byte {
		if asked.Add(1) == 1 {
			return [][4]byte{{127, 0, 0, 1}}
		}
		return [][4]byte{{127, 0, 0, 2}}
	})
	allowed := sftp.Config{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}
	first := newPool(t, allowed, secrets{PrivateKey: sshd.PrivateKeyPEM})
	require.NoError(t, open(t, first, server).Close())

	_, err := newPool(t, allowed, secrets{PrivateKey: sshd.PrivateKeyPEM}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindForbiddenAddress, "127.0.0.2", "loopback")

	// A forbidden address beside an allowed one neither prevents the connection nor makes
	// an outage permanent.
	rebinding.answer.Store(func() [][4]byte { return [][4]byte{{127, 0, 0, 2}, {127, 0, 0, 1}} })
	require.NoError(t, open(t, newPool(t, allowed, secrets{PrivateKey: sshd.PrivateKeyPEM}), server).Close())
	sshd.Stop(t)
	_, err = newPool(t, allowed, secrets{PrivateKey: sshd.PrivateKeyPEM}).Open(deadline(t), server)
	requireKind(t, err, ingest.KindTransient, "127.0.0.2", "another one is forbidden")
}

// rebinding is a name server on the loopback interface.
var rebinding resolver

// resolver resolves only rebindingName.
type resolver struct{ answer atomic.Value }

// install makes it the resolver of the process, because net.DefaultResolver is global.
func (r *resolver) install() error {
	line, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go r.serve(line)
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", line.LocalAddr().String())
	}}
	return nil
}

func (r *resolver) serve(line net.PacketConn) {
	packet := make([]byte, 1500)
	for {
		n, from, err := line.ReadFrom(packet)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		r.fill(&m)
		if reply, err := m.Pack(); err == nil {
			_, _ = line.WriteTo(reply, from)
		}
	}
}

// fill adds the answer to the question. There is no other name, and no IPv6.
func (r *resolver) fill(m *dnsmessage.Message) {
	question := m.Questions[0]
	m.Response, m.Additionals = true, nil
	answer, ok := r.answer.Load().(func() [][4]byte)
	switch {
	case !ok || question.Name.String() != rebindingName:
		m.RCode = dnsmessage.RCodeNameError
	case question.Type == dnsmessage.TypeA:
		for _, address := range answer() {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: question.Class},
				Body:   &dnsmessage.AResource{A: address},
			})
		}
	}
}

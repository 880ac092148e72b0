package services

import (
	"crypto/ed25519"
	cryptorand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// Garbage is an SFTP server in this process whose answers are those of a good one,
// of which some are changed at random: bits flipped, cut, longer, repeated, left
// out, of another type, for another request, or not SFTP at all. The seed repeats
// what it does, as far as the requests do.
type Garbage struct {
	Host        string
	Port        int
	Password    string
	HostKeyLine string
	// CorruptPercent is how many of a hundred answers are changed.
	CorruptPercent int

	seed     uint64
	handlers sftp.Handlers
	listener net.Listener
	config   *ssh.ServerConfig

	mu    sync.Mutex
	conns map[net.Conn]bool // nil once it is closed
	came  uint64
	serve sync.WaitGroup
}

// StartGarbage starts the server with some files and folders in /in. It ends with
// Close, and with the test.
func StartGarbage(t testing.TB, seed uint64) *Garbage {
	t.Helper()
	_, private, err := ed25519.GenerateKey(cryptorand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &Garbage{
		Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Password: "p", HostKeyLine: authorizedLine(signer.PublicKey()),
		CorruptPercent: 10, seed: seed, handlers: sftp.InMemHandler(), listener: listener, conns: map[net.Conn]bool{},
		config: &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, nil }},
	}
	g.config.AddHostKey(signer)
	require.NoError(t, g.fill())
	t.Cleanup(g.Close)
	g.serve.Go(g.accept)
	return g
}

// fill makes two folders with some files.
func (g *Garbage) fill() error {
	for _, folder := range []string{"/in", "/in/deep", "/in/done"} {
		if err := g.handlers.FileCmd.Filecmd(sftp.NewRequest("Mkdir", folder)); err != nil {
			return err
		}
	}
	for i := range 20 {
		request := sftp.NewRequest("Put", fmt.Sprintf("/in/%s%02d.csv", []string{"", "deep/"}[i%2], i))
		request.Flags = 0x1a // write, create, truncate
		file, err := g.handlers.FilePut.Filewrite(request)
		if err == nil {
			_, err = file.WriteAt(make([]byte, 100+40_000*i%100_000), 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Server returns the settings to reach it.
func (g *Garbage) Server(name, uuid string) ingest.Server {
	return ingest.Server{
		UUID: uuid, Name: name, Host: g.Host, Port: g.Port, Username: "u", HostKeys: []string{g.HostKeyLine},
		RootPath: "/in", MaxParallel: 4, AfterIngest: ingest.AfterKeep, Active: true, State: ingest.ServerOK,
	}
}

// Close ends the server and every connection, and waits for that.
func (g *Garbage) Close() {
	_ = g.listener.Close()
	g.mu.Lock()
	for conn := range g.conns {
		_ = conn.Close()
	}
	g.conns = nil
	g.mu.Unlock()
	g.serve.Wait()
}

func (g *Garbage) accept() {
	for {
		conn, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		if g.conns == nil {
			g.mu.Unlock()
			_ = conn.Close()
			return
		}
		g.conns[conn] = true
		g.came++
		random := rand.New(rand.NewPCG(g.seed, g.came))
		g.serve.Go(func() { g.talk(conn, random) })
		g.mu.Unlock()
	}
}

func (g *Garbage) talk(conn net.Conn, random *rand.Rand) {
	defer func() { _ = conn.Close() }()
	_, channels, requests, err := ssh.NewServerConn(conn, g.config)
	if err != nil {
		return
	}
	g.serve.Go(func() { ssh.DiscardRequests(requests) })
	for offer := range channels {
		channel, requests, err := offer.Accept()
		if err != nil {
			return
		}
		g.serve.Go(func() {
			for request := range requests {
				_ = request.Reply(request.Type == "subsystem", nil)
			}
		})
		g.serve.Go(func() {
			defer func() { _ = channel.Close() }()
			spoiler := &spoiler{Channel: channel, random: random, spoilt: g.CorruptPercent}
			_ = sftp.NewRequestServer(spoiler, g.handlers).Serve()
		})
	}
}

// spoiler changes some of the packets that are written to a channel.
type spoiler struct {
	ssh.Channel
	spoilt int

	mu     sync.Mutex // answers are written by several goroutines
	random *rand.Rand
	packet []byte // the one that is being written
	ended  bool
}

// Write takes packets, also in pieces, and sends each when it is whole.
func (s *spoiler) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, io.ErrClosedPipe
	}
	s.packet = append(s.packet, p...)
	for len(s.packet) >= 4 {
		whole := 4 + int(binary.BigEndian.Uint32(s.packet))
		if len(s.packet) < whole {
			break
		}
		out := s.packet[:whole:whole]
		s.packet = s.packet[whole:]
		if s.random.IntN(100) < s.spoilt {
			out = s.spoil(out)
		}
		if _, err := s.Channel.Write(out); err != nil {
			return 0, err
		}
		if s.ended {
			_ = s.Close()
			return 0, errors.New("the server hangs up")
		}
	}
	return len(p), nil
}

// spoil returns what is sent in the packet's place. Its length is mended where
// only what follows is to be wrong.
func (s *spoiler) spoil(packet []byte) []byte {
	body := packet[4:]
	switch s.random.IntN(11) {
	case 0, 1: // other bytes
		for range 1 + s.random.IntN(4) {
			body[s.random.IntN(len(body))] = byte(s.random.Uint32())
		}
		return packet
	case 2: // shorter
		return framed(body[:1+s.random.IntN(len(body))])
	case 3: // longer
		return framed(append(body, s.noise(s.random.IntN(2000))...))
	case 4: // of another type
		body[0] = byte(99 + s.random.IntN(8))
		return packet
	case 5: // twice
		return append(packet, packet...)
	case 6: // never
		return nil
	case 7: // a length that is not so
		binary.BigEndian.PutUint32(packet, []uint32{0, 1, 4, 1 << 18, 1<<18 + 1, 1 << 20, 1 << 31, 1<<32 - 1}[s.random.IntN(8)])
		return packet
	case 8: // of noise, for the right request
		size := s.random.IntN(1 << s.random.IntN(18))
		return framed(append(body[:min(5, len(body)):min(5, len(body))], s.noise(size)...))
	case 9: // a number within it that is very large
		if len(body) >= 13 {
			binary.BigEndian.PutUint32(body[5+4*s.random.IntN((len(body)-9)/4):], 1<<(16+s.random.UintN(16))-1)
		}
		return packet
	default: // nothing ever again
		s.ended = true
		return s.noise(s.random.IntN(100))
	}
}

func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func (s *spoiler) noise(size int) []byte {
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(s.random.Uint32())
	}
	return noise
}

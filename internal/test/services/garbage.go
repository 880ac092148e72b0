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

// Garbage is an in-process SFTP server that corrupts some of its responses at random:
// flipped bytes, shorter, longer, repeated, missing, of another type, with wrong lengths
// or numbers, or no SFTP at all. The same seed and requests give the same responses.
type Garbage struct {
	Host        string
	Port        int
	Password    string
	HostKeyLine string
	// CorruptPercent is the share of corrupted responses in percent. Default: 10.
	CorruptPercent int

	seed     uint64
	handlers sftp.Handlers
	listener net.Listener
	config   *ssh.ServerConfig

	mu    sync.Mutex
	conns map[net.Conn]bool // nil after Close
	count uint64            // connections so far
	serve sync.WaitGroup
}

// StartGarbage starts the server with some files and folders in /in. It ends with Close
// or with the test.
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

// fill creates folders with some files.
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

// Server returns the settings to connect to it.
func (g *Garbage) Server(name, uuid string) ingest.Server {
	return ingest.Server{
		UUID: uuid, Name: name, Host: g.Host, Port: g.Port, Username: "u", HostKeys: []string{g.HostKeyLine},
		RootPath: "/in", MaxParallel: 4, AfterIngest: ingest.AfterKeep, Active: true, State: ingest.ServerOK,
	}
}

// Close closes the server and its connections, and waits for their goroutines.
func (g *Garbage) Close() {
	_ = g.listener.Close()
	g.mu.Lock()
	for conn := range g.conns {
		_ = conn.Close()
	}
	g.conns = nil
	g.mu.Unlock()
	g.serve.Wait()
	// The test keeps a reference to Close, and so to the files, until it ends.
	g.handlers = sftp.Handlers{}
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
		g.count++
		random := rand.New(rand.NewPCG(g.seed, g.count))
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
			corrupted := &corrupter{Channel: channel, random: random, percent: g.CorruptPercent}
			_ = sftp.NewRequestServer(corrupted, g.handlers).Serve()
		})
	}
}

// corrupter corrupts some of the packets written to a channel.
type corrupter struct {
	ssh.Channel
	percent int

	mu     sync.Mutex // several goroutines write responses
	random *rand.Rand
	packet []byte // written but not sent yet
	ended  bool
}

// Write collects pieces of packets and sends each packet when it is complete.
func (s *corrupter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, io.ErrClosedPipe
	}
	s.packet = append(s.packet, p...)
	for len(s.packet) >= 4 {
		size := 4 + int(binary.BigEndian.Uint32(s.packet))
		if len(s.packet) < size {
			break
		}
		out := s.packet[:size:size]
		s.packet = s.packet[size:]
		if s.random.IntN(100) < s.percent {
			out = s.corrupt(out)
		}
		if _, err := s.Channel.Write(out); err != nil {
			return 0, err
		}
		if s.ended {
			_ = s.Close()
			return 0, errors.New("connection closed by the server")
		}
	}
	return len(p), nil
}

// corrupt returns a replacement for the packet. Its length field is correct unless the
// length itself is the fault.
func (s *corrupter) corrupt(packet []byte) []byte {
	body := packet[4:]
	switch s.random.IntN(11) {
	case 0, 1: // random bytes
		for range 1 + s.random.IntN(4) {
			body[s.random.IntN(len(body))] = byte(s.random.Uint32())
		}
		return packet
	case 2: // shorter
		return framed(body[:1+s.random.IntN(len(body))])
	case 3: // longer
		return framed(append(body, s.noise(s.random.IntN(2000))...))
	case 4: // another type
		body[0] = byte(99 + s.random.IntN(8))
		return packet
	case 5: // repeated
		return append(packet, packet...)
	case 6: // missing
		return nil
	case 7: // a wrong length
		binary.BigEndian.PutUint32(packet, []uint32{0, 1, 4, 1 << 18, 1<<18 + 1, 1 << 20, 1 << 31, 1<<32 - 1}[s.random.IntN(8)])
		return packet
	case 8: // noise, with the id of the request
		size := s.random.IntN(1 << s.random.IntN(18))
		return framed(append(body[:min(5, len(body)):min(5, len(body))], s.noise(size)...))
	case 9: // a very large number inside
		if len(body) >= 13 {
			binary.BigEndian.PutUint32(body[5+4*s.random.IntN((len(body)-9)/4):], 1<<(16+s.random.UintN(16))-1)
		}
		return packet
	default: // noise, then the end of the connection
		s.ended = true
		return s.noise(s.random.IntN(100))
	}
}

func framed(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

func (s *corrupter) noise(size int) []byte {
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(s.random.Uint32())
	}
	return noise
}

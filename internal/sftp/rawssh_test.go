package sftp_test

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// Message numbers of SSH (RFC 4250).
const (
	msgDisconnect      = 1
	msgIgnore          = 2
	msgDebug           = 4
	msgServiceRequest  = 5
	msgServiceAccept   = 6
	msgExtInfo         = 7
	msgKexInit         = 20
	msgNewKeys         = 21
	msgAuthRequest     = 50
	msgAuthFailure     = 51
	msgAuthSuccess     = 52
	msgAuthBanner      = 53
	msgAuth60          = 60
	msgAuth61          = 61
	msgGlobalRequest   = 80
	msgChannelOpen     = 90
	msgChannelConfirm  = 91
	msgChannelWindow   = 93
	msgChannelData     = 94
	msgChannelRequest  = 98
	msgChannelSuccess  = 99
	rawVersion         = "SSH-2.0-raw"
	rawKex, rawCipher  = "curve25519-sha256", "aes128-gcm@openssh.com"
	rawMaxPacket       = 1 << 20
	rawWindow          = 1 << 30
	rawChannelPacket   = 1 << 15
	rawSFTPVersionBody = "\x00\x00\x00\x05\x02\x00\x00\x00\x03"
)

// rawSSH is the server side of an SSH connection at packet level, for packets that no
// library sends.
type rawSSH struct {
	net.Conn
	reader      *bufio.Reader
	hostKey     ed25519.PrivateKey
	version     string
	theirs      string
	session     []byte
	queued      [][]byte // packets received during a key exchange
	in, out     cipher.AEAD
	inIV, outIV [12]byte
}

var errRaw = errors.New("the client closed the connection")

// serveRaw starts a server that runs script for each connection. The script calls start
// to send the version line.
func serveRaw(t *testing.T, script func(*rawSSH) error) ingest.Server {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				_ = script(&rawSSH{Conn: conn, reader: bufio.NewReader(conn), hostKey: private, version: rawVersion})
			}()
		}
	}()
	return ingest.Server{
		UUID: rand.Text(), Name: "acme", Username: "u", RootPath: "/in", MaxParallel: 1, Host: "127.0.0.1",
		Port: listener.Addr().(*net.TCPAddr).Port, HostKeys: []string{string(ssh.MarshalAuthorizedKey(key))},
	}
}

// start exchanges versions and sends line as the server's.
func (r *rawSSH) start(line string) error {
	if _, err := r.Write([]byte(line)); err != nil {
		return err
	}
	theirs, err := r.reader.ReadString('\n')
	if err != nil {
		return err
	}
	for len(theirs) > 0 && (theirs[len(theirs)-1] == '\n' || theirs[len(theirs)-1] == '\r') {
		theirs = theirs[:len(theirs)-1]
	}
	r.theirs = theirs
	return nil
}

// send writes one packet.
func (r *rawSSH) send(payload ...any) error {
	body := join(payload...)
	block := 8
	if r.out != nil {
		block = 16
	}
	padding := block - (len(body)+1+map[bool]int{true: 0, false: 4}[r.out != nil])%block
	if padding < 4 {
		padding += block
	}
	plain := append(append([]byte{byte(padding)}, body...), make([]byte, padding)...)
	packet := binary.BigEndian.AppendUint32(nil, uint32(len(plain)))
	if r.out == nil {
		packet = append(packet, plain...)
	} else {
		packet = append(packet, r.out.Seal(nil, r.outIV[:], plain, packet[:4])...)
		count(&r.outIV)
	}
	_, err := r.Write(packet)
	return err
}

// count is the invocation counter of RFC 5647.
func count(iv *[12]byte) {
	binary.BigEndian.PutUint64(iv[4:], binary.BigEndian.Uint64(iv[4:])+1)
}

// receive reads one packet.
func (r *rawSSH) receive() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r.reader, head[:]); err != nil {
		return nil, errRaw
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > rawMaxPacket {
		return nil, errors.New("too large")
	}
	if r.in != nil {
		length += uint32(r.in.Overhead())
	}
	packet := make([]byte, length)
	if _, err := io.ReadFull(r.reader, packet); err != nil {
		return nil, errRaw
	}
	if r.in != nil {
		plain, err := r.in.Open(nil, r.inIV[:], packet, head[:])
		if err != nil {
			return nil, err
		}
		count(&r.inIV)
		packet = plain
	}
	return packet[1 : len(packet)-int(packet[0])], nil
}

// await reads up to a packet of the type and drops others.
func (r *rawSSH) await(kind byte) ([]byte, error) {
	for {
		packet, err := r.next()
		if err != nil || packet[0] == kind {
			return packet, err
		}
	}
}

// awaitKex reads up to a packet of a key exchange. It queues other packets, which the
// client may have sent before.
func (r *rawSSH) awaitKex(kind byte) ([]byte, error) {
	for {
		packet, err := r.receive()
		if err != nil || packet[0] == kind {
			return packet, err
		}
		r.queued = append(r.queued, packet)
	}
}

// next returns a queued packet, or reads one.
func (r *rawSSH) next() ([]byte, error) {
	if len(r.queued) == 0 {
		return r.receive()
	}
	packet := r.queued[0]
	r.queued = r.queued[1:]
	return packet, nil
}

func (r *rawSSH) kexInit() []byte {
	lists := []string{rawKex, ssh.KeyAlgoED25519, rawCipher, rawCipher, "hmac-sha2-256", "hmac-sha2-256", "none", "none", "", ""}
	body := append([]byte{msgKexInit}, make([]byte, 16)...)
	for _, list := range lists {
		body = append(body, join(list)...)
	}
	return append(body, 0, 0, 0, 0, 0)
}

// kex runs a key exchange, the first one or a further one.
func (r *rawSSH) kex() error {
	ours := r.kexInit()
	if err := r.send(ours); err != nil {
		return err
	}
	theirs, err := r.awaitKex(msgKexInit)
	if err != nil {
		return err
	}
	first, err := r.awaitKex(30)
	if err != nil {
		return err
	}
	peer, err := ecdh.X25519().NewPublicKey(first[5:])
	if err != nil {
		return err
	}
	own, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	secret, err := own.ECDH(peer)
	if err != nil {
		return err
	}
	k := mpint(secret)
	hostKey := join("ssh-ed25519", string(r.hostKey.Public().(ed25519.PublicKey)))
	hash := sha256.Sum256(join(r.theirs, r.version, string(theirs), string(ours), string(hostKey), string(first[5:]), string(own.PublicKey().Bytes()), k))
	signature := join("ssh-ed25519", string(ed25519.Sign(r.hostKey, hash[:])))
	if err := r.send([]byte{31}, string(hostKey), string(own.PublicKey().Bytes()), string(signature)); err != nil {
		return err
	}
	if err := r.send([]byte{msgNewKeys}); err != nil {
		return err
	}
	if r.session == nil {
		r.session = hash[:]
	}
	derive := func(letter byte) []byte {
		sum := sha256.Sum256(join(k, hash[:], []byte{letter}, r.session))
		return sum[:]
	}
	r.outIV, r.out = [12]byte(derive('B')[:12]), gcm(derive('D'))
	if _, err := r.awaitKex(msgNewKeys); err != nil {
		return err
	}
	r.inIV, r.in = [12]byte(derive('A')[:12]), gcm(derive('C'))
	return nil
}

func mpint(b []byte) []byte {
	n := new(big.Int).SetBytes(b).Bytes()
	if len(n) > 0 && n[0]&0x80 != 0 {
		n = append([]byte{0}, n...)
	}
	return join(string(n))
}

func gcm(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

// handshake runs the protocol up to the first authentication request.
func (r *rawSSH) handshake() error {
	if err := r.start(r.version + "\r\n"); err != nil {
		return err
	}
	if err := r.kex(); err != nil {
		return err
	}
	if _, err := r.await(msgServiceRequest); err != nil {
		return err
	}
	return r.send([]byte{msgServiceAccept}, "ssh-userauth")
}

// awaitMethod refuses authentication requests, offering only method, until one uses it.
func (r *rawSSH) awaitMethod(method string) error {
	for {
		request, err := r.await(msgAuthRequest)
		if err != nil {
			return err
		}
		if authMethod(request) == method {
			return nil
		}
		if err := r.refuse(method, false); err != nil {
			return err
		}
	}
}

func (r *rawSSH) refuse(methods string, partly bool) error {
	return r.send([]byte{msgAuthFailure}, methods, []byte{byte(map[bool]int{true: 1}[partly])})
}

// authMethod returns the third string of an authentication request.
func authMethod(request []byte) string {
	rest := request[1:]
	for range 2 {
		rest = rest[4+binary.BigEndian.Uint32(rest):]
	}
	return string(rest[4 : 4+binary.BigEndian.Uint32(rest)])
}

// acceptPassword runs the handshake and accepts any password.
func (r *rawSSH) acceptPassword() error {
	if err := r.handshake(); err != nil {
		return err
	}
	if err := r.awaitMethod("password"); err != nil {
		return err
	}
	return r.send([]byte{msgAuthSuccess})
}

// channel confirms the first channel and starts SFTP on it.
func (r *rawSSH) channel(window, packet uint32) error {
	if _, err := r.await(msgChannelOpen); err != nil {
		return err
	}
	if err := r.send([]byte{msgChannelConfirm}, uint32(0), uint32(0), window, packet); err != nil {
		return err
	}
	if _, err := r.await(msgChannelRequest); err != nil {
		return err
	}
	return r.send([]byte{msgChannelSuccess}, uint32(0))
}

// sftp replies to the INIT packet of SFTP, and to each further request with attributes.
func (r *rawSSH) sftp() error {
	var stream []byte
	for {
		packet, err := r.await(msgChannelData)
		if err != nil {
			return err
		}
		stream = append(stream, packet[9:]...)
		for len(stream) >= 4 && len(stream) >= 4+int(binary.BigEndian.Uint32(stream)) {
			request := stream[4 : 4+binary.BigEndian.Uint32(stream)]
			stream = stream[4+len(request):]
			answer := []byte(rawSFTPVersionBody)
			if request[0] != fxpInit {
				answer = join(string(join([]byte{fxpAttrs}, request[1:5], file(9))))
			}
			if err := r.send([]byte{msgChannelData}, uint32(0), string(answer)); err != nil {
				return err
			}
		}
	}
}

// silent reads until the client closes the connection.
func (r *rawSSH) silent() error {
	for {
		if _, err := r.receive(); err != nil {
			return err
		}
	}
}

package sftp

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// TestLostConnectionIsNotEOF checks that io.EOF of a write to a closed channel is not
// passed on, because the reader would take it for the end of the file.
func TestLostConnectionIsNotEOF(t *testing.T) {
	t.Parallel()
	s := &Session{server: ingest.Server{Name: "acme"}, conn: &conn{wire: newWire(nil, nil)}}
	lost := fmt.Errorf("failed to send packet: %w", io.EOF)
	assert.False(t, isReplyError(lost))
	err := s.explain(lost, "read", "/f")
	assert.NotErrorIs(t, err, io.EOF)
	assert.ErrorContains(t, err, "failed to send packet")
	assert.Equal(t, ingest.KindTransient, ingest.KindOf(err))
}

// TestErrorsIncludeServerMessage checks that errors quote the server's message, often the
// only hint at the cause.
func TestErrorsIncludeServerMessage(t *testing.T) {
	t.Parallel()
	s := &Session{server: ingest.Server{Name: "acme"}}
	for text, want := range map[string]string{
		"another program has it": `server acme failed to open /a: the server reports "another program has it"`,
		"Failure":                `server acme failed to open /a`,
		"":                       `server acme failed to open /a`,
		"\x1b[2J\"gone":          `server acme failed to open /a: the server reports "\x1b[2J'gone"`,
	} {
		conn := serverError(t, text)
		var known *ingest.Error
		require.ErrorAs(t, s.explain(conn, "open", "/a"), &known)
		assert.Equal(t, want, known.Message)
	}
}

// serverError returns the SFTP client's error for a failure status with the text. The
// client does not export a constructor.
func serverError(t *testing.T, text string) error {
	t.Helper()
	near, far := net.Pipe()
	server := sftp.NewRequestServer(far, sftp.Handlers{FileGet: failing{text}, FilePut: failing{text}, FileCmd: failing{text}, FileList: failing{text}})
	go func() { _ = server.Serve() }()
	client, err := sftp.NewClientPipe(near, near)
	require.NoError(t, err)
	defer func() { _ = far.Close() }()
	_, err = client.Open("/a")
	require.Error(t, err)
	return err
}

// failing is a server that fails every request.
type failing struct{ text string }

func (f failing) Fileread(*sftp.Request) (io.ReaderAt, error)   { return nil, errors.New(f.text) }
func (f failing) Filewrite(*sftp.Request) (io.WriterAt, error)  { return nil, errors.New(f.text) }
func (f failing) Filecmd(*sftp.Request) error                   { return errors.New(f.text) }
func (f failing) Filelist(*sftp.Request) (sftp.ListerAt, error) { return nil, errors.New(f.text) }

// passwords is Secrets with the same password for every server.
type passwords string

func (p passwords) Credentials(context.Context, ingest.Server) (ingest.Credentials, error) {
	return ingest.Credentials{Password: []byte(p)}, nil
}

// Each server of a route has its own timeouts: those of the target do not apply to its
// jump host.
func TestJumpHostsKeepTheirTimeouts(t *testing.T) {
	t.Parallel()
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	key, err := ssh.NewPublicKey(public)
	require.NoError(t, err)
	target := ingest.Server{Name: "target", Options: ingest.Options{LoginTimeout: ingest.Duration(time.Second), ConnectTimeout: ingest.Duration(2 * time.Second)}}
	via := ingest.Server{
		Name: "via", HostKeys: []string{string(ssh.MarshalAuthorizedKey(key))},
		Options: ingest.Options{ConnectTimeout: ingest.Duration(3 * time.Second)},
	}
	cfg := Config{Now: time.Now, HandshakeTimeout: time.Minute, ConnectTimeout: time.Hour}
	d, err := newDialer(t.Context(), cfg, passwords("p"), []ingest.Server{target, via})
	require.NoError(t, err)
	require.Equal(t, 2*time.Second, d.cfg.ConnectTimeout)
	require.Equal(t, time.Second, d.cfg.HandshakeTimeout)
	require.Equal(t, 3*time.Second, d.via.cfg.ConnectTimeout)
	require.Equal(t, time.Minute, d.via.cfg.HandshakeTimeout)
}

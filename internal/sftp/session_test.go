package sftp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// A write to a channel that was closed fails so. Taken for the file's end, it
// would cut the file short.
func TestLostConnectionIsNotTheEndOfAFile(t *testing.T) {
	t.Parallel()
	s := &Session{server: ingest.Server{Name: "acme"}}
	lost := fmt.Errorf("failed to send packet: %w", io.EOF)
	assert.False(t, isReplyError(lost))
	err := s.explain(lost, "read", "/f")
	assert.NotErrorIs(t, err, io.EOF)
	assert.ErrorContains(t, err, "failed to send packet")
	assert.Equal(t, ingest.KindTransient, ingest.KindOf(err))
}

// TestTheServersOwnWordsAreTold: they are all that people have to go by.
func TestTheServersOwnWordsAreTold(t *testing.T) {
	t.Parallel()
	s := &Session{server: ingest.Server{Name: "acme"}}
	for text, want := range map[string]string{
		"another program has it": `server acme failed to open /a: the server reports "another program has it"`,
		"Failure":                `server acme failed to open /a`,
		"":                       `server acme failed to open /a`,
		"\x1b[2J\"gone":          `server acme failed to open /a: the server reports "\x1b[2J'gone"`,
	} {
		conn := answering(t, text)
		var known *ingest.Error
		require.ErrorAs(t, s.explain(conn, "open", "/a"), &known)
		assert.Equal(t, want, known.Message)
	}
}

// answering is the error of a request that a server answers with a failure of
// the text; the SFTP client makes such errors itself only.
func answering(t *testing.T, text string) error {
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

// failing is a server that fails at everything.
type failing struct{ text string }

func (f failing) Fileread(*sftp.Request) (io.ReaderAt, error)   { return nil, errors.New(f.text) }
func (f failing) Filewrite(*sftp.Request) (io.WriterAt, error)  { return nil, errors.New(f.text) }
func (f failing) Filecmd(*sftp.Request) error                   { return errors.New(f.text) }
func (f failing) Filelist(*sftp.Request) (sftp.ListerAt, error) { return nil, errors.New(f.text) }

package sftp

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/ingest"
)

// TestDisconnectMessages checks that after the password every SSH_MSG_DISCONNECT is a
// refusal, unless it names another reason. Before the password only a message that
// mentions the login is one. Other errors count as unanswered, because they may hide a
// refusal.
func TestDisconnectMessages(t *testing.T) {
	t.Parallel()
	for text, before := range map[string]bool{
		"ssh: handshake failed: ssh: disconnect, reason 11: Bye":                                   false,
		"ssh: handshake failed: ssh: disconnect, reason 2: ":                                       false,
		"ssh: handshake failed: ssh: disconnect, reason 14: x":                                     true,
		"ssh: handshake failed: ssh: disconnect, reason 2: Too many authentication failures for u": true,
	} {
		err := errors.New(text)
		assert.Equal(t, before, (&loginAttempt{}).isRefusal(err), text)
		after := &loginAttempt{passwordSent: true}
		assert.True(t, after.isRefusal(err), text)
		assert.Equal(t, ingest.LoginRefused, after.result(err), text)
	}
	for _, err := range []error{
		errors.New("ssh: handshake failed: ssh: disconnect, reason 12: x"),
		errors.New("ssh: handshake failed: ssh: disconnect, reason 2: Maximum number of sessions reached"),
		io.EOF, errors.New("read: connection reset by peer"), errors.New("ssh: authentication failed midway: EOF")} {
		assert.False(t, (&loginAttempt{passwordSent: true}).isRefusal(err), "%v", err)
		assert.Equal(t, ingest.LoginUnanswered, (&loginAttempt{passwordSent: true}).result(err), "%v", err)
	}
}

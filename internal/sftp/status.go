package sftp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/pkg/sftp"
)

// Status codes, of which version 3 has the first nine. Servers send the others all
// the same.
const (
	statusOK             = 0
	statusEOF            = 1
	statusNoSuchFile     = 2
	statusPermission     = 3
	statusFailure        = 4
	statusNoConnection   = 6
	statusConnectionLost = 7
	statusUnsupported    = 8
	statusNoSuchPath     = 10
)

// maxSaidBytes bounds what is kept of a server's words.
const maxMessageBytes = 500

// refused is a status other than OK with which the server answered.
type statusError struct {
	code    uint32
	message string
}

// Error returns the server's words.
func (r *statusError) Error() string {
	if r.message != "" {
		return fmt.Sprintf("sftp: %q (status %d)", r.message, r.code)
	}
	return fmt.Sprintf("sftp: status %d", r.code)
}

// Is makes the statuses that mean one thing only the errors of package os.
func (r *statusError) Is(target error) bool {
	switch r.code {
	case statusNoSuchFile, statusNoSuchPath:
		return target == os.ErrNotExist
	case statusPermission:
		return target == os.ErrPermission
	default:
		return false
	}
}

// statusOf returns the status that the server answered with, also when the SFTP
// client asked. ok is false when it did not answer.
func statusOf(err error) (code uint32, ok bool) {
	var ours *statusError
	var theirs *sftp.StatusError
	switch {
	case errors.As(err, &ours):
		code = ours.code
	case errors.As(err, &theirs):
		code = theirs.Code
	case errors.Is(err, os.ErrNotExist):
		code = statusNoSuchFile
	case errors.Is(err, os.ErrPermission):
		code = statusPermission
	case err == io.EOF: //nolint:errorlint // a bare EOF is a status, a wrapped one a lost connection
		code = statusEOF
	default:
		return 0, false
	}
	// These two the client makes up.
	return code, code != statusNoConnection && code != statusConnectionLost
}

// refusal reports whether the server answered, but not as it was asked: the
// connection is as good as before.
func isReplyError(err error) bool {
	_, ok := statusOf(err)
	return ok || errors.Is(err, errMalformedReply) || errors.Is(err, errUnexpectedReply) || errors.Is(err, errPacketTooLarge) ||
		errors.Is(err, errFolderTooLarge)
}

// absent reports whether the answer means without doubt that nothing is there.
func isNotExist(err error) bool { return errors.Is(err, os.ErrNotExist) }

// unsupported reports whether the server does not know the request.
func isUnsupported(err error) bool {
	code, ok := statusOf(err)
	return ok && code == statusUnsupported
}

// words are the server's own on why it refused, which is all that people have to
// go by; empty when there are none. Servers that have no reason say "Failure".
func serverMessage(err error) string {
	message := ""
	var ours *statusError
	var theirs *sftp.StatusError
	switch {
	case errors.As(err, &ours):
		message = ours.message
	case errors.As(err, &theirs):
		if quoted, err := strconv.QuotedPrefix(strings.TrimPrefix(theirs.Error(), "sftp: ")); err == nil {
			message, _ = strconv.Unquote(quoted)
		}
	}
	if message == "" || strings.EqualFold(message, "failure") {
		return ""
	}
	return ": it says " + quoted(message)
}

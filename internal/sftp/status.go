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

// Status codes. Those above 8 are not in version 3, but servers send them anyway.
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

// maxMessageBytes bounds the kept part of a server's error message.
const maxMessageBytes = 500

// statusError is a STATUS reply other than OK.
type statusError struct {
	code    uint32
	message string
}

// Error returns the server's message and the status code.
func (r *statusError) Error() string {
	if r.message != "" {
		return fmt.Sprintf("sftp: %q (status %d)", r.message, r.code)
	}
	return fmt.Sprintf("sftp: status %d", r.code)
}

// Is maps the unambiguous statuses to errors of package os.
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

// statusOf returns the status of a reply to our requests or the SFTP client's. ok is
// false if err is not from a reply.
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
	// The client generates these two itself.
	return code, code != statusNoConnection && code != statusConnectionLost
}

// isReplyError reports whether err is a failed, malformed or too large reply, after which
// the connection remains usable.
func isReplyError(err error) bool {
	_, ok := statusOf(err)
	return ok || isUnreadable(err) || errors.Is(err, errFolderTooLarge)
}

// isUnreadable reports whether err is a reply that cannot be used, regardless of a status.
func isUnreadable(err error) bool {
	return errors.Is(err, errMalformedReply) || errors.Is(err, errUnexpectedReply) || errors.Is(err, errPacketTooLarge)
}

// isNotExist reports whether the reply is unambiguous that the path does not exist.
func isNotExist(err error) bool { return errors.Is(err, os.ErrNotExist) }

// isUnsupported reports whether the server does not support the request.
func isUnsupported(err error) bool {
	code, ok := statusOf(err)
	return ok && code == statusUnsupported
}

// replyCause returns the cause of a reply error as a suffix for ours: the server's message,
// or what is wrong with the reply.
func replyCause(err error) string {
	var interrupted *interruptedError
	switch {
	case isUnreadable(err):
		return ": " + err.Error()
	case errors.As(err, &interrupted) && interrupted.seen > 0:
		return fmt.Sprintf(": it failed after %d entries%s", interrupted.seen, serverMessage(err))
	}
	return serverMessage(err)
}

// serverMessage returns the server's error message as a suffix for ours. It is empty if
// the message is empty or only "Failure", which has no information.
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
	return ": the server reports " + quoted(message)
}

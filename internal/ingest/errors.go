package ingest

import (
	"errors"
	"fmt"
	"strings"
)

// Kind classifies an error by the required reaction. It is also the type of the
// Temporal ApplicationError, so the names are fixed.
type Kind string

// The kinds of errors.
const (
	// KindTransient: a network, server or store failure; a retry helps.
	KindTransient Kind = "transient"
	// KindSlow: the server stayed below its minimum rate; the file is resumed later.
	KindSlow Kind = "slow"
	// KindAuth: the server rejected the credentials; retries may lock the account.
	KindAuth Kind = "auth"
	// KindHostKey: the server's host key does not match a pinned one.
	KindHostKey Kind = "host_key"
	// KindServer: the server cannot be used until it or its settings are changed: no
	// SFTP, no secure algorithms, or damaged stored credentials.
	KindServer Kind = "server"
	// KindSuspended: the server is suspended; no connection was made.
	KindSuspended Kind = "suspended"
	// KindPermission: the server or store denied access to this item.
	KindPermission Kind = "permission"
	// KindNotFound: the remote file does not exist.
	KindNotFound Kind = "not_found"
	// KindChanged: the remote file is no longer the recorded version.
	KindChanged Kind = "changed"
	// KindUnsettled: the remote file keeps changing, or never matches the server's
	// attributes. It is ingested once it settles.
	KindUnsettled Kind = "unsettled"
	// KindSameContent: the remote file has a new time and the content of an ingested
	// version.
	KindSameContent Kind = "same_content"
	// KindHashMismatch: the bytes differ from their expected hash.
	KindHashMismatch Kind = "hash_mismatch"
	// KindStagingLost: staged bytes are missing or fewer than recorded.
	KindStagingLost Kind = "staging_lost"
	// KindStagingFull: the staging volume has no space for the file at present.
	KindStagingFull Kind = "staging_full"
	// KindStagingUnavailable: the staging folder was replaced or is not writable. Work
	// resumes when it is available again.
	KindStagingUnavailable Kind = "staging_unavailable"
	// KindSourceGone: the remote file is gone or replaced after its bytes were read,
	// and the staged bytes are lost. An operator must find the worker that has them,
	// or ask the partner to send the file again.
	KindSourceGone Kind = "source_gone"
	// KindUnsafeName: the remote name could escape its folder or is invalid.
	KindUnsafeName Kind = "unsafe_name"
	// KindForbiddenAddress: the server's address is in a network that is not allowed.
	KindForbiddenAddress Kind = "forbidden_address"
	// KindMissing: a required item of ours (bucket, exchange, row) does not exist.
	KindMissing Kind = "missing"
	// KindConflict: another writer was first, with different content.
	KindConflict Kind = "conflict"
	// KindFenced: another attempt owns the file; this one must stop without changes.
	// It is retried, because a late attempt may have claimed the file from the current
	// one, which must then claim it again.
	KindFenced Kind = "fenced"
	// KindNoSlot: the file does not hold its slot; it must wait for another one
	// without changes.
	KindNoSlot Kind = "no_slot"
	// KindWorkflowLost: the file's workflow was ended from outside; reconciliation
	// restarts it.
	KindWorkflowLost Kind = "workflow_lost"
	// KindCancelled: the file's workflow was cancelled in Temporal.
	KindCancelled Kind = "cancelled"
	// KindInvalid: the request or configuration is invalid.
	KindInvalid Kind = "invalid"
)

// Kinds lists the kinds.
var Kinds = []Kind{
	KindTransient, KindSlow, KindAuth, KindHostKey, KindServer, KindSuspended, KindPermission, KindNotFound,
	KindChanged, KindUnsettled, KindSameContent, KindHashMismatch, KindStagingLost, KindStagingFull,
	KindStagingUnavailable, KindSourceGone, KindUnsafeName, KindForbiddenAddress, KindMissing, KindConflict, KindFenced,
	KindNoSlot, KindWorkflowLost, KindCancelled, KindInvalid,
}

// Permanent reports whether retries are useless. KindMissing and the kinds of
// staging are not permanent: the retry succeeds once the bucket is created or the
// disk is repaired.
func (k Kind) Permanent() bool {
	switch k {
	case KindTransient, KindSlow, KindStagingFull, KindStagingUnavailable, KindMissing, KindFenced, "":
		return false
	default:
		return true
	}
}

// Staging reports whether the failure is local to one worker's staging. Another
// worker may have space for the file.
func (k Kind) Staging() bool {
	return k == KindStagingFull || k == KindStagingUnavailable
}

// ServerLevel reports whether the failure affects every file of the server. More
// attempts may lock its account.
func (k Kind) ServerLevel() bool {
	switch k {
	case KindAuth, KindHostKey, KindForbiddenAddress, KindServer, KindSuspended:
		return true
	default:
		return false
	}
}

// Suspends reports whether the failure suspends its server. KindSuspended only repeats an
// earlier failure, whose message must stay.
func (k Kind) Suspends() bool { return k.ServerLevel() && k != KindSuspended }

// Error is an error with a kind and a message for users. The message is one line
// with the problem and the remedy; the cause is for operators.
type Error struct {
	Kind Kind
	// Message is one line without secrets: "server refused the password: check ...".
	Message string
	// Err is the cause; nil for none.
	Err error
}

// Error returns the message, followed by the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	// Causes may quote raw bytes from a server.
	return e.Message + ": " + DisplayPath(e.Err.Error())
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error of the kind with the formatted message and no cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error of the kind with err as its cause, or nil if err is nil.
func Wrap(kind Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the kind of the first Error in err's chain. Without one it
// returns KindTransient, because unclassified errors are worth a retry.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindTransient
}

// IsKind reports whether err is not nil and of the kind.
func IsKind(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// ErrRefused is in the chain of a failed read that the server answered with an
// error. The connection remains usable.
var ErrRefused = errors.New("the server refused the read")

// ErrStopped is returned by copies that were asked to stop. Their progress is
// checkpointed, and another attempt resumes.
var ErrStopped = errors.New("stopped at a checkpoint")

// Message returns the message of the first Error in err's chain, or else err's text, safe to
// print. It omits causes, which may contain internal addresses.
func Message(err error) string {
	var known *Error
	if errors.As(err, &known) {
		return known.Message
	}
	return DisplayPath(err.Error())
}

// IsMissingRow reports whether err means that the ledger has no such row. An error of
// KindMissing with a cause is about the ledger itself, such as an outdated schema.
func IsMissingRow(err error) bool {
	var known *Error
	return errors.As(err, &known) && known.Kind == KindMissing && known.Err == nil
}

// ErrNotFound is in the chain of errors about missing servers, files, scans and
// tokens. KindMissing alone may also concern a missing part of the system.
var ErrNotFound = errors.New("not found")

// ErrStale is in the chain of errors about a server that was changed since the
// caller read it.
var ErrStale = errors.New("changed meanwhile")

// InvalidError lists the invalid fields of a request.
type InvalidError struct {
	Fields []FieldError
}

// Error returns all messages on one line.
func (e *InvalidError) Error() string {
	problems := make([]string, len(e.Fields))
	for i, field := range e.Fields {
		problems[i] = field.Message
	}
	return strings.Join(problems, "; ")
}

// FieldErrors collects the invalid fields of a request.
type FieldErrors []FieldError

// Add adds a problem of the field.
func (f *FieldErrors) Add(field, format string, args ...any) {
	*f = append(*f, FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
}

// maxFieldErrors bounds the problems that an error lists. A request can have a thousand.
const maxFieldErrors = 50

// Err returns nil without problems, otherwise an error of KindInvalid with the message
// around an *InvalidError. Of more than maxFieldErrors problems the last entry states how
// many others there are.
func (f FieldErrors) Err(message string) error {
	if len(f) == 0 {
		return nil
	}
	if more := len(f) - maxFieldErrors; more > 0 {
		f = append(f[:maxFieldErrors:maxFieldErrors], FieldError{
			Field: f[maxFieldErrors].Field, Message: fmt.Sprintf("and %d more problems", more),
		})
	}
	return Wrap(KindInvalid, &InvalidError{Fields: f}, "%s", message)
}

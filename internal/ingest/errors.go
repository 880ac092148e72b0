package ingest

import (
	"errors"
	"fmt"
	"strings"
)

// Kind classifies an error by what can be done about it. It is also the type
// of the Temporal ApplicationError the error becomes, so names are fixed.
type Kind string

// The kinds of errors. Those that Permanent reports are not retried.
const (
	// KindTransient: the network, a server or a store hiccuped; trying again helps.
	KindTransient Kind = "transient"
	// KindSlow: the server stayed below its minimum rate; the file goes on later.
	KindSlow Kind = "slow"
	// KindAuth: the server refused the credentials; more tries lock accounts.
	KindAuth Kind = "auth"
	// KindHostKey: the server's host key is not pinned or not the pinned one.
	KindHostKey Kind = "host_key"
	// KindServer: the server as a whole cannot be used until somebody changes it
	// or our settings of it: it gives no SFTP, has no secure algorithms, or its
	// stored credentials are damaged.
	KindServer Kind = "server"
	// KindSuspended: the server is suspended and was not logged in to.
	KindSuspended Kind = "suspended"
	// KindPermission: the server or store refuses access to this one thing.
	KindPermission Kind = "permission"
	// KindNotFound: the remote file is gone.
	KindNotFound Kind = "not_found"
	// KindChanged: the remote file is no longer the version that was seen.
	KindChanged Kind = "changed"
	// KindUnsettled: the remote file never stays the same, or never agrees with what
	// the server says of it. It is taken once it does.
	KindUnsettled Kind = "unsettled"
	// KindSameContent: the remote file has a new time and the content of the version
	// that was taken before.
	KindSameContent Kind = "same_content"
	// KindHashMismatch: bytes and the hash they should have differ.
	KindHashMismatch Kind = "hash_mismatch"
	// KindStagingLost: staged bytes are missing or shorter than the ledger says.
	KindStagingLost Kind = "staging_lost"
	// KindStagingFull: the staging volume has no room for the file now.
	KindStagingFull Kind = "staging_full"
	// KindStagingUnavailable: the staging folder is not the one that the worker opened,
	// or cannot be written; once it is back everything goes on.
	KindStagingUnavailable Kind = "staging_unavailable"
	// KindSourceGone: the remote file is gone or replaced after its bytes had
	// been taken, and they are not where they were left: only people can say
	// whether a worker still has them or the partner must send them again.
	KindSourceGone Kind = "source_gone"
	// KindUnsafeName: the remote name could escape its folder or cannot be used.
	KindUnsafeName Kind = "unsafe_name"
	// KindForbiddenAddress: the server's address is in a network that is not allowed.
	KindForbiddenAddress Kind = "forbidden_address"
	// KindMissing: something of ours that must exist (bucket, exchange, row) does not.
	KindMissing Kind = "missing"
	// KindConflict: another writer got there first with different content.
	KindConflict Kind = "conflict"
	// KindFenced: another attempt owns the file; this one must stop and change
	// nothing. It may be tried again: an attempt that woke up late can take the
	// file from the one that counts, which must then be able to take it back.
	KindFenced Kind = "fenced"
	// KindNoSlot: the file does not hold the slot that it was started with; it must
	// wait for another one and changes nothing.
	KindNoSlot Kind = "no_slot"
	// KindStranded: the file's workflow ended from outside; the reconciler
	// brings it back on its way.
	KindStranded Kind = "stranded"
	// KindInvalid: the request or configuration itself is wrong.
	KindInvalid Kind = "invalid"
)

// Permanent reports whether trying the same thing again cannot help.
// KindMissing and those of staging are not permanent: once somebody creates the
// bucket or repairs the disk, the waiting retry goes on by itself.
func (k Kind) Permanent() bool {
	switch k {
	case KindTransient, KindSlow, KindStagingFull, KindStagingUnavailable, KindMissing, KindFenced, "":
		return false
	default:
		return true
	}
}

// Staging reports whether the fault is the staging's of one worker: another worker
// may have room for the file.
func (k Kind) Staging() bool {
	return k == KindStagingFull || k == KindStagingUnavailable
}

// ServerLevel reports whether the fault is the server's as a whole: every file
// of it would meet the same, and more tries may lock its account.
func (k Kind) ServerLevel() bool {
	switch k {
	case KindAuth, KindHostKey, KindForbiddenAddress, KindServer, KindSuspended:
		return true
	default:
		return false
	}
}

// Error is an error with a kind and a message for people. The message is one
// line that says what is wrong and what to do; the cause is for operators.
type Error struct {
	Kind Kind
	// Message is one line without secrets, e.g. "server refused the password: check ...".
	Message string
	// Err is the cause, may be nil.
	Err error
}

// Error returns the message, followed by the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	// Causes quote what a server has sent, some as it came.
	return e.Message + ": " + DisplayPath(e.Err.Error())
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error of the kind with the formatted message and no cause.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error of the kind around err. A nil err gives nil.
func Wrap(kind Kind, err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the kind of the outermost Error in err's chain, and
// KindTransient when there is none: what nobody classified is worth a retry.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindTransient
}

// IsKind reports whether err is an error of the kind; nil is none.
func IsKind(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// ErrRefused is in the chain of an error of a read that the server has answered, but
// with neither bytes nor the end of the file: the connection is as good as before.
var ErrRefused = errors.New("the server refused the read")

// ErrStopped is returned by long copies that were asked to stop: all progress
// is checkpointed and another attempt goes on from there.
var ErrStopped = errors.New("stopped at a checkpoint")

// Message returns the line for people of an error: the message of the first *Error in
// its chain, or else its text.
func Message(err error) string {
	var known *Error
	if errors.As(err, &known) {
		return known.Message
	}
	return err.Error()
}

// ErrNotFound is in the chain of errors about servers, files, scans and tokens that
// do not exist. KindMissing alone may also be a part of the system that is missing.
var ErrNotFound = errors.New("not found")

// ErrStale is in the chain of errors about a server that was changed since the caller
// read it.
var ErrStale = errors.New("changed meanwhile")

// InvalidError lists all invalid fields of a request.
type InvalidError struct {
	Fields []FieldError
}

// Error returns all problems on one line.
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

// Err returns nil without problems, otherwise an error of KindInvalid with the message
// around an *InvalidError.
func (f FieldErrors) Err(message string) error {
	if len(f) == 0 {
		return nil
	}
	return Wrap(KindInvalid, &InvalidError{Fields: f}, "%s", message)
}

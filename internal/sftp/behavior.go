package sftp

import "sync"

// serverBehavior is the observed behavior of a server on one connection.
type serverBehavior struct {
	mu sync.Mutex
	// missing are the packet types that the server does not support.
	missing map[byte]bool
	// timesMissing: STAT reports no modification time.
	timesMissing bool
	// endsWithEOF: a folder ended with EOF, so a failure is not a substitute for it.
	endsWithEOF bool
	// endsWithFailure: a folder ended with a failure after some names, which may be a
	// substitute for EOF.
	endsWithFailure bool
	// endsWithEmpty: a folder ended only by replies without new names.
	endsWithEmpty bool
	// home is the user's home folder, empty until it is requested.
	home string
}

// lacks reports whether requests of the type are known to fail.
func (b *serverBehavior) lacks(kind byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.missing[kind]
}

func (b *serverBehavior) markMissing(kind byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.missing == nil {
		b.missing = make(map[byte]bool)
	}
	b.missing[kind] = true
}

// lacksTimes reports whether STAT is known to report no modification time.
func (b *serverBehavior) lacksTimes() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.timesMissing
}

func (b *serverBehavior) markTimesMissing() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.timesMissing = true
}

// recordEOF records that a folder ended with EOF.
func (b *serverBehavior) recordEOF() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endsWithEOF = true
}

func (b *serverBehavior) sendsEOF() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.endsWithEOF
}

// recordEmptyEnd records that a folder ended only by replies without new names.
func (b *serverBehavior) recordEmptyEnd() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endsWithEmpty = true
}

// maxEmptyReplies returns the number of consecutive replies without a new name that end
// a folder.
func (b *serverBehavior) maxEmptyReplies() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.endsWithEmpty:
		return emptyRepliesNoEOF
	case b.endsWithEOF:
		return emptyRepliesWithEOF
	default:
		return emptyRepliesUnknown
	}
}

// failureMayBeEOF reports whether the failure may be the server's substitute for EOF: no
// folder has ended with EOF, and this one or another listed names before a failure.
func (b *serverBehavior) failureMayBeEOF(interrupted *interruptedError) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.endsWithEOF || isPermission(interrupted.err) {
		return false
	}
	b.endsWithFailure = b.endsWithFailure || interrupted.seen > 0
	return b.endsWithFailure
}

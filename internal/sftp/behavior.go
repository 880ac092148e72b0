package sftp

import "sync"

// quirks are what a server was found not to do, for as long as the connection lasts.
type serverBehavior struct {
	mu      sync.Mutex
	missing map[byte]bool
	// endsWithEOF: a folder has ended as it should; so a failure in one is a failure.
	endsWithEOF bool
	// endsWithFailure: a folder ended in a failure after some names, which may be how
	// the server says that there are no more.
	endsWithFailure bool
	// endsIdly: a folder ended only in answers without new names.
	endsWithEmpty bool
	// home is the user's home folder, once asked for.
	home string
}

// lacking reports whether requests of the kind are known to fail.
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

// sawEOF notes that a folder ended as it should; knowsEOF reports whether any did.
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

// endedIdly notes that a folder ended only in answers without new names.
func (b *serverBehavior) recordEmptyEnd() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endsWithEmpty = true
}

// idleAnswers is how many answers in a row without a new name end a folder.
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

// mayEnd reports whether the failure may be the server's way to end a folder: it has
// never ended one as it should, and this one or another had names before.
func (b *serverBehavior) failureMayBeEOF(interrupted *interruptedError) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.endsWithEOF || isPermission(interrupted.err) {
		return false
	}
	b.endsWithFailure = b.endsWithFailure || interrupted.seen > 0
	return b.endsWithFailure
}

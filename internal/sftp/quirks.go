package sftp

import "sync"

// quirks are what a server was found not to do, for as long as the connection lasts.
type quirks struct {
	mu    sync.Mutex
	lacks map[byte]bool
	// endsWithEOF: a folder has ended as it should; so a failure in one is a failure.
	endsWithEOF bool
	// endsWithFailure: a folder ended in a failure after some names, which may be how
	// the server says that there are no more.
	endsWithFailure bool
	// endsIdly: a folder ended only in answers without new names.
	endsIdly bool
	// home is the user's home folder, once asked for.
	home string
}

// lacking reports whether requests of the kind are known to fail.
func (q *quirks) lacking(kind byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lacks[kind]
}

func (q *quirks) lack(kind byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.lacks == nil {
		q.lacks = make(map[byte]bool)
	}
	q.lacks[kind] = true
}

// sawEOF notes that a folder ended as it should; knowsEOF reports whether any did.
func (q *quirks) sawEOF() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endsWithEOF = true
}

func (q *quirks) knowsEOF() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.endsWithEOF
}

// endedIdly notes that a folder ended only in answers without new names.
func (q *quirks) endedIdly() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endsIdly = true
}

// idleAnswers is how many answers in a row without a new name end a folder.
func (q *quirks) idleAnswers() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.endsIdly:
		return idleAnswers
	case q.endsWithEOF:
		return idleOfSpeaking
	default:
		return idleOfUnknown
	}
}

// mayEnd reports whether the failure may be the server's way to end a folder: it has
// never ended one as it should, and this one or another had names before.
func (q *quirks) mayEnd(broken *brokenOff) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.endsWithEOF || isPermission(broken.err) {
		return false
	}
	q.endsWithFailure = q.endsWithFailure || broken.seen > 0
	return q.endsWithFailure
}

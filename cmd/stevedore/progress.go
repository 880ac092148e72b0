package main

import (
	"fmt"

	"stevedore/internal/admin"
	"stevedore/internal/oracle"
)

// eraseLine moves to the line's start and clears what stood there.
const eraseLine = "\r\x1b[K"

// progress keeps one line on a terminal up to date; elsewhere it is silent.
type progress struct {
	app   *app
	shown bool
}

func newProgress(a *app) *progress { return &progress{app: a} }

func (p *progress) scan(s admin.ScanProgress) {
	if !p.app.terminal {
		return
	}
	p.shown = true
	if s.Total == 0 {
		fmt.Fprint(p.app.stderr, eraseLine+"starting ...")
		return
	}
	fmt.Fprintf(p.app.stderr, "%s%d of %d servers done; files: %s", eraseLine, s.Done, s.Total, counts(s.Files))
}

func (p *progress) audit(s oracle.Summary) {
	if !p.app.terminal {
		return
	}
	p.shown = true
	fmt.Fprintf(p.app.stderr, "%s%d files, %d objects, %d entries on servers compared; %d difference(s)",
		eraseLine, s.Files, s.Objects, s.Sources, s.Differences())
}

func (p *progress) rotation(done, total int) {
	if !p.app.terminal {
		return
	}
	p.shown = true
	fmt.Fprintf(p.app.stderr, "%s%d of %d servers sealed anew", eraseLine, done, total)
}

// end takes the line away.
func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.app.stderr, eraseLine)
	}
}

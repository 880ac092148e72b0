package main

import (
	"fmt"

	"stevedore/internal/admin"
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

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.app.stderr, eraseLine)
	}
}

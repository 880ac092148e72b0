package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// eraseLine moves to the line's start and clears what stood there.
const eraseLine = "\r\x1b[K"

// plainEvery is how often a pipe gets a line of progress.
const plainEvery = 10 * time.Second

// barWidth leaves room for the text behind a bar.
const barWidth = 20

// progress keeps one line on a terminal up to date; a pipe gets a plain line
// now and then.
type progress struct {
	app   *app
	shown bool
	// last is the plain line that was printed last, at the time.
	last string
	at   time.Time

	bars    *mpb.Progress
	bar     *mpb.Bar
	refresh chan any
	text    atomic.Pointer[string]
}

func newProgress(a *app) *progress { return &progress{app: a} }

func (p *progress) scan(s openapi.Scan) {
	text := "starting ..."
	var total, ended int64
	listed, files := 0, map[string]int64{}
	for _, server := range s.Servers {
		if server.State != openapi.ScanRunning {
			listed++
		}
		for name, n := range server.Files {
			files[name] += n
			total += n
			if status := ingest.Status(name); status.Terminal() || status == ingest.StatusError {
				ended += n
			}
		}
	}
	if len(s.Servers) > 0 {
		text = fmt.Sprintf("%d of %d servers done; files: %s", listed, len(s.Servers), counts(files))
	}
	if !p.app.terminal {
		p.line(text)
		return
	}
	p.draw(text, ended, total)
}

// line prints what is new, but not too often.
func (p *progress) line(text string) {
	if text == p.last || time.Since(p.at) < plainEvery {
		return
	}
	p.last, p.at = text, time.Now()
	p.app.note("%s", text)
}

// draw shows a bar with the text behind it.
func (p *progress) draw(text string, done, total int64) {
	p.text.Store(&text)
	if p.bars == nil {
		p.refresh = make(chan any)
		p.bars = mpb.New(mpb.WithOutput(p.app.stderr), mpb.WithManualRefresh(p.refresh))
		p.bar = p.bars.New(0, mpb.BarStyle(), mpb.BarWidth(barWidth), mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return *p.text.Load() })))
	}
	p.bar.SetTotal(max(total, 1), false)
	p.bar.SetCurrent(done)
	p.refresh <- time.Now()
}

func (p *progress) audit(s openapi.AuditRun) {
	if !p.app.terminal {
		return
	}
	p.shown = true
	fmt.Fprintf(p.app.stderr, "%s%d files, %d objects, %d entries on servers compared; %d difference(s)",
		eraseLine, s.Files, s.Objects, s.Sources, s.Differences)
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
	if p.bars != nil {
		p.bar.Abort(true)
		p.bars.Wait()
		p.bars = nil
	}
	if p.shown {
		fmt.Fprint(p.app.stderr, eraseLine)
	}
}

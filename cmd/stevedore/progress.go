package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
	"stevedore/internal/operations"
)

const (
	// eraseLine moves to the start of the line and clears it.
	eraseLine = "\r\x1b[K"
	// pipeInterval is the least time between lines of progress in a pipe.
	pipeInterval = 10 * time.Second
	barWidth     = 20
	// workerInterval is the interval at which a waiting command looks for a worker.
	workerInterval = 10 * time.Second
)

// progress keeps one line on a terminal up to date. A pipe gets a line now and then.
type progress struct {
	app *app
	// last is the last printed line, and at its time, when the output is not a terminal.
	last string
	at   time.Time
	// noWorker reports whether the absence of a worker was noted; checked is the time of
	// the last check.
	noWorker bool
	checked  time.Time
}

// await waits for a scan or audit and shows its progress.
func await[T any](ctx context.Context, api *client.API, p *progress, uuid string, wait func(context.Context, string, func(T)) (T, error), show func(T)) (T, error) {
	defer p.end()
	return wait(ctx, uuid, func(state T) {
		p.checkWorker(ctx, api)
		show(state)
	})
}

// checkWorker notes once that no worker runs. Without a worker a scan makes no progress,
// which would look like a hang.
func (p *progress) checkWorker(ctx context.Context, api *client.API) {
	if p.noWorker || time.Since(p.checked) < workerInterval {
		return
	}
	p.checked = time.Now()
	if err := api.CheckPart(ctx, operations.PartWorker); err != nil && ctx.Err() == nil {
		p.noWorker = true
		p.app.note("%s", message(err))
	}
}

// show replaces the line on a terminal.
func (p *progress) show(format string, args ...any) {
	if p.app.stderrSize == nil {
		return
	}
	if width, _ := p.app.stderrSize(); width > 0 {
		fmt.Fprint(p.app.stderr, eraseLine+runewidth.Truncate(fmt.Sprintf(format, args...), width-1, "…"))
		p.last = eraseLine
	}
}

// end removes the line from a terminal.
func (p *progress) end() {
	if p.last == eraseLine {
		fmt.Fprint(p.app.stderr, eraseLine)
	}
}

func (p *progress) scan(s openapi.Scan) {
	text, ended, total := scanProgress(s)
	bar := strings.Repeat("=", int(ended*barWidth/max(total, 1)))
	p.show("[%-*s] %s", barWidth, bar, text)
	if p.last != eraseLine && text != p.last && time.Since(p.at) >= pipeInterval {
		p.last, p.at = text, time.Now()
		p.app.note("%s", text)
	}
}

// scanProgress describes a running scan, with the numbers of ended files and of all.
func scanProgress(s openapi.Scan) (text string, ended, total int64) {
	if len(s.Servers) == 0 {
		return "starting ...", 0, 0
	}
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
	return fmt.Sprintf("%d of %d servers done; files: %s", listed, len(s.Servers), counts(files)), ended, total
}

func (p *progress) audit(s openapi.AuditRun) {
	p.show("%d files, %d objects, %d entries on servers compared; %s", s.Files, s.Objects, s.Sources, ingest.Counted(s.Differences, "discrepancy", "discrepancies"))
}

func (p *progress) rotation(done, total int) { p.show("%d of %d servers re-encrypted", done, total) }

// counts lists the numbers of files by status, in the order of the statuses.
func counts(files map[string]int64) string {
	var parts []string
	for _, status := range ingest.Statuses {
		if n := files[string(status)]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, status))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/cobra"

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
	// maxReport is the longest time between lists of what a command waits for, maxListed
	// the most files of a server in such a list.
	maxReport = 5 * time.Minute
	maxListed = 5
)

// errExpired ends a command that waited for --timeout.
var errExpired = errors.New("--timeout expired")

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
	// timeout bounds the time of await; 0 is no limit.
	timeout time.Duration
	// reported is the time of the last list of what it waits for, and pause the time to
	// the next one.
	reported time.Time
	pause    time.Duration
}

// addTimeout adds the flag that bounds the time of waiting.
func addTimeout(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "timeout", 0, "stop waiting after this `TIME`, e.g. 30m, with exit code 5 (default no limit)")
}

// await waits for a scan or audit and shows its progress. It returns errExpired after the
// timeout; with an error it still returns the last state.
func await[T any](ctx context.Context, api *client.API, p *progress, uuid string, wait func(context.Context, string, func(T)) (T, error), show func(context.Context, T)) (T, error) {
	defer p.end()
	p.reported, p.pause = time.Now(), p.app.report
	limited := ctx
	if p.timeout != 0 {
		bounded, cancel := context.WithTimeout(ctx, p.timeout)
		defer cancel()
		limited = bounded
	}
	last, err := wait(limited, uuid, func(state T) {
		p.checkWorker(limited, api)
		show(limited, state)
	})
	if limited.Err() != nil && ctx.Err() == nil {
		err = ingest.Wrap(ingest.KindTransient, errExpired, "it has not ended within %s and continues", p.timeout)
	}
	return last, err
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
	if width := p.app.terminalWidth(p.app.stderrSize); width > 0 {
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

// scan shows a running scan, and at growing intervals what it waits for.
func (p *progress) scan(ctx context.Context, api *client.API, s openapi.Scan) {
	text, ended, total := scanProgress(s)
	bar := strings.Repeat("=", int(ended*barWidth/max(total, 1)))
	p.show("[%-*s] %s", barWidth, bar, text)
	if p.last != eraseLine && text != p.last && time.Since(p.at) >= pipeInterval {
		p.last, p.at = text, time.Now()
		p.app.note("%s", text)
	}
	if time.Since(p.reported) >= p.pause {
		p.left(ctx, api, s)
	}
}

// left lists the unfinished files of the scan and why they wait.
func (p *progress) left(ctx context.Context, api *client.API, s openapi.Scan) {
	p.end()
	for _, server := range s.Servers {
		if server.State != openapi.ScanRunning {
			continue
		}
		unfinished := fileStatuses(func(status ingest.Status) bool { return !status.Terminal() && status != ingest.StatusError })
		files, err := collect(api.ListFiles(ctx, openapi.ListFilesParams{Server: &server.ServerUUID, Status: &unfinished}, maxListed))
		if err != nil {
			return // WaitScan reports errors that stay
		}
		running := api.Progress(ctx, files)
		for _, file := range files {
			var step *openapi.Progress
			if current, ok := running[file.FileUUID]; ok {
				step = &current
			}
			p.app.note("waiting for %s:%s (%s): %s", server.Server, safe(file.RemotePath), file.Status, p.app.reason(file, step))
		}
		total := int64(-len(files))
		for _, status := range unfinished {
			total += server.Files[string(status)]
		}
		switch {
		case len(files) == 0:
			p.app.note("waiting for the listing of %s", server.Server)
		case total > 0:
			p.app.note("waiting for %s of %s", ingest.Counted(total, "more file", "more files"), server.Server)
		}
	}
	p.reported, p.pause = time.Now(), min(2*p.pause, maxReport)
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

func (p *progress) audit(_ context.Context, s openapi.AuditRun) {
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

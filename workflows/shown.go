package workflows

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"stevedore/internal/ingest"
)

// The keys of a workflow's memo.
const (
	MemoServer = "server"
	MemoPath   = "path"
	MemoSize   = "size"
)

const (
	// summaryBytes is how long the JSON of a summary may be: Temporal takes 400
	// bytes with the payload's own metadata.
	summaryBytes = 360
	// memoPathBytes bounds a path in a memo, messageBytes a message in details.
	memoPathBytes = 4096
	messageBytes  = 1000
	// bulletsBytes bounds a list; Temporal takes 20,000 bytes of details.
	bulletsBytes = 15000
)

// Shown is what Temporal shows of a file from the start of its workflow.
type Shown struct {
	ServerName string
	// Path is the path for people, see ingest.DisplayPath.
	Path string
	// Size in bytes.
	Size   int64
	Status ingest.Status
}

// Summary is the path in Markdown, which Temporal's Web UI makes of summaries.
func (s Shown) Summary() string { return summary(code(s.Path)) }

// Memo is returned with every listing of workflows; it cannot be searched.
func (s Shown) Memo() map[string]any {
	return map[string]any{MemoServer: s.ServerName, MemoPath: truncate(s.Path, memoPathBytes), MemoSize: s.Size}
}

// SearchAttributes are what workflows can be searched and counted by.
func (s Shown) SearchAttributes() temporal.SearchAttributes {
	return temporal.NewSearchAttributes(
		searchServer.ValueSet(s.ServerName), searchStatus.ValueSet(string(s.Status)), searchSize.ValueSet(s.Size),
	)
}

// shownServer is the name of the server that the workflow was started with;
// one that was started by hand may have none.
func shownServer(ctx workflow.Context) string {
	name, _ := workflow.GetTypedSearchAttributes(ctx).GetKeyword(searchServer)
	return name
}

// shownPath is the path in the workflow's memo; it may have none.
func shownPath(ctx workflow.Context) (path string) {
	if payload, ok := workflow.GetInfo(ctx).Memo.GetFields()[MemoPath]; ok {
		_ = converter.GetDefaultDataConverter().FromPayload(payload, &path)
	}
	return path
}

// about says beside an activity what it is for.
func withSummary(ctx workflow.Context, text string) workflow.Context {
	options := workflow.GetActivityOptions(ctx)
	options.Summary = summary(text)
	return workflow.WithActivityOptions(ctx, options)
}

// code puts text that others chose, names of files above all, into a code
// span, in which Markdown and HTML mean nothing. A backtick, which would end
// it, is shown as DisplayPath shows bytes that are no text.
func code(text string) string {
	if text == "" {
		return "`-`"
	}
	return "`" + strings.ReplaceAll(ingest.DisplayPath(text), "`", `\x60`) + "`"
}

// words is code for a message: what it quotes, it shows as quoted.
func quote(message string) string {
	return code(strings.ReplaceAll(truncate(message, messageBytes), "`", "'"))
}

// summary cuts Markdown to Temporal's limit, which counts its JSON. What is cut
// within a code span is closed.
func summary(text string) string {
	for limit := min(len(text), summaryBytes); ; limit -= 8 {
		short := truncate(text, limit)
		if len(short) < len(text) {
			short += "..."
		}
		if strings.Count(short, "`")%2 == 1 {
			short += "`"
		}
		if jsonBytes(short) <= summaryBytes {
			return short
		}
	}
}

// jsonBytes is how long a line of text is as JSON.
func jsonBytes(text string) int {
	n := len(text) + len(`""`)
	for _, r := range text {
		switch r {
		case '"', '\\':
			n++
		case '<', '>', '&':
			n += len(`\u003c`) - 1
		}
	}
	return n
}

// cut shortens to at most limit bytes without splitting a character.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:max(limit, 0)]
}

// size is a number of bytes for people.
func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// commands are what a person may type, ready to be copied.
func commands(lines ...string) string { return "\n\n```sh\n" + strings.Join(lines, "\n") + "\n```" }

// bullets are a list in Markdown, as far as there is room for it.
func bullets(lines []string) string {
	text := ""
	for i, line := range lines {
		if len(text)+len(line) > bulletsBytes {
			return text + fmt.Sprintf("\n- and %d more: see the result", len(lines)-i)
		}
		text += "\n- " + line
	}
	if text == "" {
		return ""
	}
	return "\n" + text
}

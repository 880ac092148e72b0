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
	"stevedore/internal/temporalnames"
)

// Keys of a workflow's memo.
const (
	MemoServer = "server"
	MemoPath   = "path"
	MemoSize   = "size"
)

const (
	// summaryBytes bounds the JSON of a summary. Temporal allows 400 bytes including
	// the payload's metadata.
	summaryBytes = 360
	// memoPathBytes bounds a path in a memo, messageBytes a message in details.
	memoPathBytes = 4096
	messageBytes  = 1000
	// bulletsBytes bounds a list; Temporal allows 20,000 bytes of details.
	bulletsBytes = 15000
)

// The custom search attributes, typed.
var (
	searchServer = temporal.NewSearchAttributeKeyKeyword(temporalnames.SearchServer)
	searchStatus = temporal.NewSearchAttributeKeyKeyword(temporalnames.SearchStatus)
	searchSize   = temporal.NewSearchAttributeKeyInt64(temporalnames.SearchSize)
)

// FileMetadata is the metadata of a file's workflow in Temporal: summary, memo and search
// attributes.
type FileMetadata struct {
	ServerName string
	// Path is the display path, see ingest.DisplayPath.
	Path string
	// Size in bytes.
	Size   int64
	Status ingest.Status
}

// Summary returns the path in Markdown, which Temporal's Web UI renders.
func (s FileMetadata) Summary() string { return summary(code(s.Path)) }

// Memo returns the workflow's memo, which listings include but cannot filter by.
func (s FileMetadata) Memo() map[string]any {
	return map[string]any{MemoServer: s.ServerName, MemoPath: truncate(s.Path, memoPathBytes), MemoSize: s.Size}
}

// SearchAttributes returns the attributes by which workflows are searched and counted.
func (s FileMetadata) SearchAttributes() temporal.SearchAttributes {
	return temporal.NewSearchAttributes(
		searchServer.ValueSet(s.ServerName), searchStatus.ValueSet(string(s.Status)), searchSize.ValueSet(s.Size),
	)
}

// shownServer returns the server name from the workflow's search attributes; empty if
// it was started manually without them.
func shownServer(ctx workflow.Context) string {
	name, _ := workflow.GetTypedSearchAttributes(ctx).GetKeyword(searchServer)
	return name
}

// shownPath returns the path from the workflow's memo; empty if there is none.
func shownPath(ctx workflow.Context) (path string) {
	if payload, ok := workflow.GetInfo(ctx).Memo.GetFields()[MemoPath]; ok {
		_ = converter.GetDefaultDataConverter().FromPayload(payload, &path)
	}
	return path
}

// withSummary sets the activity's summary in Temporal's Web UI.
func withSummary(ctx workflow.Context, text string) workflow.Context {
	options := workflow.GetActivityOptions(ctx)
	options.Summary = summary(text)
	return workflow.WithActivityOptions(ctx, options)
}

// code returns text as a Markdown code span, in which untrusted text, such as file
// names, is not interpreted. A backtick would end the span and is escaped like the
// bytes that DisplayPath escapes.
func code(text string) string {
	if text == "" {
		return "`-`"
	}
	return "`" + strings.ReplaceAll(ingest.DisplayPath(text), "`", `\x60`) + "`"
}

// quote returns a message as a code span, truncated, with backticks as apostrophes.
func quote(message string) string {
	return code(strings.ReplaceAll(truncate(message, messageBytes), "`", "'"))
}

// summary truncates Markdown to Temporal's limit, which counts its JSON, and closes a
// truncated code span.
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

// jsonBytes returns the length of a line of text as JSON.
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

// truncate shortens text to at most limit bytes without splitting a character.
func truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:max(limit, 0)]
}

// size formats a number of bytes.
func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// commands returns a Markdown block of shell commands.
func commands(lines ...string) string { return "\n\n```sh\n" + strings.Join(lines, "\n") + "\n```" }

// bullets returns a Markdown list of at most bulletsBytes.
func bullets(lines []string) string {
	text := ""
	for i, line := range lines {
		if len(text)+len(line) > bulletsBytes {
			return text + fmt.Sprintf("\n- and %d more, see the result", len(lines)-i)
		}
		text += "\n- " + line
	}
	if text == "" {
		return ""
	}
	return "\n" + text
}

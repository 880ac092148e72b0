package workflows_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"stevedore/internal/ingest"
	"stevedore/internal/temporalnames"
	"stevedore/workflows"
)

// TestASummaryIsInertAndShort: file names are untrusted, and Temporal rejects starts with
// long summaries.
func TestASummaryIsInertAndShort(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/out/a.csv":          "`/out/a.csv`",
		"/out/`<b>`.csv":      "`/out/\\x60<b>\\x60.csv`",
		"/out/two\nlines":     "`/out/two\\nlines`",
		"":                    "`-`",
		"/out/[c](http://e/)": "`/out/[c](http://e/)`",
	} {
		assert.Equal(t, want, workflows.FileMetadata{Path: path}.Summary())
	}
	for _, long := range []string{strings.Repeat("<", 5000), strings.Repeat("ж", 5000), strings.Repeat("`", 5000), strings.Repeat("a", 361)} {
		summary := workflows.FileMetadata{Path: long}.Summary()
		payload, err := converter.GetDefaultDataConverter().ToPayload(summary)
		require.NoError(t, err)
		assert.LessOrEqual(t, payload.Size(), 400)
		assert.Greater(t, len(summary), 50)
		assert.True(t, strings.HasPrefix(summary, "`") && strings.HasSuffix(summary, "...`"), summary)
		assert.Equal(t, 2, strings.Count(summary, "`"))
	}
}

func TestAMemoHasTheCompletePath(t *testing.T) {
	t.Parallel()
	path := "/" + strings.Repeat("a", 1000)
	memo, err := json.Marshal(workflows.FileMetadata{ServerName: "acme", Path: path, Size: 7}.Memo())
	require.NoError(t, err)
	assert.JSONEq(t, `{"server":"acme","path":"`+path+`","size":7}`, string(memo))
	assert.Len(t, workflows.FileMetadata{Path: strings.Repeat("a", 10_000)}.Memo()[workflows.MemoPath], 4096)
}

// TestStartIngest: the workflow can be searched by server, status and size, and cannot be
// started twice.
func TestStartIngest(t *testing.T) {
	t.Parallel()
	start := workflows.StartIngest(ingest.File{
		UUID: fileUUID, ServerName: "acme", RemotePath: "/out/\xff.csv", Size: 7, Status: ingest.StatusReady,
	}, serverUUID)
	assert.Equal(t, temporalnames.IngestWorkflowID(fileUUID), start.ID)
	assert.True(t, start.WorkflowExecutionErrorWhenAlreadyStarted)
	assert.Equal(t, "`/out/\\xff.csv`", start.StaticSummary)
	assert.Equal(t, serverUUID, start.Priority.FairnessKey)
	server, _ := start.TypedSearchAttributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword(temporalnames.SearchServer))
	status, _ := start.TypedSearchAttributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword(temporalnames.SearchStatus))
	size, _ := start.TypedSearchAttributes.GetInt64(temporal.NewSearchAttributeKeyInt64(temporalnames.SearchSize))
	assert.Equal(t, []any{"acme", "ready", int64(7)}, []any{server, status, size})
}

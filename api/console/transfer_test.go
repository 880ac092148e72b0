package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"stevedore/internal/ingest"
	"stevedore/internal/orchestrator"
)

// options returns the values of a select element, and the selected one.
func options(t *testing.T, page, name string) (values []string, selected string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	require.NoError(t, err)
	for node := range root.Descendants() {
		if node.Data != "select" || attribute(node, "name") != name {
			continue
		}
		for option := range node.Descendants() {
			if option.Data != "option" {
				continue
			}
			values = append(values, attribute(option, "value"))
			if slices.ContainsFunc(option.Attr, func(a html.Attribute) bool { return a.Key == "selected" }) {
				selected = attribute(option, "value")
			}
		}
	}
	return values, selected
}

func TestServersTransferSetting(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleAdmin)
	values, selected := options(t, get(c, "/servers/new").Body.String(), "transfer")
	require.Equal(t, []string{"auto", "staged", "direct"}, values)
	require.Equal(t, "auto", selected)

	f.Servers[0].Transfer = ingest.TransferDirect
	_, selected = options(t, get(c, "/servers/acme/edit").Body.String(), "transfer")
	require.Equal(t, "direct", selected)
	require.Contains(t, get(c, "/servers/acme").Body.String(), "Direct: streamed into the object store")
	require.Contains(t, get(c, "/servers/acme", "Accept-Language", "ru").Body.String(), "Напрямую: потоком в хранилище")

	form := url.Values{"name": {"acme"}, "host": {"h"}, "transfer": {"staged"}}
	require.Equal(t, http.StatusSeeOther, post(c, "/servers", form).Code)
	require.Equal(t, ingest.TransferStaged, f.Added.Server.Transfer)

	f.Err = ingest.Wrap(ingest.KindInvalid, &ingest.InvalidError{Fields: []ingest.FieldError{
		{Field: "transfer", Message: `transfer "teleport": use auto, staged or direct`},
	}}, "no")
	refused := post(c, "/servers", form)
	require.Equal(t, http.StatusBadRequest, refused.Code)
	requireDescribed(t, refused.Body.String(), "transfer", "use auto, staged or direct")
	_, selected = options(t, refused.Body.String(), "transfer")
	require.Equal(t, "staged", selected, "what was chosen stays chosen")
}

func TestAFileShowsItsTransferMode(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleViewer)
	require.NotContains(t, get(c, "/files/f1").Body.String(), "Transfer mode")
	f.Files[0].Mode, f.Files[0].Checksum = ingest.ModeDirect, "c3Vt-3"
	page := get(c, "/files/f1").Body.String()
	for _, text := range []string{"Transfer mode", "Streamed into a multipart upload", "<code>direct</code>", "Object checksum (parts)", "c3Vt-3"} {
		require.Contains(t, page, text)
	}
	f.Progressing = map[string]orchestrator.Progress{"f1": {Step: ingest.StepTransfer, Attempt: 1, Running: true, Done: 1, Total: 4}}
	f.Files[0].Status = ingest.StatusDownloading
	require.Contains(t, get(c, "/files/f1").Body.String(), `<span class="step">transfer</span>`)
	require.Contains(t, get(c, "/files/f1", "Accept-Language", "ru").Body.String(), `<span class="step">передача</span>`)
}

// TestStepsToRetryFrom: a file offers the steps of its mode up to the failed one, a bulk
// action the steps of all modes.
func TestStepsToRetryFrom(t *testing.T) {
	t.Parallel()
	f, c := full(ingest.RoleOperator)
	for _, tc := range []struct {
		mode   ingest.Mode
		failed ingest.Step
		want   []string
	}{
		{ingest.ModeStaged, ingest.StepUpload, []string{"", "download", "verify", "upload"}},
		{ingest.ModeDirect, ingest.StepNotify, []string{"", "transfer", "notify"}},
		{ingest.ModeMemory, ingest.StepTransfer, []string{"", "transfer"}},
		{"", ingest.StepDownload, nil},
	} {
		f.Files[0].Mode, f.Files[0].ErrorStep = tc.mode, tc.failed
		got, _ := options(t, get(c, "/files/f1").Body.String(), "from")
		require.Equal(t, tc.want, got, "%s %s", tc.mode, tc.failed)
	}
	f.Matched = 3
	form := url.Values{"action": {"retry"}, "all": {"yes"}, "query": {"server=acme"}}
	got, _ := options(t, post(c, "/files/act", form).Body.String(), "from")
	require.Equal(t, []string{"", "download", "verify", "upload", "transfer", "notify"}, got)
	form.Set("from", "verify")
	_, selected := options(t, post(c, "/files/act", form).Body.String(), "from")
	require.Equal(t, "verify", selected, "kept when it is asked for once more")
	form.Set("action", "skip")
	got, _ = options(t, post(c, "/files/act", form).Body.String(), "from")
	require.Empty(t, got)
}

package console

import (
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestQuotedIsOneWordOfAShell(t *testing.T) {
	t.Parallel()
	shell, err := exec.LookPath("bash")
	require.NoError(t, err, "install bash")
	for _, text := range []string{
		"", "plain-1.csv", "two words", "it's", `back\slash`, "$(id)`id`;id", "-", "жук", "\x1b[201~\nid\r", "\u202egpj", "\xff\xfe", "a\tb'\\\x7f", "\ufffd", "!x", "\u009b31m",
	} {
		word := quoted(text)
		require.NotContains(t, strings.Map(func(r rune) rune {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == '\u202e' {
				return '\x1b'
			}
			return r
		}, word), "\x1b", "%q", text)
		out, err := exec.Command(shell, "-c", "printf %s "+word).CombinedOutput()
		require.NoError(t, err, word)
		require.Equal(t, text, string(out), word)
	}
}

// TestCopiedCommandsHoldNoEscapes: links choose the filter, and the button copies it for a
// terminal.
func TestCopiedCommandsHoldNoEscapes(t *testing.T) {
	t.Parallel()
	_, c := full(ingest.RoleViewer)
	page := get(c, "/files?path="+url.QueryEscape("x\x1b[201~\nid #")+"&server="+url.QueryEscape("\u0085\u202e")).Body.String()
	require.Contains(t, page, "--path $&#39;x\\x1b[201~\\x0aid #&#39;")
	require.Contains(t, page, "--server $&#39;\\xc2\\x85\\xe2\\x80\\xae&#39;")
}

func TestLinesBreakAfterSeparators(t *testing.T) {
	t.Parallel()
	var page strings.Builder
	require.NoError(t, breakable("/in/a_b-c.csv<'").Render(t.Context(), &page))
	require.Equal(t, "/<wbr>in/<wbr>a_<wbr>b-<wbr>c.<wbr>csv&lt;&#39;", page.String())
}

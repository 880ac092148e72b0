package store

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestCleanTextIsAlwaysAcceptable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOf(rapid.SampledFrom([]byte{0, 'a', '\\', 'u', '0', 0xff, 0xc3, 0xa4})).Draw(t, "raw"))
		for _, got := range []string{cleanText(raw), cleanKey(raw)} {
			require.True(t, utf8.ValidString(got))
			require.NotContains(t, got, "\x00")
		}
		details, err := cleanDetails(map[string]any{"k": raw})
		require.NoError(t, err)
		var back map[string]string
		require.NoError(t, json.Unmarshal([]byte(details), &back))
		require.Equal(t, cleanRunes(raw), back["k"], "JSON of %q is %s", raw, details)
	})
}

// cleanRunes is the reference: rune by rune, as JSON encodes invalid bytes.
func cleanRunes(raw string) string {
	var b strings.Builder
	for _, r := range raw {
		if r == 0 {
			r = utf8.RuneError
		}
		b.WriteRune(r)
	}
	return b.String()
}

func TestLongKeysKeepApart(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5000)
	require.Less(t, len(cleanKey(long)), maxFactKey)
	require.NotEqual(t, cleanKey(long), cleanKey(long+"y"))
}

func TestPageSize(t *testing.T) {
	t.Parallel()
	for asked, want := range map[int]int{-1: 100, 0: 100, 1: 1, 1000: 1000, 5000: 1000} {
		require.Equal(t, want, pageSize(asked))
	}
}

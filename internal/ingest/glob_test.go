package ingest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestGlobChoices(t *testing.T) {
	t.Parallel()
	for glob, want := range map[string]int{
		"": 1, "**/*.csv": 1, "*.{csv,txt}": 2, "{a,b}/{c,d,e}": 6, "{a,{b,c}}": 4, `\{a,b\}`: 1, "a,b}": 1, "{a,b": 1,
	} {
		assert.Equal(t, want, GlobChoices(glob), glob)
	}
	assert.Greater(t, GlobChoices(strings.Repeat("{*,a}", 100)), MaxGlobChoices)
}

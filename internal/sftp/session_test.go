package sftp

import (
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/ingest"
)

// A write to a channel that was closed fails so. Taken for the file's end, it
// would cut the file short.
func TestLostConnectionIsNotTheEndOfAFile(t *testing.T) {
	t.Parallel()
	s := &Session{server: ingest.Server{Name: "acme"}}
	lost := fmt.Errorf("failed to send packet: %w", io.EOF)
	assert.False(t, answered(lost))
	err := s.explain(lost, "read", "/f")
	assert.NotErrorIs(t, err, io.EOF)
	assert.ErrorContains(t, err, "failed to send packet")
	assert.Equal(t, ingest.KindTransient, ingest.KindOf(err))
}

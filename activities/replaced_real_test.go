package activities_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/test/sandbox"
)

// TestAResumedTransferDoesNotMixFiles: with an identity rule that ignores times, a file of the
// same size may replace the source while the connection is broken, between two attempts or
// within one. Without a stat of the open file nothing shows that it was not replaced.
func TestAResumedTransferDoesNotMixFiles(t *testing.T) {
	t.Parallel()
	const size = 4*directPart + 5
	for name, tc := range map[string]struct{ within, hideOpen bool }{
		"between attempts": {}, "within an attempt": {within: true},
		"between attempts without FSTAT": {hideOpen: true}, "within an attempt without FSTAT": {within: true, hideOpen: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newDirectBench(t)
			b.setIdentity(t, ingest.IdentitySize)
			b.sshd.Write(t, "a.bin", sandbox.Random(size))
			b.touch(t, "a.bin", time.Hour)
			f := b.ready(t, "a.bin", sandbox.Random(size))
			b.hookSources().hideOpen = tc.hideOpen
			other := sandbox.Random(size)
			slices.Reverse(other)
			replace := func() {
				b.sshd.Write(t, "new", other)
				b.touch(t, "new", time.Minute)
				require.NoError(t, os.Rename(b.sshd.Path("new"), b.sshd.Path("a.bin")))
			}
			if tc.within {
				b.parts.before = func(number int) {
					if number == 3 {
						replace()
						b.sshd.KillSessions()
					}
				}
			} else {
				b.parts.refuse.Store(3)
			}
			require.Equal(t, string(ingest.KindTransient), b.transfer(t, f))
			b.parts.before = nil
			b.parts.refuse.Store(0)
			if !tc.within {
				replace()
			}
			require.Empty(t, b.transfer(t, f))
			require.Equal(t, ingest.StatusUploaded, b.status(t, f))
			sum := sha256.Sum256(other)
			objects := b.S3.Objects(t)
			require.Len(t, objects, 1)
			assert.Equal(t, hex.EncodeToString(sum[:]), objects[0].SHA256, "all bytes are of one file")
			assert.Nil(t, sandbox.Detail(b.Events(t, f.UUID), ingest.EventDownloadResumed, "offset"))
		})
	}
}

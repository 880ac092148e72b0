package transfer

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// TestAnswerTimeout: in every mode the answer timeout is the source's own setting, or the
// configured one without it. The message names it.
func TestAnswerTimeout(t *testing.T) {
	t.Parallel()
	want := content(3000)
	ways := map[string]func(t *testing.T, from io.ReaderAt, answerTimeout time.Duration) error{
		"staged": func(t *testing.T, from io.ReaderAt, answerTimeout time.Duration) error {
			req := fetchOf(want)
			req.Source, req.AnswerTimeout = from, answerTimeout
			_, err := open(t, Config{ChunkSize: 1000, Window: 1, AnswerTimeout: time.Minute}).Fetch(t.Context(), req)
			return err
		},
		"direct": func(t *testing.T, from io.ReaderAt, answerTimeout time.Duration) error {
			var kept saved
			req := directOf(want, &kept)
			req.Source, req.AnswerTimeout = from, answerTimeout
			_, err := newDirect(t, &sink{}, func(cfg *DirectConfig) { cfg.AnswerTimeout = time.Minute }).Copy(t.Context(), req)
			return err
		},
		"in memory": func(t *testing.T, from io.ReaderAt, answerTimeout time.Duration) error {
			_, _, err := Memory{}.ReadWhole(t.Context(), from, int64(len(want)), 0, answerTimeout)
			return err
		},
	}
	for name, read := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				after := func(pause time.Duration) io.ReaderAt {
					return source{answer: func(p []byte, off int64) (int, error) {
						select {
						case <-time.After(pause):
						case <-ctx.Done():
						}
						return copy(p, want[off:]), nil
					}}
				}
				require.NoError(t, read(t, after(4*time.Minute), 5*time.Minute))
				for answerTimeout, text := range map[time.Duration]string{0: "for 1m0s", 10 * time.Second: "for 10s"} {
					err := read(t, after(4*time.Minute), answerTimeout)
					require.ErrorContains(t, err, "received no data "+text)
					require.ErrorContains(t, err, "raise --answer-timeout")
					require.Equal(t, ingest.KindTransient, ingest.KindOf(err))
				}
			})
		})
	}
}

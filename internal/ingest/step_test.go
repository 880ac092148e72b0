package ingest_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"stevedore/internal/ingest"
)

// stepsByMode lists the steps of each mode.
var stepsByMode = map[ingest.Mode][]ingest.Step{
	ingest.ModeMemory: {ingest.StepTransfer, ingest.StepNotify},
	ingest.ModeStaged: {ingest.StepDownload, ingest.StepVerify, ingest.StepUpload, ingest.StepNotify},
	ingest.ModeDirect: {ingest.StepTransfer, ingest.StepNotify},
}

func TestStepsFollowOneAnother(t *testing.T) {
	t.Parallel()
	assert.Len(t, stepsByMode, len(ingest.Modes))
	for mode, want := range stepsByMode {
		var got []ingest.Step
		for _, info := range ingest.StepsOf(mode) {
			got = append(got, info.Step)
		}
		assert.Equal(t, want, got, mode)
		assert.Equal(t, want[0], ingest.FirstStep(mode), mode)
		for i, step := range want[:len(want)-1] {
			assert.Equal(t, want[i+1], ingest.StepAfterIn(mode, step), "%s after %s", mode, step)
		}
		assert.Empty(t, ingest.StepAfterIn(mode, ingest.StepNotify), mode)
		assert.Empty(t, ingest.StepAfterIn(mode, ingest.StepAfter), mode)
	}
}

// Results of another mode's steps may be missing, so the file must restart and
// never count as done.
func TestStepOfAnotherModeRestarts(t *testing.T) {
	t.Parallel()
	for mode, steps := range stepsByMode {
		for _, info := range ingest.Steps {
			own := slices.Contains(steps, info.Step)
			if info.Step == ingest.StepAfter {
				continue
			}
			want := steps[0]
			if own {
				want = info.Step
			}
			assert.Equal(t, want, ingest.StepIn(mode, info.Step), "%s in %s", info.Step, mode)
			if !own {
				assert.Equal(t, steps[0], ingest.StepAfterIn(mode, info.Step), "after %s in %s", info.Step, mode)
			}
		}
		for _, none := range []ingest.Step{ingest.StepDiscover, "", "unknown"} {
			assert.Equal(t, steps[0], ingest.StepIn(mode, none), "%q in %s", none, mode)
			assert.Equal(t, steps[0], ingest.StepAfterIn(mode, none), "after %q in %s", none, mode)
		}
		assert.Equal(t, steps[0], ingest.StepIn(mode, ingest.StepAfter), "no file starts with it")
	}
}

// An operator may retry from an earlier step of the file's mode, never from a
// later one.
func TestRetryFrom(t *testing.T) {
	t.Parallel()
	for mode, steps := range stepsByMode {
		for i, failed := range steps {
			assert.Equal(t, steps[:i+1], ingest.RetryFrom(mode, failed), "%s at %s", mode, failed)
		}
		for _, other := range []ingest.Step{ingest.StepDiscover, ingest.StepAfter, ""} {
			assert.Equal(t, steps[:1], ingest.RetryFrom(mode, other), "%s at %q", mode, other)
		}
	}
	assert.Equal(t, []ingest.Step{ingest.StepTransfer}, ingest.RetryFrom(ingest.ModeDirect, ingest.StepUpload))
	assert.Equal(t, []ingest.Step{ingest.StepDownload}, ingest.RetryFrom(ingest.ModeStaged, ingest.StepTransfer))
	assert.Empty(t, ingest.RetryFrom("", ingest.StepDownload), "no mode yet")
	assert.Equal(t, []ingest.Step{
		ingest.StepDownload, ingest.StepVerify, ingest.StepUpload, ingest.StepTransfer, ingest.StepNotify,
	}, ingest.RetrySteps())
}

// The table of steps must agree with the allowed transitions.
func TestStepTable(t *testing.T) {
	t.Parallel()
	seen := map[ingest.Step]bool{}
	for _, info := range ingest.Steps {
		assert.False(t, seen[info.Step], "%s twice", info.Step)
		seen[info.Step] = true
		found, ok := info.Step.Info()
		assert.True(t, ok)
		assert.Equal(t, info, found)
		assert.NotEmpty(t, info.Label, info.Step)
		assert.Contains(t, ingest.EventKeys, info.Event, info.Step)
		if info.Step != ingest.StepAfter {
			assert.True(t, ingest.StatusError.CanBecome(info.Entry), "a retry from %s sets %s", info.Step, info.Entry)
		}
		assert.True(t, info.Entry.CanBecome(info.Working), "%s: %s -> %s", info.Step, info.Entry, info.Working)
		reads := info.Step == ingest.StepDownload || info.Step == ingest.StepTransfer
		assert.Equal(t, reads, info.Fetches, "%s needs a slot", info.Step)
	}
	_, ok := ingest.StepDiscover.Info()
	assert.False(t, ok)
}

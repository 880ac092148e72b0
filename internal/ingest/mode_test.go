package ingest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

func TestModeFor(t *testing.T) {
	t.Parallel()
	limits := ingest.ModeLimits{Memory: 1 << 20, Direct: 1 << 30}
	const empty, small, over, large, huge = 0, 1 << 20, 1<<20 + 1, 1 << 30, 1<<30 + 1
	type want map[int64]ingest.Mode
	for name, tc := range map[string]struct {
		server ingest.Server
		limits ingest.ModeLimits
		want   want
	}{
		"auto": {ingest.Server{Transfer: ingest.TransferAuto}, limits, want{
			empty: ingest.ModeMemory, small: ingest.ModeMemory, over: ingest.ModeStaged, large: ingest.ModeStaged, huge: ingest.ModeDirect,
		}},
		"not set": {ingest.Server{}, limits, want{small: ingest.ModeMemory, over: ingest.ModeStaged, huge: ingest.ModeDirect}},
		"staged":  {ingest.Server{Transfer: ingest.TransferStaged}, limits, want{small: ingest.ModeStaged, huge: ingest.ModeStaged}},
		"direct": {ingest.Server{Transfer: ingest.TransferDirect}, limits, want{
			small: ingest.ModeMemory, over: ingest.ModeDirect, huge: ingest.ModeDirect,
		}},
		"read-once": {ingest.Server{Transfer: ingest.TransferAuto, ReadOnce: true}, limits, want{
			empty: ingest.ModeStaged, small: ingest.ModeStaged, huge: ingest.ModeStaged,
		}},
		"read-once, direct": {ingest.Server{Transfer: ingest.TransferDirect, ReadOnce: true}, limits, want{
			small: ingest.ModeStaged, huge: ingest.ModeStaged,
		}},
		"memory off": {ingest.Server{Transfer: ingest.TransferAuto}, ingest.ModeLimits{Direct: 1 << 30}, want{
			1: ingest.ModeStaged, huge: ingest.ModeDirect,
		}},
	} {
		for size, mode := range tc.want {
			assert.Equal(t, mode, tc.server.ModeFor(size, tc.limits), "%s, %d bytes", name, size)
		}
	}
}

// Files of read-once servers, and of servers set to staged, must wait for space in
// staging.
func TestMayGoDirect(t *testing.T) {
	t.Parallel()
	assert.True(t, ingest.Server{Transfer: ingest.TransferAuto}.MayGoDirect())
	assert.True(t, ingest.Server{Transfer: ingest.TransferDirect}.MayGoDirect())
	assert.False(t, ingest.Server{Transfer: ingest.TransferStaged}.MayGoDirect())
	assert.False(t, ingest.Server{Transfer: ingest.TransferAuto, ReadOnce: true}.MayGoDirect())
}

func TestTransferSettingValidate(t *testing.T) {
	t.Parallel()
	server := ingest.Server{Name: "acme", Host: "h", Username: "u"}.WithDefaults(ingest.ServerDefaults{})
	for _, good := range []ingest.TransferSetting{ingest.TransferAuto, ingest.TransferStaged, ingest.TransferDirect} {
		server.Transfer = good
		require.Empty(t, server.Validate())
	}
	server.Transfer = "memory"
	require.ErrorContains(t, errors.Join(server.Validate()...), "use auto, staged or direct")
}

func TestTempPath(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "/staging/u", ingest.ModeStaged.TempPath("/staging/u"))
	assert.Equal(t, "memory:", ingest.ModeMemory.TempPath(""))
	assert.Equal(t, "direct:", ingest.ModeDirect.TempPath(""))
}

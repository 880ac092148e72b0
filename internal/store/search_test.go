package store_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// selected returns the paths that list, count and bulk select by the filter, which must agree.
func (b *testBundle) selected(t *testing.T, filter ingest.FileFilter) (selected []string) {
	t.Helper()
	page, err := b.FilesPage(t.Context(), filter)
	require.NoError(t, err)
	bulk, err := b.Files(t.Context(), filter)
	require.NoError(t, err)
	require.Equal(t, uuids(page.Items), uuids(bulk))
	counted, err := b.CountUpTo(t.Context(), filter, 100)
	require.NoError(t, err)
	matching, err := b.CountMatching(t.Context(), filter)
	require.NoError(t, err)
	require.Equal(t, ingest.Count{N: int64(len(bulk))}, counted)
	require.EqualValues(t, len(bulk), matching)
	for _, f := range bulk {
		selected = append(selected, f.RemotePath)
	}
	slices.Sort(selected)
	return selected
}

func TestSearchByPathUUIDAndHash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	names := []string{"/in/Invoice_1.CSV", "/in/100%/a_b.txt", "/in/100x/aXb.txt", "/in/2024/x", "/in/" + strings.Repeat("ab", 32)}
	for _, name := range names {
		b.observe(t, ingest.Observation{Path: name, Size: 1, ModTime: epoch})
	}
	hash := strings.Repeat("cd", 32)
	b.exec(t, `UPDATE files SET file_uuid = '20240000-0000-4000-8000-000000000000', file_hash = $1 WHERE remote_path = $2`, hash, names[0])
	b.exec(t, `UPDATE files SET error_kind = 'permission', error_step = 'download' WHERE remote_path = $1`, names[1])
	b.exec(t, `UPDATE files SET error_kind = 'missing', error_step = 'upload' WHERE remote_path = $1`, names[2])
	for name, try := range map[string]struct {
		filter ingest.FileFilter
		want   []int
	}{
		"upper and lower case":          {ingest.FileFilter{Search: "iNVOICE"}, []int{0}},
		"within a folder's name":        {ingest.FileFilter{Search: "n/inv"}, []int{0}},
		"spaces around it":              {ingest.FileFilter{Search: " invoice_1\n"}, []int{0}},
		"percent is literal":            {ingest.FileFilter{Search: "0%/"}, []int{1}},
		"underscore is literal":         {ingest.FileFilter{Search: "a_b"}, []int{1}},
		"backslash is literal":          {ingest.FileFilter{Search: `\`}, nil},
		"short prefix, also of a path":  {ingest.FileFilter{Search: "2024"}, []int{0, 3}},
		"long prefix of a uuid":         {ingest.FileFilter{Search: "20240000"}, []int{0}},
		"whole uuid":                    {ingest.FileFilter{Search: "20240000-0000-4000-8000-000000000000"}, []int{0}},
		"unknown uuid":                  {ingest.FileFilter{Search: "20240000-0000-4000-8000-000000000001"}, nil},
		"hash of the content":           {ingest.FileFilter{Search: strings.ToUpper(hash)}, []int{0}},
		"unknown hash that is a name":   {ingest.FileFilter{Search: strings.Repeat("AB", 32)}, []int{4}},
		"hash and another hash":         {ingest.FileFilter{Search: hash, Hash: strings.Repeat("0", 64)}, nil},
		"uuid prefix and another uuid":  {ingest.FileFilter{Search: "20240000", UUID: "ffff"}, nil},
		"search within a server":        {ingest.FileFilter{Search: "invoice", Server: "acme"}, []int{0}},
		"search within another status":  {ingest.FileFilter{Search: "invoice", Statuses: []ingest.Status{ingest.StatusError}}, nil},
		"kind":                          {ingest.FileFilter{ErrorKinds: []ingest.Kind{ingest.KindPermission}}, []int{1}},
		"kinds":                         {ingest.FileFilter{ErrorKinds: []ingest.Kind{ingest.KindPermission, ingest.KindMissing}}, []int{1, 2}},
		"step":                          {ingest.FileFilter{ErrorSteps: []ingest.Step{ingest.StepUpload}}, []int{2}},
		"kind and step of other files":  {ingest.FileFilter{ErrorKinds: []ingest.Kind{ingest.KindPermission}, ErrorSteps: []ingest.Step{ingest.StepUpload}}, nil},
		"kind and search for its file":  {ingest.FileFilter{ErrorKinds: []ingest.Kind{ingest.KindPermission}, Search: "A_B"}, []int{1}},
		"kind, search and path pattern": {ingest.FileFilter{ErrorKinds: []ingest.Kind{ingest.KindPermission}, Search: "a_b", Path: "*.txt"}, []int{1}},
	} {
		var want []string
		for _, i := range try.want {
			want = append(want, names[i])
		}
		slices.Sort(want)
		require.Equal(t, want, b.selected(t, try.filter), name)
	}
}

func TestFailureGroups(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.addServer(t, "globex")
	b.observe(t, paths("/in", 6)...)
	b.promote(t, 0)
	all := uuids(b.files(t))
	fail := func(file string, kind ingest.Kind, step ingest.Step, message string) {
		require.NoError(t, b.Apply(t.Context(), ingest.Change{
			FileUUID: file, To: ingest.StatusError, Set: ingest.Columns{Error: &ingest.Failure{Kind: kind, Step: step, Message: message}},
		}))
	}
	fail(all[0], ingest.KindPermission, ingest.StepDownload, "first")
	fail(all[1], ingest.KindMissing, ingest.StepUpload, "no bucket")
	fail(all[2], ingest.KindPermission, ingest.StepDownload, "last")
	groups, err := b.FailureGroups(t.Context(), "", 10)
	require.NoError(t, err)
	require.Len(t, groups, 2)
	require.Equal(t, b.server.UUID, groups[0].ServerUUID)
	require.Equal(t, "acme", groups[0].ServerName)
	require.Equal(t, []any{ingest.KindPermission, ingest.StepDownload, int64(2), all[2], "last"},
		[]any{groups[0].Kind, groups[0].Step, groups[0].Count, groups[0].FileUUID, groups[0].Message})
	require.True(t, groups[0].Since.Before(groups[0].Latest))
	require.Equal(t, ingest.KindMissing, groups[1].Kind)

	one, err := b.FailureGroups(t.Context(), b.server.UUID, 1)
	require.NoError(t, err)
	require.Equal(t, groups[:1], one)
	none, err := b.FailureGroups(t.Context(), other.UUID, 10)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestStatistics(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other, idle := b.addServer(t, "globex"), b.addServer(t, "idle")
	removed := b.addServer(t, "removed")
	b.exec(t, "UPDATE sftp_servers SET is_active = false, removed_at = now() WHERE server_uuid = $1", removed.UUID)
	b.exec(t, `INSERT INTO file_hours (hour, server_uuid, completed, bytes, failures)
		SELECT date_trunc('hour', now(), 'UTC') - make_interval(hours => h), $1, 1, 10, 2 FROM generate_series(0, 24 * 31) h`, b.server.UUID)
	b.exec(t, `INSERT INTO file_deltas (server_uuid, hour, completed, bytes, failures) VALUES ($1, date_trunc('hour', now(), 'UTC'), 5, 50, 0)`, other.UUID)
	for period, n := range map[ingest.Period]int{ingest.PeriodDay: 24, ingest.PeriodWeek: 7, ingest.PeriodMonth: 30} {
		stats, err := b.Statistics(t.Context(), b.server.UUID, period)
		require.NoError(t, err)
		require.Len(t, stats.Buckets, n)
		_, length := period.Buckets()
		for i, bucket := range stats.Buckets[:n-1] {
			hours := int64(length.Hours())
			require.Equal(t, ingest.HourStats{Start: bucket.Start, Completed: hours, Bytes: 10 * hours, Failures: 2 * hours}, bucket)
			require.Equal(t, length, stats.Buckets[i+1].Start.Sub(bucket.Start))
		}
		last := stats.Buckets[n-1]
		require.False(t, stats.At.Before(last.Start) || !stats.At.Before(last.Start.Add(length)))
		whole, err := b.Statistics(t.Context(), "", period)
		require.NoError(t, err)
		require.Equal(t, last.Completed+5, whole.Buckets[n-1].Completed)
		require.Equal(t, []ingest.ServerStats{
			{ServerUUID: b.server.UUID, ServerName: b.server.Name, Completed: sum(stats.Buckets).Completed, Bytes: sum(stats.Buckets).Bytes, Failures: sum(stats.Buckets).Failures},
			{ServerUUID: other.UUID, ServerName: "globex", Completed: 5, Bytes: 50},
			{ServerUUID: idle.UUID, ServerName: "idle"},
		}, whole.Servers)
		require.Equal(t, whole.Servers[:1], stats.Servers)
	}
	_, err := b.Statistics(t.Context(), "", "1y")
	requireKind(t, ingest.KindInvalid, err, "24h")
}

func sum(buckets []ingest.HourStats) (total ingest.HourStats) {
	for _, bucket := range buckets {
		total.Completed, total.Bytes, total.Failures = total.Completed+bucket.Completed, total.Bytes+bucket.Bytes, total.Failures+bucket.Failures
	}
	return total
}

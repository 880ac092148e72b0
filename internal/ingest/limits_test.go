package ingest

import (
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each limit of a setting must be valid itself, and the next value beyond it invalid.
func TestLimitsOfSettings(t *testing.T) {
	t.Parallel()
	valid := Server{Name: "acme", Host: "h", Username: "u"}.WithDefaults(ServerDefaults{})
	for _, setting := range Settings {
		if setting.Min == 0 && setting.Max == 0 {
			continue
		}
		unit := ""
		if setting.Duration() {
			unit = "ns"
		}
		for value, wrong := range map[int64]int{setting.Min - 1: 1, setting.Min: 0, setting.Max: 0, setting.Max + 1: 1} {
			if value == 0 && setting.ZeroMeans != "" {
				wrong = 0
			}
			server := valid
			require.NoError(t, setting.SetText(&server, strconv.FormatInt(value, 10)+unit))
			assert.Len(t, server.Validate(), wrong, "%s %d%s", setting.Field, value, unit)
		}
		if setting.ZeroMeans != "" {
			server := valid
			setting.Copy(&server, Server{})
			assert.Empty(t, server.Validate(), "%s 0", setting.Field)
		}
	}
}

// Only unset settings get defaults.
func TestDefaultsOfServers(t *testing.T) {
	t.Parallel()
	defaults := ServerDefaults{Settle: 7 * time.Second, ScanInterval: 2 * time.Minute}
	unset := Server{Settle: -1}.WithDefaults(defaults)
	assert.Equal(t, Server{
		Port: 22, RootPath: "/", MaxParallel: 4, AfterIngest: AfterKeep, OnCollision: CollisionRename, Transfer: TransferAuto, MaxDepth: 64,
		State: ServerOK, ScanInterval: 2 * time.Minute, Settle: 7 * time.Second,
	}, unset)
	assert.Equal(t, time.Minute, Server{}.WithDefaults(ServerDefaults{}).ScanInterval)
	set := Server{
		Port: 2222, RootPath: "/out", MaxParallel: 1, AfterIngest: AfterDelete, OnCollision: CollisionKeep, Transfer: TransferDirect, MaxDepth: 2,
		State: ServerSuspended, ScanInterval: time.Hour, Settle: 0,
	}
	assert.Equal(t, set, set.WithDefaults(defaults))
}

// Names are shortened only beyond the limit, before the extension, and never within a
// character.
func TestLengthsOfNames(t *testing.T) {
	t.Parallel()
	const uuid = "0192aa00-0000-7000-8000-000000000001"
	room := maxName - len(uuid) - 1
	assert.Equal(t, uuid+"-"+strings.Repeat("a", room), UniqueName(uuid, strings.Repeat("a", room)))
	for name, ending := range map[string]string{
		strings.Repeat("a", room-3) + ".csv":                                ".csv",
		strings.Repeat("a", 240) + "." + strings.Repeat("e", 15):            "." + strings.Repeat("e", 15),
		strings.Repeat("a", 240) + "." + strings.Repeat("e", 16):            "a",
		strings.Repeat("a", 240):                                            "a",
		strings.Repeat("a", room-nameSpare) + "é" + strings.Repeat("a", 30): "a",
	} {
		short := UniqueName(uuid, name)
		assert.True(t, strings.HasSuffix(short, ending), short)
		assert.LessOrEqual(t, len(short), maxName-nameSpare)
		assert.GreaterOrEqual(t, len(short), maxName-nameSpare-1)
		assert.True(t, utf8.ValidString(short), short)
	}
	exact := strings.Repeat("a", safeNameBytes)
	assert.Equal(t, exact, shorten(exact))
	assert.Equal(t, exact, shorten(exact+"a"))
	assert.Equal(t, strings.Repeat("a", safeNameBytes-20)+"."+strings.Repeat("e", 19), shorten(exact+"."+strings.Repeat("e", 19)), "an extension of 20 bytes is kept")
	assert.Equal(t, exact, shorten(exact+"."+strings.Repeat("e", 20)), "a longer one is part of the name")
	assert.Equal(t, "."+strings.Repeat("a", safeNameBytes-1), shorten("."+exact), "a leading dot begins no extension")
	assert.Equal(t, "aé", truncate("aéb", 3))
	assert.Equal(t, "a", truncate("aéb", 2))
	assert.Equal(t, "aéb", truncate("aéb", 4))
	for text, ok := range map[string]bool{"": false, "a": true, ".": false, "..": false, "...": true, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false} {
		assert.Equal(t, ok, ValidName(text), text)
	}
}

func TestFilesOfKeys(t *testing.T) {
	t.Parallel()
	const uuid = "0192aa00-0000-7000-8000-000000000001"
	for key, ok := range map[string]bool{
		"files/2026/01/" + uuid + "/a": true, "files/2026/01/" + uuid + "/": false, "files/2026/01/" + uuid: false,
		"other/2026/01/" + uuid + "/a": false, "files/2026-01/" + uuid + "/a": false, "files/2026/01-" + uuid + "/a": false,
		"files/2026/01/" + uuid + "-a": false,
	} {
		found, is := FileOfKey(key)
		assert.Equal(t, ok, is, key)
		assert.Equal(t, ok, found == uuid, key)
	}
}

func TestMarkersAmongIncludedFiles(t *testing.T) {
	t.Parallel()
	each, folder := Server{DoneMarker: "a*.done"}, Server{DoneMarker: "_SUCCESS"}
	for name, is := range map[string]bool{"a.done": false, "ab.done": true, "ab.don": false, "b.done": false, "_SUCCESS": false} {
		assert.Equal(t, is, each.IsMarker(name), name)
	}
	assert.True(t, folder.IsMarker("_SUCCESS"))
	assert.False(t, Server{}.IsMarker(""))
	server := Server{DoneMarker: "*.done"}
	for glob, only := range map[string]bool{
		"*.done": true, "**/*.done": true, "*.csv": false, "{*.done,*.csv}": true, "{a,b}/*.done": true, "*.{csv,done}": true, "*.{c{s,t}v,d{o,x}ne}": true,
		"*.{csv,xml}": false, "*.[d]one": false, "{*.done": true, "a,b.done": true, "*.{x[,]y,csv}": false, `*.{a\,b,csv}`: false,
	} {
		assert.Equal(t, only, server.includesMarkers(glob), glob)
	}
}

// The own checksum file of a file must win over that of its folder, and a strong
// algorithm over a weak or unsupported one.
func TestRanksOfChecksumFiles(t *testing.T) {
	t.Parallel()
	order := []string{
		".sha256", ".sha512", ".sha384", ".b2sum", "sha256sums", "sha512sums.txt", "checksums", "digests.txt", ".sha1", "sha1sums", ".md5", "md5sums", ".sha3", ".b3", "crc32sums",
	}
	before := -1
	for _, name := range order {
		rank, own := checksumSuffixes[name]
		if !own {
			rank = checksumLists[name]
		}
		require.NotEqual(t, ChecksumName{}, rank, name)
		assert.Greater(t, rank.Rank, before, name)
		before = rank.Rank
	}
	ranks := map[int]string{}
	for name, list := range checksumLists {
		name = strings.TrimSuffix(strings.TrimSuffix(name, ".txt"), "s")
		if other, ok := ranks[list.Rank]; ok {
			assert.Equal(t, strings.TrimSuffix(other, "sum"), strings.TrimSuffix(name, "sum"), "names of different algorithms have ranks of their own")
		}
		ranks[list.Rank] = name
	}
}

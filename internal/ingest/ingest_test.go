package ingest_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"stevedore/internal/ingest"
)

func TestStatusTransitions(t *testing.T) {
	t.Parallel()
	t.Run("the usual order is allowed step by step", func(t *testing.T) {
		t.Parallel()
		way := ingest.Statuses[:8]
		for i := 1; i < len(way); i++ {
			assert.True(t, way[i-1].CanBecome(way[i]), "%s -> %s", way[i-1], way[i])
		}
	})
	t.Run("no step can be skipped", func(t *testing.T) {
		t.Parallel()
		assert.False(t, ingest.StatusReady.CanBecome(ingest.StatusUploaded))
		assert.False(t, ingest.StatusDownloaded.CanBecome(ingest.StatusUploading))
		assert.False(t, ingest.StatusUploading.CanBecome(ingest.StatusCompleted))
	})
	t.Run("a completed file stays completed", func(t *testing.T) {
		t.Parallel()
		for _, next := range ingest.Statuses {
			assert.Equal(t, next == ingest.StatusCompleted, ingest.StatusCompleted.CanBecome(next), "completed -> %s", next)
		}
	})
	t.Run("every status can be reached", func(t *testing.T) {
		t.Parallel()
		reached := map[ingest.Status]bool{ingest.StatusDiscovered: true, ingest.StatusRejected: true}
		for _, pair := range ingest.Transitions() {
			reached[pair[1]] = true
		}
		assert.Len(t, reached, len(ingest.Statuses))
	})
}

func TestErrorKinds(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection reset")
	err := fmt.Errorf("step: %w", ingest.Wrap(ingest.KindAuth, cause, "the server refused"))
	assert.Equal(t, ingest.KindAuth, ingest.KindOf(err))
	require.ErrorIs(t, err, cause)
	assert.Equal(t, ingest.KindTransient, ingest.KindOf(cause), "unclassified errors are retried")
	require.NoError(t, ingest.Wrap(ingest.KindAuth, nil, "nothing"))
	assert.False(t, ingest.KindFenced.Permanent(), "the current attempt must be able to claim the file again")
	assert.True(t, ingest.KindHostKey.Permanent())
}

func TestObjectKey(t *testing.T) {
	t.Parallel()
	modified := time.Date(2026, 1, 1, 1, 0, 0, 0, time.FixedZone("east", 5*3600))
	f := ingest.File{UUID: "u", Filename: "отчёт за май.csv", ModTime: modified, CreatedAt: time.Now()}
	assert.Equal(t, "files/2025/12/u/отчёт_за_май.csv", ingest.ObjectKey(f), "year and month are UTC's")
}

func TestSafeNameIsOnePathElement(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := string(rapid.SliceOf(rapid.Byte()).Draw(t, "name"))
		safe := ingest.SafeName(name)
		if safe == "" || safe == "." || safe == ".." || strings.ContainsAny(safe, "/\\\x00") || len(safe) > 200 || !utf8.ValidString(safe) {
			t.Fatalf("unsafe: %q from %q", safe, name)
		}
	})
}

func TestSafeNameKeepsTheExtension(t *testing.T) {
	t.Parallel()
	safe := ingest.SafeName(strings.Repeat("я", 300) + ".csv.gz")
	assert.True(t, strings.HasSuffix(safe, ".gz"), safe)
	assert.LessOrEqual(t, len(safe), 180)
	assert.True(t, utf8.ValidString(safe))
}

func TestDisplayPathEscapes(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "/a b/ю", ingest.DisplayPath("/a b/ю"))
	assert.Equal(t, `/\xff\n\x1b[31m`, ingest.DisplayPath("/\xff\n\x1b[31m"))
	assert.Equal(t, `/x\u202egpj`, ingest.DisplayPath("/x\u202egpj"), "a right-to-left mark must not reorder text")
	assert.LessOrEqual(t, len(ingest.Summary(strings.Repeat("ж", 1000))), 400)
}

func TestIncludeThatDoesNotMatchMarkers(t *testing.T) {
	t.Parallel()
	for _, include := range []string{"**", "**/*", "*.csv", "a*", "{a,b}/**", "**/*.[ct]sv", "a.done/*.csv"} {
		s := ingest.Server{Name: "acme", Host: "h", Username: "u", DoneMarker: "*.done", Include: []string{include}}.WithDefaults(ingest.ServerDefaults{})
		assert.Empty(t, s.Validate(), include)
	}
}

func TestCounted(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 files are", 1: "1 file is", 2: "2 files are"} {
		assert.Equal(t, want, ingest.Counted(n, "file is", "files are"))
	}
}

func TestUniqueNamesFitFileSystems(t *testing.T) {
	t.Parallel()
	const uuid = "0b8f9a52-6d7c-5d51-9c1e-0d6f8a3b2c1d"
	assert.Equal(t, uuid+"-a.csv", ingest.UniqueName(uuid, "a.csv"))
	assert.Equal(t, uuid+"-a.csv.done", ingest.NameBeside(uuid, "a.csv", "a.csv.done"))
	assert.Equal(t, uuid+"-b.done", ingest.NameBeside(uuid, "a.csv", "b.done"))
	for _, name := range []string{strings.Repeat("a", 255), strings.Repeat("ж", 127), strings.Repeat("ж", 125) + ".csv", "." + strings.Repeat("a", 254)} {
		unique := ingest.UniqueName(uuid, name)
		assert.LessOrEqual(t, len(unique), 255)
		assert.True(t, utf8.ValidString(unique), unique)
		assert.True(t, strings.HasPrefix(unique, uuid+"-"+name[:2]))
		assert.Equal(t, unique+".sha256", ingest.NameBeside(uuid, name, name+".sha256"))
		long := ingest.NameBeside(uuid, name, name+"."+strings.Repeat("x", 40))
		assert.LessOrEqual(t, len(long), 255)
	}
}

func TestServerValidate(t *testing.T) {
	t.Parallel()
	good := ingest.Server{Name: "acme", Host: "sftp.example.com", Username: "u"}.WithDefaults(ingest.ServerDefaults{ScanInterval: time.Minute})
	require.Empty(t, good.Validate())
	assert.Equal(t, 22, good.Port)
	for field, bad := range map[string]func(*ingest.Server){
		"name":           func(s *ingest.Server) { s.Name = "a b" },
		"host":           func(s *ingest.Server) { s.Host = "user@host" },
		"port":           func(s *ingest.Server) { s.Port = 70000 },
		"username":       func(s *ingest.Server) { s.Username = "" },
		"path":           func(s *ingest.Server) { s.RootPath = "/a/../b" },
		"max-parallel":   func(s *ingest.Server) { s.MaxParallel = 257 },
		"settle":         func(s *ingest.Server) { s.Settle = 25 * time.Hour },
		"scan-interval":  func(s *ingest.Server) { s.ScanInterval = time.Millisecond },
		"scan-interval ": func(s *ingest.Server) { s.ScanInterval = 0 },
		"done-marker \"*.csv\": include \"**/*.{txt,csv}\" matches such files": func(s *ingest.Server) {
			s.DoneMarker, s.Include = "*.csv", []string{"**/*.xml", "**/*.{txt,csv}"}
		},
		"done-marker \"_SUCCESS\": include \"a/_SUCCESS\"": func(s *ingest.Server) { s.DoneMarker, s.Include = "_SUCCESS", []string{"a/_SUCCESS"} },
		"after-ingest":  func(s *ingest.Server) { s.AfterIngest = "move:relative" },
		"after-ingest ": func(s *ingest.Server) { s.AfterIngest = "burn" },

		`host sftp.example.com\u200b holds an invisible character`: func(s *ingest.Server) { s.Host += "\u200b" },
		`username u\x7f holds`:            func(s *ingest.Server) { s.Username += "\x7f" },
		`path /in\u202e holds`:            func(s *ingest.Server) { s.RootPath = "/in\u202e" },
		`include *.csv\u00a0 holds`:       func(s *ingest.Server) { s.Include = []string{"*.txt", "*.csv\u00a0"} },
		`exclude \xff holds`:              func(s *ingest.Server) { s.Exclude = []string{"\xff"} },
		`after-ingest move:/done\n holds`: func(s *ingest.Server) { s.AfterIngest = "move:/done\n" },
		`done-marker *.done\r holds`:      func(s *ingest.Server) { s.DoneMarker = "*.done\r" },
	} {
		s := good
		bad(&s)
		errs := s.Validate()
		require.Len(t, errs, 1, field)
		assert.ErrorContains(t, errs[0], strings.TrimSpace(field))
	}
}

func TestCredentialsNeverPrint(t *testing.T) {
	t.Parallel()
	c := ingest.Credentials{Password: []byte("canary"), PrivateKey: []byte("canary")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		assert.NotContains(t, fmt.Sprintf(verb, c), "canary")
	}
}

// TestKindsAreComplete: the API refuses a kind that the list lacks.
func TestKindsAreComplete(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("errors.go")
	require.NoError(t, err)
	var declared []ingest.Kind
	for _, kind := range regexp.MustCompile(`\tKind\w+ Kind = "(\w+)"`).FindAllStringSubmatch(string(text), -1) {
		declared = append(declared, ingest.Kind(kind[1]))
	}
	require.Equal(t, declared, ingest.Kinds)
}

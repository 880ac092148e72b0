package ingest_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
)

// onlyError returns the only field error of the server; empty for a valid server.
func onlyError(t *testing.T, s ingest.Server) string {
	t.Helper()
	errs := s.Validate()
	if len(errs) == 0 {
		return ""
	}
	require.Len(t, errs, 1)
	return errs[0].Error()
}

func validServer() ingest.Server {
	return ingest.Server{Name: "acme", Host: "sftp.example.com", Username: "u", Active: true}.WithDefaults(ingest.ServerDefaults{})
}

// A pattern that cannot match anything silently excludes files.
func TestPatternsThatMatchNothingAreRejected(t *testing.T) {
	t.Parallel()
	for glob, advice := range map[string]string{
		"/x/**": "use 'x/**'", "./x/*.csv": "'./'", " x/**": "space", "x/** ": "space", "x/y/": "use 'x/y/**'",
		`x\y\*.csv`: "use '/'", `x\*.csv`: "use '/'", `x\`: "use '/'", "**/*.csv,**/*.txt": "each separately", "a.csv, b.csv": "each separately",
		"x//y": "'//'", "x/../y": "'../'", "x/.": "'./'", "//": "''",
	} {
		for field, set := range map[string]func(*ingest.Server){
			"include": func(s *ingest.Server) { s.Include = []string{"**", glob} },
			"exclude": func(s *ingest.Server) { s.Exclude = []string{glob} },
		} {
			s := validServer()
			set(&s)
			wrong := onlyError(t, s)
			assert.Contains(t, wrong, field, glob)
			assert.Contains(t, wrong, advice, glob)
		}
	}
	for _, glob := range []string{
		"**", "x/y/**", "**/*.{csv,txt}", "report,*.csv", "*,v", "*[,]*.csv", `\[x\].csv`, `{a,b\}}/*.csv`, "..x/.y", "*.CSV", "a b/*", `x\{*`,
	} {
		s := validServer()
		s.Include, s.InProgressNames = []string{glob}, []string{"working/", "*.tmp"}
		assert.Empty(t, onlyError(t, s), glob)
	}
}

func TestHostValidation(t *testing.T) {
	t.Parallel()
	for host, advice := range map[string]string{
		"": "use a DNS name", "h:22": "use h as the host", "127.0.0.1:2222": "use 127.0.0.1 as the host", "sftp://h/in": "a path: h", "sftp://h": "a path: h",
		"ann@h": "use ann as the user name and h as the host", "h h": "without spaces", " h": "without spaces", "[]": "brackets", "[::1]": "brackets",
		"[::1]:22": "brackets", "h/in": "'/'", "::1::2": "':'", "h:": "use h as the host", "münchen.example": "ASCII form",
	} {
		s := validServer()
		s.Host = host
		assert.Contains(t, onlyError(t, s), advice, host)
	}
	for _, host := range []string{"h", "sftp.example.com.", "::1", "fe80::1%eth0", "10.0.0.1", "xn--e1afmkfd.example"} {
		s := validServer()
		s.Host = host
		assert.Empty(t, onlyError(t, s), host)
	}
}

func TestMoveIntoListedFolderIsRejected(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"/in", "/in/", "/in/.", "/in/x/.."} {
		s := validServer()
		s.RootPath, s.AfterIngest = "/in", ingest.AfterIngest("move:"+dir)
		assert.Contains(t, onlyError(t, s), "after-ingest", dir)
	}
	s := validServer()
	s.RootPath, s.AfterIngest = "/in", "move:/in"
	assert.Contains(t, onlyError(t, s), "is the listed folder")
	s.AfterIngest = "move:/in/done"
	assert.Empty(t, onlyError(t, s), "a target folder below the root is not listed")
}

// Two servers with the same source would publish each file twice.
func TestServersThatOverlap(t *testing.T) {
	t.Parallel()
	place := func(change func(*ingest.Server)) ingest.Server {
		s := validServer()
		s.Name, s.Port, s.RootPath = "other", 2022, "/in"
		change(&s)
		return s
	}
	acme := place(func(s *ingest.Server) { s.Name = "acme" })
	moving := place(func(s *ingest.Server) { s.AfterIngest = "move:/b/new" })
	local := place(func(s *ingest.Server) { s.Host = "10.0.0.5" })
	home := place(func(s *ingest.Server) { s.RootPath = "~/in" })
	for name, tc := range map[string]struct {
		x      ingest.Server
		change func(*ingest.Server)
		why    string
	}{
		"the same":          {acme, func(*ingest.Server) {}, "ingests the same files"},
		"another spelling":  {acme, func(s *ingest.Server) { s.Host = "SFTP.Example.com." }, "ingests the same files"},
		"another case":      {acme, func(s *ingest.Server) { s.RootPath, s.Username = "/IN/sub", "U" }, "ingests the same files"},
		"below":             {acme, func(s *ingest.Server) { s.RootPath = "/in/sub" }, "/in/sub"},
		"all":               {acme, func(s *ingest.Server) { s.RootPath = "/" }, "ingests the same files"},
		"by another way":    {acme, func(s *ingest.Server) { s.Jump = "gate" }, "ingests the same files"},
		"home":              {acme, func(s *ingest.Server) { s.RootPath = "~" }, "ingests the same files"},
		"other patterns":    {acme, func(s *ingest.Server) { s.Include = []string{"*.csv"} }, "ingests the same files"},
		"paused":            {acme, func(s *ingest.Server) { s.Active = false }, "which is paused"},
		"target":            {moving, func(s *ingest.Server) { s.RootPath = "/b" }, "where this server moves its files"},
		"source":            {acme, func(s *ingest.Server) { s.RootPath, s.AfterIngest = "/x", "move:/in/again" }, "where this server ingests them"},
		"IPv4 in IPv6":      {local, func(s *ingest.Server) { s.Host = "::ffff:10.0.0.5" }, "ingests the same files"},
		"homes":             {home, func(s *ingest.Server) { s.RootPath = "~" }, "ingests the same files"},
		"another port":      {acme, func(s *ingest.Server) { s.Port = 22 }, ""},
		"another user":      {acme, func(s *ingest.Server) { s.Username = "v" }, ""},
		"another host":      {acme, func(s *ingest.Server) { s.Host = "example.com" }, ""},
		"beside":            {acme, func(s *ingest.Server) { s.RootPath = "/in2" }, ""},
		"beside at home":    {home, func(s *ingest.Server) { s.RootPath = "~/out" }, ""},
		"another network":   {local, func(s *ingest.Server) { s.Host, s.Jump = "10.0.0.5", "gate" }, ""},
		"behind its target": {moving, func(s *ingest.Server) { s.RootPath = "/b/new/x" }, ""},
	} {
		other := place(tc.change)
		assert.Contains(t, tc.x.Overlap(other), tc.why, name)
		assert.Equal(t, tc.why == "", tc.x.Overlap(other) == "", name)
		assert.Equal(t, tc.why == "", other.Overlap(tc.x) == "", "%s, reversed", name)
	}
}

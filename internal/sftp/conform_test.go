package sftp_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"stevedore/internal/ingest"
	"stevedore/internal/sftp"
	"stevedore/internal/test/services"
)

// conformServer is an SFTP server of the suite, and how to add entries below its root.
type conformServer struct {
	settings ingest.Server
	secrets  secrets
	file     func(t *testing.T, name, content string)
	// folder and link are nil for a server of one folder, which is read-only.
	folder func(t *testing.T, name string)
	link   func(t *testing.T, name, target string)
}

// TestServersConform runs one suite on OpenSSH and on the servers in memory, so that a test on
// one of these finds what it would find on OpenSSH.
func TestServersConform(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T) conformServer{
		"OpenSSH": conformSSHD, "FaultySFTP": conformFaultySFTP, "FaultyTree": conformFaultyTree,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conform(t, start(t))
		})
	}
}

func conformSSHD(t *testing.T) conformServer {
	sshd := services.StartSSHD(t, services.SSHDOptions{})
	return conformServer{
		settings: sshd.Server("acme", uuid.NewString()), secrets: secrets{PrivateKey: sshd.PrivateKeyPEM},
		file:   func(t *testing.T, name, content string) { sshd.Write(t, name, []byte(content)) },
		folder: func(t *testing.T, name string) { require.NoError(t, os.MkdirAll(sshd.Path(name), 0o755)) },
		link:   func(t *testing.T, name, target string) { require.NoError(t, os.Symlink(target, sshd.Path(name))) },
	}
}

func conformFaultySFTP(t *testing.T) conformServer {
	s := services.StartFaultySFTP(t)
	return conformServer{
		settings: s.Server("acme", uuid.NewString()), secrets: secrets{Password: []byte(s.Password)},
		file: func(_ *testing.T, name, content string) { s.Write(name, []byte(content)) },
	}
}

func conformFaultyTree(t *testing.T) conformServer {
	s := services.StartFaultyTree(t)
	return conformServer{
		settings: s.Server("acme", uuid.NewString()), secrets: secrets{Password: []byte(s.Password)},
		file:   func(_ *testing.T, name, content string) { s.File(name, content) },
		folder: func(_ *testing.T, name string) { s.Folder(name) },
		link:   func(_ *testing.T, name, target string) { s.Link(name, target) },
	}
}

// conform checks the behavior that every server must share, on a server with an empty root.
func conform(t *testing.T, s conformServer) {
	root := s.settings.RootPath
	s.file(t, "a.csv", "1234")
	s.file(t, "empty.csv", "")
	s.file(t, "отчёт caf\xe9\n.csv", "123")
	content := bytes.Repeat([]byte("0123456789abcdef"), 20_000) // several reads
	s.file(t, "large.bin", string(content))
	t.Run("login", func(t *testing.T) { conformLogin(t, s) })
	session := open(t, newPool(t, sftp.Config{}, s.secrets), s.settings)
	t.Run("list", func(t *testing.T) {
		seen, unread := list(t, session, root)
		assert.Zero(t, unread)
		require.Equal(t, []string{"a.csv", "empty.csv", "large.bin", "отчёт caf\xe9\n.csv"}, sortedPaths(seen))
		for name, size := range map[string]int{"a.csv": 4, "empty.csv": 0, "large.bin": len(content), "отчёт caf\xe9\n.csv": 3} {
			stat, err := session.Stat(deadline(t), root+"/"+name)
			require.NoError(t, err)
			assert.Equal(t, seen[name], stat)
			assert.EqualValues(t, size, stat.Size)
			assert.Empty(t, stat.Rejected)
			assert.False(t, stat.ModTime.IsZero())
		}
	})
	t.Run("open", func(t *testing.T) { conformReads(t, session, root, content) })
	t.Run("missing", func(t *testing.T) { conformMissing(t, session, root) })
	t.Run("paths", func(t *testing.T) {
		real, err := session.Real(deadline(t), root+"/a.csv")
		require.NoError(t, err)
		assert.Equal(t, root+"/a.csv", real)
		ignores, err := session.IgnoresCase(deadline(t), root+"/a.csv")
		require.NoError(t, err)
		assert.False(t, ignores)
	})
	if s.folder != nil {
		t.Run("tree", func(t *testing.T) { conformTree(t, s, session) })
		t.Run("change", func(t *testing.T) { conformChanges(t, s, session) })
		t.Run("many", func(t *testing.T) { conformMany(t, s, session) })
	}
}

func conformLogin(t *testing.T, s conformServer) {
	_, err := tryOpen(t, newPool(t, sftp.Config{}, secrets{Password: []byte("wrong")}), s.settings)
	requireKind(t, err, ingest.KindAuth)
	other := s.settings
	other.HostKeys = []string{services.StartFaultySFTP(t).HostKeyLine}
	_, err = tryOpen(t, newPool(t, sftp.Config{}, s.secrets), other)
	requireKind(t, err, ingest.KindHostKey)
	other = s.settings
	other.RootPath += "/gone"
	_, err = open(t, newPool(t, sftp.Config{}, s.secrets), other).List(deadline(t), ingest.ListRequest{}, func(ingest.Observation) error { return nil })
	requireKind(t, err, ingest.KindNotFound)
}

// conformReads reads large.bin, which has the content, and smaller files.
func conformReads(t *testing.T, session *sftp.Session, root string, content []byte) {
	ctx, size := deadline(t), int64(len(content))
	f, err := session.OpenFile(ctx, root+"/large.bin")
	require.NoError(t, err)
	all, err := io.ReadAll(io.NewSectionReader(f, 0, size+1))
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, all))
	seen, ok := f.Opened()
	require.True(t, ok)
	require.Equal(t, size, seen.Size)
	buf := make([]byte, 10)
	for _, read := range []struct {
		off  int64
		want []byte
		err  error
	}{
		{5, content[5:15], nil}, {size - 10, content[size-10:], nil}, {size - 4, content[size-4:], io.EOF}, {size, nil, io.EOF}, {size + 100, nil, io.EOF},
	} {
		n, err := f.ReadAt(buf, read.off)
		require.ErrorIs(t, err, read.err, "at %d", read.off)
		require.Equal(t, string(read.want), string(buf[:n]), "at %d", read.off)
	}
	require.NoError(t, f.Close())
	f, err = session.OpenFile(ctx, root+"/empty.csv")
	require.NoError(t, err)
	_, err = f.ReadAt(buf, 0)
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, f.Close())
	_, err = session.OpenFile(ctx, root)
	requireKind(t, err, ingest.KindChanged)
	stat, err := session.Stat(ctx, root)
	require.NoError(t, err)
	require.Equal(t, "is a folder", stat.Rejected)
}

func conformMissing(t *testing.T, session *sftp.Session, root string) {
	for _, name := range []string{"gone.csv", "none/gone.csv", "a.csv/gone.csv", "A.CSV"} {
		at := root + "/" + name
		_, err := session.Stat(deadline(t), at)
		requireKind(t, err, ingest.KindNotFound)
		_, err = session.OpenFile(deadline(t), at)
		requireKind(t, err, ingest.KindNotFound)
		requireKind(t, session.Remove(deadline(t), at), ingest.KindNotFound)
		requireKind(t, session.Rename(deadline(t), at, root+"/b.csv"), ingest.KindNotFound)
	}
}

// conformTree checks folders and links.
func conformTree(t *testing.T, s conformServer, session *sftp.Session) {
	root := s.settings.RootPath
	s.file(t, "sub/deep/b.csv", "12")
	s.folder(t, "sub/void")
	s.folder(t, "sub/folder.csv")
	s.link(t, "link.csv", root+"/a.csv")
	s.link(t, "way", root+"/sub")
	s.link(t, "dangling.csv", root+"/gone.csv")
	s.link(t, "loop.csv", root+"/loop.csv")
	seen, unread := list(t, session, root)
	assert.Zero(t, unread)
	assert.EqualValues(t, 2, seen["sub/deep/b.csv"].Size)
	for _, name := range []string{"link.csv", "dangling.csv", "loop.csv"} {
		assert.Contains(t, seen[name].Rejected, "symbolic link", name)
		stat, err := session.Stat(deadline(t), root+"/"+name)
		require.NoError(t, err)
		assert.Equal(t, seen[name].Rejected, stat.Rejected, name)
		_, err = session.OpenFile(deadline(t), root+"/"+name)
		requireKind(t, err, ingest.KindChanged)
	}
	real, err := session.Real(deadline(t), root+"/way/deep/b.csv")
	require.NoError(t, err)
	assert.Equal(t, root+"/sub/deep/b.csv", real)

	following := s.settings
	following.FollowLinks = true
	session = open(t, newPool(t, sftp.Config{}, s.secrets), following)
	seen, _ = list(t, session, root)
	assert.Equal(t, int64(4), seen["link.csv"].Size)
	assert.Empty(t, seen["link.csv"].Rejected)
	assert.NotEmpty(t, seen["dangling.csv"].Rejected)
	assert.NotEmpty(t, seen["loop.csv"].Rejected)
}

// conformChanges checks removing and renaming.
func conformChanges(t *testing.T, s conformServer, session *sftp.Session) {
	ctx, at := deadline(t), func(name string) string { return s.settings.RootPath + "/" + name }
	s.file(t, "new/c.csv", "123")
	s.file(t, "new/d.csv", "1")
	s.folder(t, "done")
	requireKind(t, session.Remove(ctx, at("done")), ingest.KindChanged)
	requireKind(t, session.Rename(ctx, at("done"), at("new/done")), ingest.KindChanged)
	requireKind(t, session.Rename(ctx, at("new/c.csv"), at("none/c.csv")), ingest.KindMissing)
	requireKind(t, session.Rename(ctx, at("new/c.csv"), at("new/d.csv")), ingest.KindTransient, "failed to move")
	kept, err := session.Stat(ctx, at("new/d.csv"))
	require.NoError(t, err)
	require.EqualValues(t, 1, kept.Size, "a rename replaces no file")
	before, err := session.Stat(ctx, at("new/c.csv"))
	require.NoError(t, err)
	require.NoError(t, session.Rename(ctx, at("new/c.csv"), at("done/c.csv")))
	_, err = session.Stat(ctx, at("new/c.csv"))
	requireKind(t, err, ingest.KindNotFound)
	after, err := session.Stat(ctx, at("done/c.csv"))
	require.NoError(t, err)
	after.Path = before.Path
	require.Equal(t, before, after)

	f, err := session.OpenFile(ctx, at("done/c.csv"))
	require.NoError(t, err)
	require.NoError(t, session.Remove(ctx, at("done/c.csv")))
	requireKind(t, session.Remove(ctx, at("done/c.csv")), ingest.KindNotFound)
	buf := make([]byte, 3)
	_, err = f.ReadAt(buf, 0)
	require.NoError(t, err, "an open file outlives its name")
	require.Equal(t, "123", string(buf))
	require.NoError(t, f.Close())
}

// conformMany checks that a folder is complete that takes several replies.
func conformMany(t *testing.T, s conformServer, session *sftp.Session) {
	for i := range 350 {
		s.file(t, fmt.Sprintf("many/%03d", i), "x")
	}
	seen, unread := list(t, session, s.settings.RootPath)
	assert.Zero(t, unread)
	for i := range 350 {
		require.Contains(t, seen, fmt.Sprintf("many/%03d", i))
	}
}

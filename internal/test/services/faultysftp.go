package services

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// FaultySFTP is an SFTP server in this process that serves one folder of files in memory
// and injects faults that OpenSSH cannot produce.
type FaultySFTP struct {
	Host        string
	Port        int
	Password    string
	HostKeyLine string

	mu     sync.Mutex
	faults SFTPFaults
	files  map[string][]byte
	// generated holds the files whose content is computed on reading.
	generated map[string]*GeneratedFile
	times     map[string]time.Time
	reads     int
	// logins counts successful logins.
	logins int
	// raw, if not nil, serves the channel instead of the library.
	raw func(io.ReadWriter)
}

// SFTPFaults are the faults of a FaultySFTP. The zero value is a correct server.
type SFTPFaults struct {
	// Before is called before each listing and stat, for example to block.
	Before func()
	// Read answers reads: n bytes in buf, or an error.
	Read func(content, buf []byte, off int64) (int, error)
	// Open returns the error of opening a path, nil to open it.
	Open func(path string) error
	// Wait is called before a path is opened, for example to block, and reports whether
	// to cut the connection. done is closed when the connection ends.
	Wait func(path string, done <-chan struct{}) (cut bool)
	// Names are additional names in listings, sent unchanged.
	Names []string
	// Endless makes listings endless, with random names.
	Endless bool
	// Size returns the reported size of a file.
	Size func(path string, size int64) int64
	// Huge returns the size of a packet to send as the response to the n-th read, from
	// 1; 0 sends the correct response.
	Huge func(read int) (bytes int)
}

// faultyRoot is the served folder.
const faultyRoot = "/in"

// StartFaultySFTP starts the server. It ends with the test.
func StartFaultySFTP(t testing.TB) *FaultySFTP {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &FaultySFTP{
		Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Password: rand.Text(),
		HostKeyLine: authorizedLine(signer.PublicKey()), files: map[string][]byte{}, generated: map[string]*GeneratedFile{}, times: map[string]time.Time{},
	}
	config := &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
		if string(given) != s.Password {
			return nil, errors.New("wrong password")
		}
		return nil, nil
	}}
	config.AddHostKey(signer)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, config)
		}
	}()
	return s
}

// Server returns the settings to connect to it, with the host key pinned.
func (s *FaultySFTP) Server(name, uuid string) ingest.Server {
	return ingest.Server{
		UUID: uuid, Name: name, Host: s.Host, Port: s.Port, Username: "u", HostKeys: []string{s.HostKeyLine},
		RootPath: faultyRoot, MaxParallel: 4, AfterIngest: ingest.AfterKeep, Active: true, State: ingest.ServerOK,
	}
}

// Path returns the absolute path of a file.
func (s *FaultySFTP) Path(name string) string { return faultyRoot + "/" + name }

// Write adds a file, modified now.
func (s *FaultySFTP) Write(name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[s.Path(name)], s.times[s.Path(name)] = content, time.Now()
}

// SetFaults replaces the faults of the server.
func (s *FaultySFTP) SetFaults(faults SFTPFaults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}

// Reads returns the number of read requests so far.
func (s *FaultySFTP) Reads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// Logins returns the number of logins so far.
func (s *FaultySFTP) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

func (s *FaultySFTP) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer func() { _ = conn.Close() }()
	login, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.logins++
	s.mu.Unlock()
	done := make(chan struct{})
	defer close(done)
	reader := faultyConn{s, login, done}
	go ssh.DiscardRequests(requests)
	for offer := range channels {
		channel, requests, err := offer.Accept()
		if err != nil {
			return
		}
		go func() {
			for request := range requests {
				_ = request.Reply(request.Type == "subsystem", nil)
			}
		}()
		go func() {
			defer func() { _ = channel.Close() }()
			if s.raw != nil {
				s.raw(channel)
				return
			}
			_ = sftp.NewRequestServer(&faultyChannel{Channel: channel, server: s}, sftp.Handlers{FileGet: reader, FilePut: s, FileCmd: s, FileList: s}).Serve()
		}()
	}
}

// faultyConn opens files for one connection.
type faultyConn struct {
	*FaultySFTP
	conn ssh.Conn
	done <-chan struct{}
}

// Fileread opens a file after the fault Wait.
func (r faultyConn) Fileread(request *sftp.Request) (io.ReaderAt, error) {
	r.mu.Lock()
	wait := r.faults.Wait
	r.mu.Unlock()
	if wait != nil && wait(request.Filepath, r.done) {
		_ = r.conn.Close()
		return nil, io.ErrUnexpectedEOF
	}
	return r.FaultySFTP.Fileread(request)
}

// Fileread opens a file.
func (s *FaultySFTP) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok := s.files[r.Filepath]
	generated := s.generated[r.Filepath]
	if !ok && generated == nil {
		return nil, os.ErrNotExist
	}
	if s.faults.Open != nil {
		if err := s.faults.Open(r.Filepath); err != nil {
			return nil, err
		}
	}
	if generated != nil {
		return generated.open(), nil
	}
	return faultyFile{s, content}, nil
}

// Filewrite always fails: the server is read-only.
func (s *FaultySFTP) Filewrite(*sftp.Request) (io.WriterAt, error) { return nil, os.ErrPermission }

// Filecmd always fails, for the same reason.
func (s *FaultySFTP) Filecmd(*sftp.Request) error { return os.ErrPermission }

// Filelist lists the folder or stats a path.
func (s *FaultySFTP) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	s.mu.Lock()
	before := s.faults.Before
	s.mu.Unlock()
	if before != nil {
		before()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == "List" && r.Filepath == faultyRoot {
		return s.listing(), nil
	}
	if r.Filepath == faultyRoot {
		return faultyListing{infos: []os.FileInfo{faultyInfo{name: path.Base(faultyRoot), mode: fs.ModeDir | 0o755}}}, nil
	}
	if _, ok := s.times[r.Filepath]; !ok {
		return nil, os.ErrNotExist
	}
	return faultyListing{infos: []os.FileInfo{s.info(r.Filepath)}}, nil
}

func (s *FaultySFTP) listing() faultyListing {
	var l faultyListing
	for path := range s.times {
		l.infos = append(l.infos, s.info(path))
	}
	for _, name := range s.faults.Names {
		l.infos = append(l.infos, faultyInfo{name: name, size: 1, mode: 0o644, at: time.Unix(1, 0)})
	}
	slices.SortFunc(l.infos, func(a, b os.FileInfo) int { return int(a.ModTime().Sub(b.ModTime())) })
	l.endless = s.faults.Endless
	return l
}

func (s *FaultySFTP) info(file string) faultyInfo {
	size := int64(len(s.files[file]))
	if generated := s.generated[file]; generated != nil {
		size = generated.content.Size()
	}
	if s.faults.Size != nil {
		size = s.faults.Size(file, size)
	}
	return faultyInfo{name: file[len(faultyRoot)+1:], size: size, mode: 0o644, at: s.times[file]}
}

// faultyFile is an open file.
type faultyFile struct {
	server  *FaultySFTP
	content []byte
}

// ReadAt answers a read request.
func (f faultyFile) ReadAt(buf []byte, off int64) (int, error) {
	f.server.mu.Lock()
	f.server.reads++
	read := f.server.faults.Read
	f.server.mu.Unlock()
	if read != nil {
		return read(f.content, buf, off)
	}
	return CorrectRead(f.content, buf, off)
}

// CorrectRead answers a read like a correct server.
func CorrectRead(content, buf []byte, off int64) (int, error) {
	if off >= int64(len(content)) {
		return 0, io.EOF
	}
	n := copy(buf, content[off:])
	if n < len(buf) {
		return n, io.EOF
	}
	return n, nil
}

// faultyListing is the content of a listing.
type faultyListing struct {
	infos   []os.FileInfo
	endless bool
}

// ListAt implements sftp.ListerAt.
func (l faultyListing) ListAt(to []os.FileInfo, off int64) (n int, err error) {
	for n < len(to) {
		at := off + int64(n)
		switch {
		case at < int64(len(l.infos)):
			to[n] = l.infos[at]
		case l.endless:
			to[n] = faultyInfo{name: rand.Text(), size: 1, mode: 0o644, at: time.Unix(1, 0)}
		default:
			return n, io.EOF
		}
		n++
	}
	return n, nil
}

// faultyInfo is an entry of a listing.
type faultyInfo struct {
	name string
	size int64
	mode fs.FileMode
	at   time.Time
}

// Name implements fs.FileInfo.
func (i faultyInfo) Name() string { return i.name }

// Size implements fs.FileInfo.
func (i faultyInfo) Size() int64 { return i.size }

// Mode implements fs.FileInfo.
func (i faultyInfo) Mode() fs.FileMode { return i.mode }

// ModTime implements fs.FileInfo.
func (i faultyInfo) ModTime() time.Time { return i.at }

// IsDir implements fs.FileInfo.
func (i faultyInfo) IsDir() bool { return i.mode.IsDir() }

// Sys implements fs.FileInfo.
func (i faultyInfo) Sys() any { return nil }

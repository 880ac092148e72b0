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

// OddSFTP is an SFTP server in this process for what OpenSSH will not do. It
// serves one folder of files in memory, honestly as long as its hooks are nil.
type OddSFTP struct {
	Host        string
	Port        int
	Password    string
	HostKeyLine string

	mu    sync.Mutex
	hooks OddHooks
	files map[string][]byte
	made  map[string]*Made
	times map[string]time.Time
	reads int
	// logins counts connections whose user was let in.
	logins int
	// raw, may be nil, speaks SFTP in the place of the library.
	raw func(io.ReadWriter)
}

// OddHooks are the ways in which it is odd; nil ones are honest.
type OddHooks struct {
	// Before is called before each listing and stat, e.g. to wait.
	Before func()
	// Read may answer a read itself: n bytes of buf, or an error.
	Read func(content, buf []byte, off int64) (int, error)
	// Open may refuse to open a path.
	Open func(path string) error
	// Wait is called before a path is opened, e.g. to give no answer, and may say that
	// the connection is cut instead. done is closed when the connection ends.
	Wait func(path string, done <-chan struct{}) (cut bool)
	// Names are listed besides the files, as they are.
	Names []string
	// Endless makes the listing go on for ever with made-up names.
	Endless bool
	// Size may lie about a file's size.
	Size func(path string, size int64) int64
	// Huge may put a packet of so many bytes in the place of the answer to the
	// n-th read, from 1; 0 is none.
	Huge func(read int) (bytes int)
}

// oddRoot is the folder that it serves.
const oddRoot = "/in"

// StartOddSFTP starts the server; it ends with the test.
func StartOddSFTP(t testing.TB) *OddSFTP {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := &OddSFTP{
		Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Password: rand.Text(),
		HostKeyLine: authorizedLine(signer.PublicKey()), files: map[string][]byte{}, made: map[string]*Made{}, times: map[string]time.Time{},
	}
	config := &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
		if string(given) != o.Password {
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
			go o.serve(conn, config)
		}
	}()
	return o
}

// Server returns the settings to reach it, with the host key pinned.
func (o *OddSFTP) Server(name, uuid string) ingest.Server {
	return ingest.Server{
		UUID: uuid, Name: name, Host: o.Host, Port: o.Port, Username: "u", HostKeys: []string{o.HostKeyLine},
		RootPath: oddRoot, MaxParallel: 4, AfterIngest: ingest.AfterKeep, Active: true, State: ingest.ServerOK,
	}
}

// Path is the absolute path of a file.
func (o *OddSFTP) Path(name string) string { return oddRoot + "/" + name }

// Write puts a file there, modified now.
func (o *OddSFTP) Write(name string, content []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.files[o.Path(name)], o.times[o.Path(name)] = content, time.Now()
}

// Be changes how the server is odd.
func (o *OddSFTP) Be(hooks OddHooks) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hooks = hooks
}

// Reads counts the read requests so far.
func (o *OddSFTP) Reads() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reads
}

// Logins counts the log-ins so far.
func (o *OddSFTP) Logins() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.logins
}

func (o *OddSFTP) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer func() { _ = conn.Close() }()
	login, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	o.mu.Lock()
	o.logins++
	o.mu.Unlock()
	done := make(chan struct{})
	defer close(done)
	reader := oddReader{o, login, done}
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
			if o.raw != nil {
				o.raw(channel)
				return
			}
			_ = sftp.NewRequestServer(&oddChannel{Channel: channel, server: o}, sftp.Handlers{FileGet: reader, FilePut: o, FileCmd: o, FileList: o}).Serve()
		}()
	}
}

// oddReader opens files for one connection.
type oddReader struct {
	*OddSFTP
	conn ssh.Conn
	done <-chan struct{}
}

// Fileread opens a file, unless the server is odd first.
func (r oddReader) Fileread(request *sftp.Request) (io.ReaderAt, error) {
	r.mu.Lock()
	wait := r.hooks.Wait
	r.mu.Unlock()
	if wait != nil && wait(request.Filepath, r.done) {
		_ = r.conn.Close()
		return nil, io.ErrUnexpectedEOF
	}
	return r.OddSFTP.Fileread(request)
}

// Fileread opens a file.
func (o *OddSFTP) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	content, ok := o.files[r.Filepath]
	made := o.made[r.Filepath]
	if !ok && made == nil {
		return nil, os.ErrNotExist
	}
	if o.hooks.Open != nil {
		if err := o.hooks.Open(r.Filepath); err != nil {
			return nil, err
		}
	}
	if made != nil {
		return made.open(), nil
	}
	return oddFile{o, content}, nil
}

// Filewrite refuses: partners' servers are only read here.
func (o *OddSFTP) Filewrite(*sftp.Request) (io.WriterAt, error) { return nil, os.ErrPermission }

// Filecmd refuses likewise.
func (o *OddSFTP) Filecmd(*sftp.Request) error { return os.ErrPermission }

// Filelist lists the folder, or stats one path.
func (o *OddSFTP) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	o.mu.Lock()
	before := o.hooks.Before
	o.mu.Unlock()
	if before != nil {
		before()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Method == "List" {
		return o.listing(), nil
	}
	if r.Filepath == oddRoot {
		return oddListing{infos: []os.FileInfo{oddInfo{name: path.Base(oddRoot), mode: fs.ModeDir | 0o755}}}, nil
	}
	if _, ok := o.times[r.Filepath]; !ok {
		return nil, os.ErrNotExist
	}
	return oddListing{infos: []os.FileInfo{o.info(r.Filepath)}}, nil
}

func (o *OddSFTP) listing() oddListing {
	var l oddListing
	for path := range o.times {
		l.infos = append(l.infos, o.info(path))
	}
	for _, name := range o.hooks.Names {
		l.infos = append(l.infos, oddInfo{name: name, size: 1, mode: 0o644, at: time.Unix(1, 0)})
	}
	slices.SortFunc(l.infos, func(a, b os.FileInfo) int { return int(a.ModTime().Sub(b.ModTime())) })
	l.endless = o.hooks.Endless
	return l
}

func (o *OddSFTP) info(file string) oddInfo {
	size := int64(len(o.files[file]))
	if made := o.made[file]; made != nil {
		size = made.content.Size()
	}
	if o.hooks.Size != nil {
		size = o.hooks.Size(file, size)
	}
	return oddInfo{name: file[len(oddRoot)+1:], size: size, mode: 0o644, at: o.times[file]}
}

// oddFile is an open file.
type oddFile struct {
	server  *OddSFTP
	content []byte
}

// ReadAt answers one read request.
func (f oddFile) ReadAt(buf []byte, off int64) (int, error) {
	f.server.mu.Lock()
	f.server.reads++
	read := f.server.hooks.Read
	f.server.mu.Unlock()
	if read != nil {
		return read(f.content, buf, off)
	}
	return HonestRead(f.content, buf, off)
}

// HonestRead reads as a good server does.
func HonestRead(content, buf []byte, off int64) (int, error) {
	if off >= int64(len(content)) {
		return 0, io.EOF
	}
	n := copy(buf, content[off:])
	if n < len(buf) {
		return n, io.EOF
	}
	return n, nil
}

// oddListing is what a listing shows.
type oddListing struct {
	infos   []os.FileInfo
	endless bool
}

// ListAt gives the next entries.
func (l oddListing) ListAt(to []os.FileInfo, off int64) (n int, err error) {
	for n < len(to) {
		at := off + int64(n)
		switch {
		case at < int64(len(l.infos)):
			to[n] = l.infos[at]
		case l.endless:
			to[n] = oddInfo{name: rand.Text(), size: 1, mode: 0o644, at: time.Unix(1, 0)}
		default:
			return n, io.EOF
		}
		n++
	}
	return n, nil
}

// oddInfo is one entry.
type oddInfo struct {
	name string
	size int64
	mode fs.FileMode
	at   time.Time
}

// Name is as the server sends it.
func (i oddInfo) Name() string { return i.name }

// Size is in bytes.
func (i oddInfo) Size() int64 { return i.size }

// Mode is the kind of file.
func (i oddInfo) Mode() fs.FileMode { return i.mode }

// ModTime is the modification time.
func (i oddInfo) ModTime() time.Time { return i.at }

// IsDir tells a folder.
func (i oddInfo) IsDir() bool { return i.mode.IsDir() }

// Sys has nothing more.
func (i oddInfo) Sys() any { return nil }

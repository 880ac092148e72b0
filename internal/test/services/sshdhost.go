package services

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// sshdPartner is the virtual user for password logins.
const sshdPartner = "partner"

// nssWrapper lists the paths of libnss_wrapper, a library that replaces the users of
// the machine for one process.
var nssWrapper = []string{"/usr/lib/*/libnss_wrapper.so", "/usr/lib64/libnss_wrapper.so", "/usr/lib/libnss_wrapper.so"}

// wrapUsers creates a virtual user with the password and returns the environment in
// which sshd accepts it. The machine's users are not changed.
func wrapUsers(t testing.TB, dir, password string) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("password logins with sshd need root")
	}
	var library string
	for _, pattern := range nssWrapper {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			library = found[0]
		}
	}
	if library == "" {
		t.Fatal("libnss_wrapper.so is missing: install libnss-wrapper")
	}
	crypt := exec.Command("openssl", "passwd", "-6", "-stdin")
	crypt.Stdin = strings.NewReader(password + "\n")
	hash, err := crypt.Output()
	require.NoError(t, err, "hash the password with openssl")

	env := []string{"LD_PRELOAD=" + library}
	for name, line := range map[string]string{
		"passwd": fmt.Sprintf("%s:x:0:0::%s:/bin/sh\n", sshdPartner, dir),
		"shadow": fmt.Sprintf("%s:%s:19000:0:99999:7:::\n", sshdPartner, strings.TrimSpace(string(hash))),
		"group":  "",
	} {
		own, err := os.ReadFile("/etc/" + name)
		require.NoError(t, err)
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, append(own, line...), 0o600))
		env = append(env, "NSS_WRAPPER_"+strings.ToUpper(name)+"="+path)
	}
	return env
}

// newSSHKey returns an ed25519 key as a PEM and its public half.
func newSSHKey(t testing.TB) (private []byte, public ssh.PublicKey) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	block, err := ssh.MarshalPrivateKey(priv, "")
	require.NoError(t, err)
	public, err = ssh.NewPublicKey(pub)
	require.NoError(t, err)
	return pem.EncodeToMemory(block), public
}

// descendants returns the children of a process, their children and so on. sshd starts
// a session for every connection, so a process group does not contain them.
func descendants(pid int) []int {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var found []int
	for _, task := range tasks {
		text, _ := os.ReadFile(task) // a process that has ended has none
		for _, field := range strings.Fields(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				found = append(append(found, child), descendants(child)...)
			}
		}
	}
	return found
}

// running reports whether the process runs. A zombie does not.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, found := strings.Cut(string(stat), ") ")
	return err == nil && found && !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func signalAll(pids []int, how os.Signal) {
	for _, pid := range pids {
		if process, err := os.FindProcess(pid); err == nil {
			_ = process.Signal(how) // it may have ended
		}
	}
}

// PEM returns a private key as an OpenSSH file without passphrase.
func PEM(t testing.TB, key crypto.PrivateKey) []byte {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(key, "")
	require.NoError(t, err)
	return pem.EncodeToMemory(block)
}

package sftp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"stevedore/internal/ingest"
)

// The methods of authentication, as SSH names them.
const (
	methodKey         = "publickey"
	methodPassword    = "password"
	methodInteractive = "keyboard-interactive"
)

// login offers one server's credentials, each of them once: servers lock
// accounts by counting refusals.
type login struct {
	signer   ssh.Signer
	password string
}

func newLogin(server ingest.Server, creds ingest.Credentials) (login, error) {
	l := login{password: string(creds.Password)}
	if len(creds.PrivateKey) == 0 {
		return l, nil
	}
	signer, err := ssh.ParsePrivateKey(creds.PrivateKey)
	if err != nil {
		// The parser's own words are left out: they may quote the key.
		return login{}, ingest.Errorf(ingest.KindAuth, "server %s: the private key cannot be read%s; replace it", server.Name, lockedKey(err))
	}
	l.signer, err = withoutSHA1(signer)
	if err != nil {
		return login{}, ingest.Errorf(ingest.KindAuth, "server %s: the private key is of type %s, which cannot be used: make an ed25519 key",
			server.Name, signer.PublicKey().Type())
	}
	return l, nil
}

func lockedKey(err error) string {
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return " because it is locked with a passphrase"
	}
	return ""
}

// withoutSHA1 keeps an RSA key from signing with SHA-1 when the server does not
// say what else it takes.
func withoutSHA1(signer ssh.Signer) (ssh.Signer, error) {
	if signer.PublicKey().Type() != ssh.KeyAlgoRSA {
		return signer, nil
	}
	able, ok := signer.(ssh.AlgorithmSigner)
	if !ok {
		return nil, errors.New("signer cannot choose its algorithm")
	}
	return ssh.NewSignerWithAlgorithms(able, []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
}

// next fits ssh.ClientConfig.AuthCallback: it is asked after every refusal,
// the first time after a log-in without any credentials.
func (l login) next(state *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	open := func(method string) bool {
		return slices.Contains(state.AllowedMethods, method) &&
			!slices.Contains(state.TriedMethods, method) && !slices.Contains(state.PartialSuccessMethods, method)
	}
	passwordSent := slices.Contains(state.TriedMethods, methodPassword) || slices.Contains(state.PartialSuccessMethods, methodPassword)
	switch {
	case l.signer != nil && open(methodKey):
		return ssh.PublicKeys(l.signer), nil
	case l.password != "" && open(methodPassword):
		return ssh.Password(l.password), nil
	case l.password != "" && open(methodInteractive) && !passwordSent:
		return ssh.KeyboardInteractive(l.answer()), nil
	}
	return nil, &refusedError{
		tried:   slices.DeleteFunc(slices.Clone(state.TriedMethods), func(m string) bool { return m == "none" }),
		passed:  slices.Clone(state.PartialSuccessMethods),
		allowed: slices.Clone(state.AllowedMethods),
	}
}

// answer gives the password to the first hidden question; some servers ask for
// it in this way only. Any other question is for a person.
func (l login) answer() ssh.KeyboardInteractiveChallenge {
	answered := false
	return func(_, _ string, questions []string, echos []bool) ([]string, error) {
		if len(questions) == 0 {
			return nil, nil // a greeting
		}
		if answered || len(questions) != 1 || echos[0] {
			return nil, errors.New("the server asks for more than a password")
		}
		answered = true
		return []string{l.password}, nil
	}
}

// refusedError says that the server takes none of what we have.
type refusedError struct {
	tried, passed, allowed []string
}

func (e *refusedError) Error() string {
	var said []string
	if len(e.tried) > 0 {
		said = append(said, "refused "+strings.Join(e.tried, ", "))
	}
	if len(e.passed) > 0 {
		said = append(said, "accepted "+strings.Join(e.passed, ", ")+" but wants more")
	}
	return fmt.Sprintf("%s(it takes %s)", strings.Join(append(said, ""), " "), strings.Join(e.allowed, ", "))
}

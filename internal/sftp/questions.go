package sftp

import (
	"errors"
	"regexp"
	"strings"
)

// maxQuestions bounds the rounds of questions of one log-in.
const maxQuestions = 10

var (
	// factorWords are in questions for something that we do not have. They are
	// looked for first: "one-time password" is not for the password.
	factorWords = regexp.MustCompile(`(?i)\bcode|passcode|token|\botp\b|one[- ]?time|verif|\bpin\b|\bduo\b|factor|authenticator|challenge|captcha|\bкод|\bmfa\b|\b2fa\b|new password|change your password`)
	// passwordWords and userWords are in questions for what we have.
	passwordWords = regexp.MustCompile(`(?i)pass|kennwort|contrase|wachtwoord|hasło|heslo|senha|парол|pwd|密码`)
	userWords     = regexp.MustCompile(`(?i)user|login|log-in|account|benutzer|utilisateur|usuario|логин|пользователь|\bname\b`)
)

// questions answers the rounds of keyboard-interactive.
type questions struct {
	attempt *loginAttempt
	rounds  int
}

var (
	errFactor  = errors.New("the server asks for more than a password")
	errRefused = errors.New("the server asks for the password again")
)

// answer fits ssh.KeyboardInteractiveChallenge. All questions of a round are
// looked at before anything is answered, so that a password is not sent to a
// server that then wants more.
func (q *questions) answer(_, _ string, prompts []string, echos []bool) ([]string, error) {
	if q.rounds++; q.rounds > maxQuestions {
		return nil, q.more("endless questions")
	}
	answers := make([]string, len(prompts))
	passwords := 0
	for i, prompt := range prompts {
		switch {
		case factorWords.MatchString(prompt):
			return nil, q.more(prompt)
		case passwordWords.MatchString(prompt), !echos[i] && !userWords.MatchString(prompt):
			answers[i] = q.attempt.password
			passwords++
		case userWords.MatchString(prompt):
			answers[i] = q.attempt.server.Username
		default:
			return nil, q.more(prompt)
		}
		if passwords > 1 {
			return nil, q.more(prompt)
		}
	}
	switch {
	case passwords == 0:
		q.attempt.asked += len(prompts)
		return answers, nil
	case q.attempt.sent && passwordWords.MatchString(strings.Join(prompts, " ")):
		q.attempt.refused = true // it asks again within the same exchange
		return nil, errRefused
	case q.attempt.sent:
		return nil, q.more(prompts[0])
	}
	if err := q.attempt.reserve(); err != nil {
		return nil, err
	}
	q.attempt.asked += len(prompts)
	return answers, nil
}

// more ends the log-in because of a question for a person.
func (q *questions) more(prompt string) error {
	q.attempt.factor = strings.TrimSpace(prompt[:min(len(prompt), maxBanner)])
	return errFactor
}

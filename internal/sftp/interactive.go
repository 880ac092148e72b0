package sftp

import (
	"errors"
	"regexp"
	"strings"
)

// maxQuestions bounds the rounds of questions of one log-in.
const maxPromptRounds = 10

var (
	// factorWords are in questions for something that we do not have. They are
	// looked for first: "one-time password" is not for the password.
	factorPattern = regexp.MustCompile(`(?i)\bcode|passcode|token|\botp\b|one[- ]?time|verif|\bpin\b|\bduo\b|factor|authenticator|challenge|captcha|\bкод|\bmfa\b|\b2fa\b|new password|change your password`)
	// passwordWords and userWords are in questions for what we have.
	passwordPattern = regexp.MustCompile(`(?i)pass|kennwort|contrase|wachtwoord|hasło|heslo|senha|парол|pwd|密码`)
	userPattern     = regexp.MustCompile(`(?i)user|login|log-in|account|benutzer|utilisateur|usuario|логин|пользователь|\bname\b`)
)

// questions answers the rounds of keyboard-interactive.
type interactiveLogin struct {
	attempt *loginAttempt
	rounds  int
}

var (
	errSecondFactor  = errors.New("the server asks for more than a password")
	errPasswordAgain = errors.New("the server asks for the password again")
)

// answer fits ssh.KeyboardInteractiveChallenge. All questions of a round are
// looked at before anything is answered, so that a password is not sent to a
// server that then wants more.
func (q *interactiveLogin) answer(_, _ string, prompts []string, echos []bool) ([]string, error) {
	if q.rounds++; q.rounds > maxPromptRounds {
		return nil, q.unexpectedPrompt("endless questions")
	}
	answers := make([]string, len(prompts))
	passwords := 0
	for i, prompt := range prompts {
		switch {
		case factorPattern.MatchString(prompt):
			return nil, q.unexpectedPrompt(prompt)
		case passwordPattern.MatchString(prompt), !echos[i] && !userPattern.MatchString(prompt):
			answers[i] = q.attempt.password
			passwords++
		case userPattern.MatchString(prompt):
			answers[i] = q.attempt.server.Username
		default:
			return nil, q.unexpectedPrompt(prompt)
		}
		if passwords > 1 {
			return nil, q.unexpectedPrompt(prompt)
		}
	}
	switch {
	case passwords == 0:
		q.attempt.answeredPrompts += len(prompts)
		return answers, nil
	case q.attempt.passwordSent && passwordPattern.MatchString(strings.Join(prompts, " ")):
		q.attempt.passwordRefused = true // it asks again within the same exchange
		return nil, errPasswordAgain
	case q.attempt.passwordSent:
		return nil, q.unexpectedPrompt(prompts[0])
	}
	if err := q.attempt.reserve(); err != nil {
		return nil, err
	}
	q.attempt.answeredPrompts += len(prompts)
	return answers, nil
}

// more ends the log-in because of a question for a person.
func (q *interactiveLogin) unexpectedPrompt(prompt string) error {
	q.attempt.factorPrompt = strings.TrimSpace(prompt[:min(len(prompt), maxBanner)])
	return errSecondFactor
}

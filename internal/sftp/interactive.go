package sftp

import (
	"errors"
	"regexp"
	"strings"
)

// maxPromptRounds bounds the rounds of prompts of one login.
const maxPromptRounds = 10

var (
	// factorPattern matches prompts for a second factor. It is checked first, because
	// "one-time password" also matches passwordPattern.
	factorPattern = regexp.MustCompile(`(?i)\bcode|passcode|token|\botp\b|one[- ]?time|verif|\bpin\b|\bduo\b|factor|authenticator|challenge|captcha|\bкод|\bmfa\b|\b2fa\b|new password|change your password`)
	// passwordPattern and userPattern match prompts for the password and the user name.
	passwordPattern = regexp.MustCompile(`(?i)pass|kennwort|contrase|wachtwoord|hasło|heslo|senha|парол|pwd|密码`)
	userPattern     = regexp.MustCompile(`(?i)user|login|login|account|benutzer|utilisateur|usuario|логин|пользователь|\bname\b`)
)

// interactiveLogin answers the prompts of keyboard-interactive.
type interactiveLogin struct {
	attempt *loginAttempt
	rounds  int
}

var (
	errSecondFactor  = errors.New("the server asks for more than a password")
	errPasswordAgain = errors.New("the server asks for the password again")
)

// answer implements ssh.KeyboardInteractiveChallenge. It checks all prompts of a round
// before it answers, so that a password is not sent to a server that also requires
// a second factor.
func (q *interactiveLogin) answer(_, _ string, prompts []string, echos []bool) ([]string, error) {
	if q.rounds++; q.rounds > maxPromptRounds {
		return nil, q.unexpectedPrompt("endless prompts")
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
		q.attempt.passwordRefused = true // the server repeats the prompt
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

// unexpectedPrompt ends the login because of a prompt that it cannot answer.
func (q *interactiveLogin) unexpectedPrompt(prompt string) error {
	prompt = q.attempt.hide(prompt)
	q.attempt.factorPrompt = strings.TrimSpace(prompt[:min(len(prompt), maxBanner)])
	return errSecondFactor
}

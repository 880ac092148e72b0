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
	factorPattern = regexp.MustCompile(`(?i)\bcode|passcode|token|\botp\b|one[- ]?time|verif|\bpin\b|\bduo\b|factor|authenticator|challenge|captcha|\bкод|\bmfa\b|\b2fa\b`)
	// passwordPattern and userPattern match prompts for the password and the user name.
	passwordPattern = regexp.MustCompile(`(?i)pass|kennwort|contrase|wachtwoord|hasło|heslo|senha|парол|pwd|密码`)
	userPattern     = regexp.MustCompile(`(?i)user|login|login|account|benutzer|utilisateur|usuario|логин|пользователь|\bname\b`)
	// newPasswordPattern matches prompts for a new password. oldPasswordPattern matches those
	// that ask for the expired one again.
	newPasswordPattern = regexp.MustCompile(`(?i)(new|nueva|nova|nov[ée]|now[ey]|nieuw|neues|новый) (pass|kennwort|contrase|senha|heslo|hasło|wachtwoord|парол)|nouveau mot de passe|新密码|change your password`)
	oldPasswordPattern = regexp.MustCompile(`(?i)expir|abgelaufen|verlopen|caduc|wygas|vypršel|истек|истёк|устарел|过期|current|\bold |aktuelle|altes|actuel|actual|huidig|obecne|současn|atual|текущ|стар|当前`)
)

// interactiveLogin answers the prompts of keyboard-interactive.
type interactiveLogin struct {
	attempt *loginAttempt
	rounds  int
}

var (
	errSecondFactor  = errors.New("the server asks for more than a password")
	errPasswordAgain = errors.New("the server asks for the password again")
	errNewPassword   = errors.New("the server asks for a new password")
)

// answer implements ssh.KeyboardInteractiveChallenge. It checks all prompts of a round
// before it answers, so that a password is not sent to a server that also requires
// a second factor.
func (q *interactiveLogin) answer(_, _ string, prompts []string, echos []bool) ([]string, error) {
	if q.rounds++; q.rounds > maxPromptRounds {
		return nil, q.unexpectedPrompt("endless prompts")
	}
	if q.wantsNewPassword(strings.Join(prompts, " ")) {
		q.attempt.newPassword = true
		return nil, errNewPassword
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

// wantsNewPassword reports whether the server accepted the password and requires a new one. A
// repeated prompt is a refusal, whatever the instruction mentions.
func (q *interactiveLogin) wantsNewPassword(prompts string) bool {
	return newPasswordPattern.MatchString(prompts) ||
		q.attempt.passwordSent && passwordPattern.MatchString(prompts) && !factorPattern.MatchString(prompts) && oldPasswordPattern.MatchString(prompts)
}

// unexpectedPrompt ends the login because of a prompt that it cannot answer.
func (q *interactiveLogin) unexpectedPrompt(prompt string) error {
	prompt = q.attempt.hide(prompt)
	q.attempt.factorPrompt = strings.TrimSpace(prompt[:min(len(prompt), maxBanner)])
	return errSecondFactor
}

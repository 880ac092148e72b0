package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
)

// The exit codes, which scripts rely on.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRetryable   = 5
	exitPermanent   = 6
	exitDifferences = 9
)

// differencesError says that an audit came to its end and found something.
type differencesError struct{ count int64 }

// Error returns one line.
func (e differencesError) Error() string { return fmt.Sprintf("%d difference(s) found", e.count) }

// usageError is a command line that cannot be understood or carried out as it
// is written.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

// exitCode says what a script may do about the error.
func exitCode(err error) int {
	var (
		usage       usageError
		differences differencesError
		invalid     *ingest.InvalidError
		wrong       *config.Error
		known       *ingest.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &differences):
		return exitDifferences
	case errors.As(err, &usage), errors.As(err, &invalid):
		return exitUsage
	case errors.Is(err, ingest.ErrNotFound):
		return exitNotFound
	case errors.As(err, &wrong):
		return exitPermanent
	case errors.As(err, &known) && known.Kind.Permanent():
		return exitPermanent
	case errors.As(err, &known):
		return exitRetryable
	default:
		return exitOther
	}
}

// worse returns the error that matters more: one that trying again may mend
// matters least.
func worse(a, b error) error {
	order := []int{exitOK, exitRetryable, exitUsage, exitNotFound, exitPermanent, exitOther}
	if slices.Index(order, exitCode(a)) >= slices.Index(order, exitCode(b)) {
		return a
	}
	return b
}

// message returns the one line that people read. A known error's own message
// is made for them; its cause, which a driver worded, is logged at debug level.
func message(err error) string {
	var (
		invalid *ingest.InvalidError
		wrong   *config.Error
		known   *ingest.Error
	)
	switch {
	case errors.As(err, &wrong):
		lines := strings.Split(wrong.Error(), "\n") // one a variable
		for i, line := range lines {
			lines[i] = safe(line)
		}
		return strings.Join(lines, "\n")
	case errors.As(err, &invalid):
		return oneLine(err.Error())
	case errors.As(err, &known):
		return oneLine(known.Message)
	case errors.Is(err, context.Canceled):
		return "stopped"
	default:
		return oneLine(err.Error())
	}
}

// oneLine makes text that may hold what a server or file is called harmless.
func oneLine(text string) string { return safe(strings.Join(strings.Fields(text), " ")) }

// validate names the command in the error instead of the component whose needs
// it shares.
func validate(cfg config.Config, name string, component config.Component) error {
	err := cfg.Validate(component)
	var wrong *config.Error
	if errors.As(err, &wrong) {
		return &config.Error{Component: config.Component("`stevedore " + name + "`"), Problems: wrong.Problems}
	}
	return err
}

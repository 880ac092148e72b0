package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"stevedore/internal/config"
	"stevedore/internal/ingest"
)

// The exit codes, which scripts rely on.
const (
	exitOK            = 0
	exitOther         = 1
	exitUsage         = 2
	exitNotFound      = 3
	exitRetryable     = 5
	exitPermanent     = 6
	exitDiscrepancies = 9
)

// discrepanciesError is the error of a complete audit that found discrepancies.
type discrepanciesError struct{ count int64 }

// Error implements error.
func (e discrepanciesError) Error() string {
	return ingest.Counted(e.count, "discrepancy", "discrepancies") + " found"
}

// usageError is the error of an invalid command line.
type usageError struct{ error }

// Unwrap returns the cause.
func (e usageError) Unwrap() error { return e.error }

func usageErrorf(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitCode returns the exit code of the error.
func exitCode(err error) int {
	var (
		usage         usageError
		discrepancies discrepanciesError
		invalid       *ingest.InvalidError
		wrong         *config.Error
		known         *ingest.Error
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &discrepancies):
		return exitDiscrepancies
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

// worse returns the more severe error. Errors that a retry may resolve are the least
// severe.
func worse(a, b error) error {
	order := []int{exitOK, exitRetryable, exitUsage, exitNotFound, exitPermanent, exitOther}
	if slices.Index(order, exitCode(a)) >= slices.Index(order, exitCode(b)) {
		return a
	}
	return b
}

// message returns the error as one line for users. The message of a known error is
// complete; its cause, a driver's message, is logged at debug level.
func message(err error) string {
	var (
		invalid *ingest.InvalidError
		wrong   *config.Error
		known   *ingest.Error
	)
	switch {
	case errors.As(err, &wrong):
		lines := strings.Split(wrong.Error(), "\n") // one for each variable
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

// withFlags returns the error with the flags of the command instead of the API's fields.
func withFlags(cmd *cobra.Command, err error) error {
	var invalid *ingest.InvalidError
	if !errors.As(err, &invalid) {
		return err
	}
	named := ingest.InvalidError{Fields: slices.Clone(invalid.Fields)}
	for i, field := range named.Fields {
		flag := flagOf(cmd, field.Field)
		if flag == "" {
			continue
		}
		// Messages usually begin with the name of the field and the given value.
		first, rest, _ := strings.Cut(field.Message, " ")
		if name := strings.TrimSuffix(first, ":"); name == field.Field || name == flag || settingFlag(name) == flag {
			named.Fields[i].Message = "--" + flag + strings.TrimPrefix(first, name) + " " + rest
		} else {
			named.Fields[i].Message = "--" + flag + ": " + field.Message
		}
	}
	return &named
}

// flagOf returns the flag of the command for a field of the API, such as filter.path or
// include.0; empty for none.
func flagOf(cmd *cobra.Command, field string) string {
	parts := strings.Split(strings.TrimRight(field, ".0123456789"), ".")
	name := settingFlag(parts[len(parts)-1])
	for _, flag := range []string{name, name + "-file", strings.TrimSuffix(name, "-in-seconds")} {
		if cmd.Flags().Lookup(flag) != nil {
			return flag
		}
	}
	return ""
}

// settingFlag returns the flag of a setting, or the name that follows from the field.
func settingFlag(field string) string {
	setting, ok := ingest.SettingOf(field)
	if !ok {
		setting.Field = field
	}
	return setting.Flag()
}

// oneLine makes text harmless that may quote a server or the name of a file.
func oneLine(text string) string { return safe(strings.Join(strings.Fields(text), " ")) }

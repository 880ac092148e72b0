package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

// errDeclined ends a command that the user did not confirm.
var errDeclined = errors.New("nothing was changed")

// confirm asks the user to confirm the action, unless yes is set. Without a terminal it
// returns a usage error, so that scripts must set yes.
func (a *app) confirm(yes bool, format string, args ...any) error {
	action := fmt.Sprintf(format, args...)
	switch {
	case yes:
		return nil
	case !a.interactive:
		return usageErrorf("%s: confirm with --yes; there is no terminal to ask on", action)
	}
	fmt.Fprintf(a.stderr, "%s? [y/N] ", action)
	line, _ := bufio.NewReader(a.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

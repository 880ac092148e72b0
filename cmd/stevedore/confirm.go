package main

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
)

// errDeclined ends a command that a person did not confirm.
var errDeclined = errors.New("nothing was changed")

// confirm asks a person whether to go on; yes goes on without asking. Where
// nobody can be asked, not even by mistake, only yes does.
func (a *app) confirm(question string, yes bool) error {
	if yes {
		return nil
	}
	if !a.person {
		return usageError{fmt.Errorf("%s: confirm with --yes, there is no terminal to ask on", question)}
	}
	fmt.Fprintf(a.stderr, "%s? [y/N] ", question)
	line, _ := bufio.NewReader(a.stdin).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}

package ingest

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// maxWait bounds the waiting times in a server's settings.
const maxWait = 7 * 24 * time.Hour

// minScanInterval is the minimum of Server.ScanInterval; a shorter one only adds
// load.
const minScanInterval = time.Second

// FieldError is an invalid field of a request.
type FieldError struct {
	// Field is the field's name in the API, e.g. "max_parallel".
	Field string
	// Message is one line that states the valid values.
	Message string
}

// Error returns the message.
func (e FieldError) Error() string { return e.Message }

func fieldErrorf(field, format string, args ...any) FieldError {
	return FieldError{Field: field, Message: fmt.Sprintf(format, args...)}
}

// Validate returns a FieldError for each invalid setting. Globs are also checked
// by their matcher, elsewhere.
func (s Server) Validate() []error {
	var errs []error
	bad := func(field, format string, args ...any) { errs = append(errs, fieldErrorf(field, format, args...)) }
	for _, setting := range Settings {
		for _, err := range []error{setting.validate(s), setting.visible(s)} {
			if err != nil {
				errs = append(errs, err)
			}
		}
	}
	if !ValidName(s.Name) {
		bad("name", "name %q: use 1 to 63 letters, digits, '-', '_' or '.', but not . or ..", s.Name)
	}
	if why := hostAdvice(s.Host); why != "" {
		bad("host", "host %q: %s", s.Host, why)
	}
	if s.Username == "" {
		bad("username", "username: must not be empty")
	}
	if root, home := strings.CutPrefix(s.RootPath, HomeRoot); (!home || root != "") && (!path.IsAbs(root) || path.Clean(root) != root || home && root == "/") {
		bad("root_path", "path %q: use an absolute path, or ~/dir for one below the user's home folder, without '..' or a trailing '/'", s.RootPath)
	}
	if err := s.AfterIngest.Validate(); err != nil {
		bad("after_ingest", "%s", err)
	}
	return slices.Concat(errs, s.validateTarget(), s.validateGlobs(), s.validateRules(), s.validateRoute())
}

// validateRules checks the conditions for ingesting a file.
func (s Server) validateRules() (errs []error) {
	bad := func(field, format string, args ...any) { errs = append(errs, fieldErrorf(field, format, args...)) }
	if strings.Contains(s.DoneMarker, "/") || s.DoneMarker == "*" || strings.Count(s.DoneMarker, "*") > 1 || len(s.DoneMarker) > 255 {
		bad("done_marker", "done-marker %q: use a file name in which '*' is the name of the marked file, e.g. '*.done'", s.DoneMarker)
	}
	for _, glob := range s.Include {
		if s.includesMarkers(glob) {
			bad("done_marker", "done-marker %q: include %q matches such files, but a file cannot be its own marker: use another name, e.g. '*.done'", s.DoneMarker, glob)
			break
		}
	}
	return errs
}

// notNameRune reports whether a name must not contain the rune. Names are used
// unquoted in metrics, search attributes and shell commands.
func notNameRune(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r)
}

package ingest

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
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
	if !ValidName(s.Name) {
		bad("name", "name %q: use 1 to 63 letters, digits, '-', '_' or '.'", s.Name)
	}
	if why := hostAdvice(s.Host); why != "" {
		bad("host", "host %q: %s", s.Host, why)
	}
	if s.Port < 1 || s.Port > 65535 {
		bad("port", "port %d: use 1 to 65535", s.Port)
	}
	if s.Username == "" {
		bad("username", "username: must not be empty")
	}
	if root, home := strings.CutPrefix(s.RootPath, HomeRoot); (!home || root != "") && (!path.IsAbs(root) || path.Clean(root) != root || home && root == "/") {
		bad("root_path", "path %q: use an absolute path, or ~/dir for one below the user's home folder, without '..' or a trailing '/'", s.RootPath)
	}
	if s.MaxParallel < 1 || s.MaxParallel > MaxParallelLimit {
		bad("max_parallel", "max-parallel %d: use 1 to %d", s.MaxParallel, MaxParallelLimit)
	}
	if s.Settle < 0 || s.Settle > 24*time.Hour {
		bad("settle", "settle %s: use 0s to 24h", s.Settle)
	}
	if s.ScanInterval < minScanInterval || s.ScanInterval > maxWait {
		bad("scan_interval", "scan-interval %s: use %s to %s", s.ScanInterval, minScanInterval, maxWait)
	}
	if err := s.AfterIngest.Validate(); err != nil {
		bad("after_ingest", "%s", err)
	}
	return slices.Concat(errs, s.validateTarget(), s.validateText(), s.validateGlobs(), s.validateRules(), s.validateOptions())
}

// validateText rejects invisible characters. They come from pasted text and would
// make a host or folder mysteriously unknown.
func (s Server) validateText() (errs []error) {
	for _, setting := range []struct {
		field, name string
		texts       []string
	}{
		{"host", "host", []string{s.Host}}, {"username", "username", []string{s.Username}}, {"root_path", "path", []string{s.RootPath}},
		{"include", "include", s.Include}, {"exclude", "exclude", s.Exclude},
		{"after_ingest", "after-ingest", []string{string(s.AfterIngest)}}, {"done_marker", "done-marker", []string{s.DoneMarker}},
		{"in_progress_names", "in-progress-names", s.InProgressNames}, {"proxy", "proxy", []string{s.Proxy}}, {"jump", "jump", []string{s.Jump}},
	} {
		for _, text := range setting.texts {
			unseen := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
			if unseen < 0 && utf8.ValidString(text) {
				continue
			}
			errs = append(errs, fieldErrorf(setting.field, "%s %s holds an invisible character: type it again", setting.name, Summary(text)))
			break
		}
	}
	return errs
}

// validateRules checks the conditions for ingesting a file.
func (s Server) validateRules() (errs []error) {
	bad := func(field, format string, args ...any) { errs = append(errs, fieldErrorf(field, format, args...)) }
	if s.MinAge < 0 || s.MinAge > maxWait {
		bad("min_age", "min-age %s: use 0s to %s", s.MinAge, maxWait)
	}
	if s.SidecarWait < 0 || s.SidecarWait > maxWait {
		bad("sidecar_wait", "sidecar-wait %s: use 0s to %s", s.SidecarWait, maxWait)
	}
	if s.MaxDepth < 0 || s.MaxDepth > MaxDepth {
		bad("max_depth", "max-depth %d: use 1 to %d", s.MaxDepth, MaxDepth)
	}
	if strings.Contains(s.DoneMarker, "/") || s.DoneMarker == "*" || strings.Count(s.DoneMarker, "*") > 1 || len(s.DoneMarker) > 255 {
		bad("done_marker", "done-marker %q: use a file name in which '*' is the name of the marked file, e.g. '*.done'", s.DoneMarker)
	}
	for _, glob := range s.Include {
		if s.includesMarkers(glob) {
			bad("done_marker", "done-marker %q: include %q matches such files, but a file cannot be its own marker: use another name, e.g. '*.done'", s.DoneMarker, glob)
			break
		}
	}
	if err := s.Transfer.Validate(); s.Transfer != "" && err != nil {
		bad("transfer", "%s", err)
	}
	switch s.OnCollision {
	case "", CollisionRename, CollisionOverwrite, CollisionKeep:
	default:
		bad("on_collision", "on-collision %q: use rename, overwrite or keep", s.OnCollision)
	}
	return errs
}

// notNameRune reports whether a name must not contain the rune. Names are used
// unquoted in metrics, search attributes and shell commands.
func notNameRune(r rune) bool {
	return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r)
}

package main

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// choice is the value of a flag with fixed values.
type choice[T ~string] struct {
	values []T
	// list accepts several values, separated by commas or in several flags.
	list bool
	// fallback is the default in help texts.
	fallback T
	set      func(T)
}

// String implements pflag.Value.
func (c *choice[T]) String() string { return string(c.fallback) }

// Set implements pflag.Value.
func (c *choice[T]) Set(text string) error {
	parts := []string{text}
	if c.list {
		parts = strings.Split(text, ",")
	}
	for _, part := range parts {
		value := T(strings.TrimSpace(part))
		if !slices.Contains(c.values, value) {
			return fmt.Errorf("use %s%s", ingest.OneOf(c.values), didYouMean(string(value), c.values))
		}
		c.set(value)
	}
	return nil
}

// Type implements pflag.Value.
func (c *choice[T]) Type() string { return "string" }

// addChoice adds a flag and completes its values.
func addChoice[T ~string](cmd *cobra.Command, flags *pflag.FlagSet, name, short, usage string, c *choice[T]) {
	flags.VarP(c, name, short, usage)
	completeValues(cmd, name, c.values)
}

// didYouMean returns a hint at the value that the text may be a misspelling of.
func didYouMean[T ~string](text string, values []T) string {
	// Cobra compares the names of commands only.
	known := &cobra.Command{SuggestionsMinimumDistance: 2}
	for _, value := range values {
		known.AddCommand(&cobra.Command{Use: string(value), Run: func(*cobra.Command, []string) {}})
	}
	if near := known.SuggestionsFor(text); text != "" && len(near) > 0 {
		return fmt.Sprintf("; did you mean %q?", near[0])
	}
	return ""
}

// flagError describes a flag that cannot be parsed, without the words of libraries.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	var valueless *pflag.ValueRequiredError
	switch {
	case errors.As(err, &valueless):
		return fmt.Errorf("--%s requires a value", valueless.GetFlag().Name)
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			return fmt.Errorf("unknown flag -%s", name)
		}
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		return fmt.Errorf("unknown flag --%s%s", safe(name), strings.Replace(didYouMean(name, names), `"`, `"--`, 1))
	case errors.As(err, &invalid):
		flag := invalid.GetFlag()
		advice := map[string]string{"int": "use a whole number", "duration": "use a duration such as 10s or 5m", "bool": "use true or false"}[flag.Value.Type()]
		if advice == "" {
			advice = strings.TrimPrefix(invalid.Unwrap().Error(), fmt.Sprintf("%s %q: ", flag.Name, invalid.GetValue()))
		}
		return fmt.Errorf("--%s %q: %s", flag.Name, safe(invalid.GetValue()), advice)
	}
	return err
}

// addYes adds the flag that confirms in advance.
func addYes(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask for confirmation")
}

// limitValue is the value of --limit: 0 or more.
type limitValue int

// String implements pflag.Value.
func (l *limitValue) String() string { return strconv.Itoa(int(*l)) }

// Set implements pflag.Value.
func (l *limitValue) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return errors.New("use 1 or more, or 0 for all")
	}
	*l = limitValue(n)
	return nil
}

// Type implements pflag.Value.
func (l *limitValue) Type() string { return "N" }

// addLimit adds the flag that bounds a list to the default, or to nothing with 0.
func addLimit(cmd *cobra.Command, limit *int, things string, fallback int) {
	*limit = fallback
	cmd.Flags().Var((*limitValue)(limit), "limit", "at most `N` "+things+"; 0 is all")
}

// addServer adds the flag that selects the things of one server.
func (a *app) addServer(cmd *cobra.Command, server *string, things string) {
	cmd.Flags().StringVar(server, "server", "", "only "+things+" of the server with this `NAME` or uuid")
	a.completeFlag(cmd, "server", serverNames)
}

// addServers adds the flag that selects servers.
func (a *app) addServers(cmd *cobra.Command, servers *[]string) {
	cmd.Flags().StringArrayVar(servers, "server", nil, "only the server with this `NAME` or uuid; may be repeated")
	a.completeFlag(cmd, "server", serverNames)
}

// selectFlags are the flags that select files.
type selectFlags struct {
	server, path, search, hash string
	seen                       timeRange
	kinds                      []openapi.ErrorKind
	steps                      []openapi.ErrorStep
}

func (f *selectFlags) register(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	a.addServer(cmd, &f.server, "files")
	flags.StringVar(&f.path, "path", "", "only files whose path, or the end of it, matches the `GLOB`: '*' and '?' match within a folder, '**' across folders; case matters")
	flags.StringVar(&f.search, "search", "", "only files whose path contains the `TEXT` in any case; also the beginning of a uuid, or a SHA-256")
	flags.Var(&choice[ingest.Kind]{
		values: ingest.Kinds, list: true, set: func(kind ingest.Kind) { f.kinds = append(f.kinds, openapi.ErrorKind(kind)) },
	}, "error-kind", "only files whose last failure is of this `KIND`, e.g. permission; may be repeated or separated by commas")
	addChoice(cmd, flags, "error-step", "", "only files whose last failure was in this `STEP`; may be repeated or separated by commas", &choice[openapi.ErrorStep]{
		values: []openapi.ErrorStep{
			openapi.ErrorStepDiscover, openapi.ErrorStepDownload, openapi.ErrorStepVerify, openapi.ErrorStepUpload, openapi.ErrorStepTransfer,
			openapi.ErrorStepNotify, openapi.ErrorStepAfterIngest,
		}, list: true, set: func(step openapi.ErrorStep) { f.steps = append(f.steps, step) },
	})
	f.seen.register(cmd, "files first seen")
	flags.StringVar(&f.hash, "hash", "", "only files whose content has this `SHA-256`")
	a.completeFlag(cmd, "error-kind", errorKinds)
}

// selection returns the selection that the flags describe. It is the zero value without
// filters.
func (f *selectFlags) selection(now time.Time) (s openapi.FileSelection, err error) {
	hash := strings.ToLower(f.hash)
	if hash != "" && (len(hash) != 64 || strings.Trim(hash, "0123456789abcdef") != "") {
		return s, usageErrorf("--hash %q: use a SHA-256 of 64 hex digits", safe(f.hash))
	}
	from, to, err := f.seen.times(now)
	return openapi.FileSelection{
		Server: given(f.server), Path: given(f.path), Search: given(f.search), ErrorKind: givenList(f.kinds), Step: givenList(f.steps),
		Hash: given(hash), From: from, To: to,
	}, err
}

// timeRange are the flags that select a range of times.
type timeRange struct{ from, to string }

func (r *timeRange) register(cmd *cobra.Command, things string) {
	cmd.Flags().StringVar(&r.from, "from", "", "only "+things+" at this `TIME` or later: 2026-01-31, 2026-01-31T12:00:00Z, or 24h or 7d ago")
	cmd.Flags().StringVar(&r.to, "to", "", "only "+things+" before this `TIME`")
}

// times returns the times that the flags describe; nil is no limit. An empty range is a
// usage error: it selects nothing.
func (r *timeRange) times(now time.Time) (from, to *time.Time, _ error) {
	first, err := parseTime("from", r.from, now, -1)
	if err != nil {
		return nil, nil, err
	}
	end, err := parseTime("to", r.to, now, -1)
	if err == nil && !end.IsZero() && !end.After(first) {
		err = usageErrorf("--to %q is not after --from %q", r.to, r.from)
	}
	return given(first), given(end), err
}

// disorder is the most by which a later item of a list may have an earlier time: listings are
// numbered when they end.
const disorder = time.Hour

// latestOf returns up to limit items of a list, the latest first, whose times are in the range;
// 0 is no limit. The list is read no further than necessary.
func latestOf[T any](r timeRange, now time.Time, limit int, list func(limit int) iter.Seq2[T, error], at func(T) time.Time) iter.Seq2[T, error] {
	from, to, err := r.times(now)
	switch {
	case err != nil:
		return all[T](nil, err)
	case r == timeRange{}:
		return list(limit)
	}
	return func(yield func(T, error) bool) {
		left := limit
		for item, err := range list(0) {
			began := at(item)
			switch {
			case err == nil && from != nil && began.Before(from.Add(-disorder)):
				return
			case err == nil && (from != nil && began.Before(*from) || to != nil && !began.Before(*to)):
				continue
			}
			if left--; !yield(item, err) || left == 0 {
				return
			}
		}
	}
}

// parseTime parses a date, a time, or a duration such as 24h or 7d, which is subtracted
// from now (sign -1) or added to it (sign 1).
func parseTime(flag, text string, now time.Time, sign time.Duration) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	const day = 24 * time.Hour
	distance, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		n, err = strconv.Atoi(days)
		distance = time.Duration(min(n, 100_000)) * day // more does not fit; the API refuses it
	}
	if err != nil || distance <= 0 {
		return time.Time{}, usageErrorf("--%s %q: use a time such as 2026-01-31, 2026-01-31T12:00:00Z, 24h or 7d", flag, safe(text))
	}
	return now.Add(sign * distance).UTC(), nil
}

// addReason adds the flag for the reason of an action.
func addReason(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "`WHY`; the history of the files records it")
}

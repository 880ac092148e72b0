package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// action is what an operator does with files.
type action string

// The actions on files.
const (
	retry     action = "retry"
	skip      action = "skip"
	renotify  action = "renotify"
	reprocess action = "reprocess"
)

// noReason is the reason where none was given: the API requires one.
const noReason = "by command line, no reason given"

// decideFlags are the flags of file retry, skip, renotify and reprocess.
type decideFlags struct {
	action       action
	reason, from string
	selected     selectFlags
	all          bool
	dryRun       bool
	yes          bool
}

// decideCommand is file retry, skip, renotify or reprocess.
func (a *app) decideCommand(action action, short, long, example string) *cobra.Command {
	f := decideFlags{action: action}
	cmd := &cobra.Command{
		Use: string(action) + " UUID...", Short: short, Long: long, Example: example, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			selection, err := f.selected.read(time.Now())
			if err != nil {
				return err
			}
			if f.from != "" && !slices.Contains(stepNames(), f.from) {
				return usageError{fmt.Errorf("--from %q: use %s", f.from, oneOf(stepNames()))}
			}
			bulk := f.all || f.dryRun || !f.selected.empty()
			switch {
			case bulk && len(args) > 0:
				return usageError{errors.New("give uuids or a filter, not both")}
			case bulk && !f.all && f.selected.empty():
				return usageError{errors.New("--dry-run counts what a filter selects: give one, or --all")}
			case !bulk && len(args) == 0:
				return usageError{fmt.Errorf("say which files: see `%s --help`", cmd.CommandPath())}
			}
			return a.withAPI("file "+string(action), func(api *client.API) error {
				if bulk {
					return a.decideAll(cmd.Context(), api, f, selection)
				}
				return a.decideEach(cmd.Context(), api, f, args)
			})
		},
	}
	f.register(a, cmd)
	return cmd
}

func (f *decideFlags) register(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.reason, "reason", "", "why; it goes into the file's history")
	if f.action == retry {
		flags.StringVar(&f.from, "from", "", "`STEP` to resume from: "+oneOf(stepNames())+" (default the failed step)")
		complete(cmd, "from", stepNames()...)
	}
	if f.action == renotify || f.action == reprocess {
		return
	}
	f.selected.register(a, cmd, "seen-from", "seen-to")
	flags.BoolVar(&f.all, "all", false, "all files in error")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only count the files")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
}

// decideResult is what became of one file as JSON.
type decideResult struct {
	Action action `json:"action"`
	// FileUUID is what was given when there is no such file.
	FileUUID   string `json:"file_uuid"`
	RemotePath string `json:"remote_path"`
	Done       bool   `json:"done"`
	// ErrorKind and Error say why it was not done; empty otherwise.
	ErrorKind ingest.Kind `json:"error_kind"`
	Error     string      `json:"error"`
}

// decideEach decides on all of the files, whatever becomes of one, and returns
// the error that matters most.
func (a *app) decideEach(ctx context.Context, api *client.API, f decideFlags, uuids []string) (worst error) {
	rows := a.newList("UUID", "RESULT", "PATH")
	for _, uuid := range uuids {
		if ctx.Err() != nil {
			break
		}
		file, err := f.decide(ctx, api, uuid)
		result := decideResult{Action: f.action, FileUUID: cmp.Or(file.FileUUID, uuid), RemotePath: safe(file.RemotePath), Done: err == nil}
		cells := []string{safe(result.FileUUID), string(f.action), dash(result.RemotePath)}
		if err != nil {
			result.ErrorKind, result.Error = ingest.KindOf(err), message(err)
			cells[1] = "refused: " + result.Error
			worst = worse(worst, err)
		}
		if err := rows.add(result, cells...); err != nil {
			return err
		}
	}
	return errors.Join(rows.end(""), worst, ctx.Err())
}

// decide carries out the action on one file and returns the file as it was.
func (f decideFlags) decide(ctx context.Context, api *client.API, uuidOrPrefix string) (openapi.File, error) {
	file, err := api.File(ctx, uuidOrPrefix)
	if err != nil {
		return file, err
	}
	switch f.action {
	case retry:
		err = api.RetryFile(ctx, file.FileUUID, openapi.RetryDecision{Reason: cmp.Or(f.reason, noReason), From: given(openapi.StepName(f.from))})
	case skip:
		err = api.SkipFile(ctx, file.FileUUID, openapi.Decision{Reason: cmp.Or(f.reason, noReason)})
	case reprocess:
		err = api.ReprocessFile(ctx, file.FileUUID, openapi.Decision{Reason: cmp.Or(f.reason, noReason)})
	default:
		err = api.RenotifyFile(ctx, file.FileUUID, openapi.Decision{Reason: cmp.Or(f.reason, noReason)})
	}
	return file, err
}

// bulkResult is an action on many files as JSON.
type bulkResult struct {
	openapi.BulkResult
	DryRun bool `json:"dry_run"`
}

// decideAll counts the files, asks, and acts on exactly this number of files, in several
// requests if there are many.
func (a *app) decideAll(ctx context.Context, api *client.API, f decideFlags, selection openapi.FileSelection) error {
	send := api.RetryFiles
	if f.action == skip {
		send = api.SkipFiles
	}
	dryRun := true
	request := openapi.BulkDecision{Filter: selection, Reason: cmp.Or(f.reason, noReason), From: given(openapi.StepName(f.from)), DryRun: &dryRun}
	counted, err := send(ctx, request)
	if err != nil {
		return err
	}
	result := bulkResult{openapi.BulkResult{Matched: counted.Matched, Remaining: counted.Matched, Failures: []openapi.BulkFailure{}}, f.dryRun}
	if f.dryRun || counted.Matched == 0 {
		return a.printBulk(f.action, result)
	}
	if err := a.confirm(fmt.Sprintf("%s %d file(s) in error", f.action, counted.Matched), f.yes); err != nil {
		return err
	}
	// The API refuses another number of files than the confirmed one.
	request.DryRun, request.ExpectedCount = nil, &counted.Matched
	for {
		batch, err := send(ctx, request)
		if err != nil && result.Done+result.Failed == 0 {
			return err
		}
		if err == nil {
			result.add(batch)
			err = batchError(batch)
		}
		if err != nil || batch.NextCursor == nil || batch.Done+batch.Failed == 0 {
			return errors.Join(a.printBulk(f.action, result), err, result.err(f.action))
		}
		request.ExpectedCount, request.Cursor = nil, batch.NextCursor
	}
}

// batchError returns the error that ended a batch early.
func batchError(batch openapi.BulkResult) error {
	if batch.Error == nil {
		return nil
	}
	return ingest.Errorf(ingest.KindTransient, "%s", safe(*batch.Error))
}

// add counts a further batch. A batch that ended early may count files again that the
// next one finds done.
func (r *bulkResult) add(batch openapi.BulkResult) {
	r.Done, r.Failed, r.Remaining = min(r.Done+batch.Done, r.Matched), r.Failed+batch.Failed, batch.Remaining
	r.Failures = append(r.Failures, batch.Failures...)
}

func (r *bulkResult) err(action action) error {
	if r.Failed+r.Remaining == 0 {
		return nil
	}
	return ingest.Errorf(ingest.KindConflict, "%s was refused for %d file(s) and not tried for %d: `stevedore file show` shows why",
		action, r.Failed, r.Remaining)
}

func (a *app) printBulk(action action, r bulkResult) error {
	return a.printOne(r, func(w io.Writer) {
		switch {
		case r.DryRun || r.Matched == 0:
			fmt.Fprintf(w, "%s would be for %d file(s) in error; nothing was changed\n", action, r.Matched)
		default:
			fmt.Fprintf(w, "%s: %d of %d file(s)\n", action, r.Done, r.Matched)
		}
		for _, failure := range r.Failures {
			fmt.Fprintf(w, "refused\t%s\t%s\n", failure.FileUUID, safe(failure.Message))
		}
	})
}

const bulkLong = `

With filters instead of uuids it is for all files in error that fit: they are
counted first, and on a terminal it asks. --dry-run only counts.`

func (a *app) decideCommands() []*cobra.Command {
	return []*cobra.Command{
		a.decideCommand(retry, "Try files in error again",
			"Sends files that wait in error on their way again, from the step that failed\nor an earlier one. A uuid may be given by its beginning."+bulkLong,
			"  stevedore file retry 0ab5fe59 --reason 'the bucket is back'\n  stevedore file retry --server acme --path '**/*.csv' --dry-run"),
		a.decideCommand(skip, "Give files in error up",
			"Ends files that wait in error as skipped: they are not fetched again unless\nthe partner changes them. A uuid may be given by its beginning."+bulkLong,
			"  stevedore file skip 0ab5fe59 --reason 'sent by mistake'\n  stevedore file skip --server acme --seen-to 2026-01-01 --yes"),
		a.decideCommand(renotify, "Announce files again",
			"Announces completed files once more, with the message id they had. A uuid may\nbe given by its beginning.",
			"  stevedore file renotify 0ab5fe59 --reason 'the consumer lost it'"),
		a.decideCommand(reprocess, "Ingest completed files again",
			"Fetches completed files from their sources again whose objects are lost, under\nthe same key, and announces them with the message id they had. Refused while the\nobject is there, and when the source is gone or changed.",
			"  stevedore file reprocess 0ab5fe59 --reason 'the bucket was emptied'"),
	}
}

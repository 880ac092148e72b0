package main

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"github.com/spf13/cobra"

	"stevedore/api/client"
	"stevedore/api/openapi"
	"stevedore/internal/ingest"
)

// noReason is the reason of an action without --reason: the API requires one.
const noReason = "by command line, no reason given"

// actionFlags are the flags of file retry, skip, renotify and reprocess.
type actionFlags struct {
	action   ingest.Action
	reason   string
	step     openapi.StepName
	selected selectFlags
	all      bool
	dryRun   bool
	yes      bool
}

func (a *app) fileActionCommands() []*cobra.Command {
	const bulk = `

With filters instead of uuids, all failed files that match are selected: the
command counts them and, on a terminal, asks. --dry-run only counts.`
	return []*cobra.Command{
		a.fileActionCommand(ingest.ActionRetry, "Retry failed files", `Resumes failed files from the failed step, or from an earlier one. A prefix of a
uuid is enough.`+bulk,
			"  stevedore file retry 0ab5fe59 --reason 'the bucket is back'\n  stevedore file retry --server acme --path '**/*.csv' --dry-run"),
		a.fileActionCommand(ingest.ActionSkip, "Skip failed files", `Ends failed files as skipped: they are not ingested unless the partner changes
them. A prefix of a uuid is enough.`+bulk,
			"  stevedore file skip 0ab5fe59 --reason 'sent by mistake'\n  stevedore file skip --server acme --to 2026-01-01 --yes"),
		a.fileActionCommand(ingest.ActionRenotify, "Publish the notification of files again",
			"Publishes the notification of completed files again, with the same message id. A\nprefix of a uuid is enough.",
			"  stevedore file renotify 0ab5fe59 --reason 'the consumer lost it'"),
		a.fileActionCommand(ingest.ActionReprocess, "Ingest completed files again",
			"Ingests completed files again whose objects are lost, under the same key and\nwith the same message id. Fails when the object exists, or when the source was\nremoved or changed.",
			"  stevedore file reprocess 0ab5fe59 --reason 'the bucket was emptied'"),
	}
}

func (a *app) fileActionCommand(action ingest.Action, short, long, example string) *cobra.Command {
	f := actionFlags{action: action}
	cmd := &cobra.Command{
		Use: string(action) + " UUID...", Short: short, Long: long, Example: example, Args: arguments(0, math.MaxInt, "file uuid"),
		RunE: a.calling(func(ctx context.Context, api *client.API, args []string) error {
			selection, err := f.selected.selection(a.now())
			filtered := selection != openapi.FileSelection{}
			bulk := f.all || f.dryRun || filtered
			switch {
			case err != nil:
				return err
			case bulk && len(args) > 0:
				return usageErrorf("uuids and filters exclude each other")
			case bulk && !f.all && !filtered:
				return usageErrorf("--dry-run requires a filter or --all")
			case bulk:
				return a.actOnAll(ctx, api, f, selection)
			case len(args) == 0:
				return usageErrorf("no files given: see `stevedore file %s --help`", action)
			}
			return a.actOnEach(ctx, api, f, args)
		}),
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	addReason(cmd, &f.reason)
	if action == ingest.ActionRetry {
		var steps []openapi.StepName
		for _, step := range ingest.RetrySteps() {
			steps = append(steps, openapi.StepName(step))
		}
		addChoice(cmd, flags, "step", "", "`STEP` to resume from: "+ingest.OneOf(steps)+" (default the failed step)", &choice[openapi.StepName]{
			values: steps, set: func(step openapi.StepName) { f.step = step },
		})
	}
	if action == ingest.ActionRetry || action == ingest.ActionSkip {
		f.selected.register(a, cmd)
		flags.BoolVar(&f.all, "all", false, "all failed files")
		flags.BoolVar(&f.dryRun, "dry-run", false, "only count the files")
		addYes(cmd, &f.yes)
	}
	return cmd
}

// actionResult is the result of an action on one file as JSON.
type actionResult struct {
	Action ingest.Action `json:"action"`
	// FileUUID is the argument of the command if there is no such file.
	FileUUID   string `json:"file_uuid"`
	RemotePath string `json:"remote_path"`
	Done       bool   `json:"done"`
	// ErrorKind and Error are empty when the action is done.
	ErrorKind ingest.Kind `json:"error_kind"`
	Error     string      `json:"error"`
}

// actsOn are the statuses of files that the actions accept; completions offer only these.
var actsOn = map[ingest.Action][]openapi.FileStatus{
	ingest.ActionRetry:    {openapi.FileStatus(ingest.StatusError)},
	ingest.ActionSkip:     {openapi.FileStatus(ingest.StatusError), openapi.FileStatus(ingest.StatusDiscovered), openapi.FileStatus(ingest.StatusReady)},
	ingest.ActionRenotify: {openapi.FileStatus(ingest.StatusCompleted)}, ingest.ActionReprocess: {openapi.FileStatus(ingest.StatusCompleted)},
}

// results are the words for actions that are done.
var results = map[ingest.Action]string{
	ingest.ActionRetry: "retried", ingest.ActionSkip: "skipped", ingest.ActionRenotify: "notified again", ingest.ActionReprocess: "ready again",
}

// actOnEach acts on all files, even if some fail, and returns the most severe error.
func (a *app) actOnEach(ctx context.Context, api *client.API, f actionFlags, uuids []string) (worst error) {
	rows := a.newList()
	for _, uuid := range uuids {
		if ctx.Err() != nil {
			break
		}
		file, err := api.File(ctx, uuid)
		if err == nil {
			err = api.ActOnFile(ctx, f.action, file.FileUUID, cmp.Or(f.reason, noReason), given(f.step))
		}
		result := actionResult{Action: f.action, FileUUID: cmp.Or(file.FileUUID, uuid), RemotePath: safe(file.RemotePath), Done: err == nil}
		outcome := results[f.action]
		if err != nil {
			result.ErrorKind, result.Error = ingest.KindOf(err), message(err)
			outcome = "refused: " + result.Error
			if result.ErrorKind == ingest.KindTransient {
				outcome = "failed: " + result.Error
			}
			worst = worse(worst, err)
		}
		if err := rows.add(result, cell{"UUID", safe(result.FileUUID)}, cell{"RESULT", outcome}, cell{"PATH", dash(result.RemotePath)}); err != nil {
			return err
		}
	}
	return errors.Join(rows.end(""), worst, ctx.Err())
}

// bulkResult is the result of an action on many files as JSON.
type bulkResult struct {
	openapi.BulkResult
	DryRun bool `json:"dry_run"`
}

// actOnAll counts the files, asks, and acts on exactly this number of files, in several
// requests if necessary.
func (a *app) actOnAll(ctx context.Context, api *client.API, f actionFlags, selection openapi.FileSelection) error {
	request := openapi.BulkActionRequest{Filter: selection, Reason: cmp.Or(f.reason, noReason), From: given(f.step), DryRun: given(true)}
	counted, err := api.ActOnFiles(ctx, f.action, request)
	if err != nil {
		return err
	}
	result := bulkResult{openapi.BulkResult{Matched: counted.Matched, Remaining: counted.Matched, Failures: []openapi.BulkFailure{}}, f.dryRun}
	if f.dryRun || counted.Matched == 0 {
		return a.showBulk(f.action, result)
	}
	if err := a.confirm(f.yes, "%s %s", f.action, ingest.Counted(counted.Matched, "failed file", "failed files")); err != nil {
		return err
	}
	// The API refuses another number of files than the confirmed one.
	request.DryRun, request.ExpectedCount = nil, &counted.Matched
	for {
		batch, err := api.ActOnFiles(ctx, f.action, request)
		if err != nil && result.Done+result.Failed == 0 {
			return err
		}
		if err == nil {
			result.add(batch)
			if batch.Error != nil {
				err = ingest.Errorf(ingest.KindTransient, "%s", safe(*batch.Error))
			}
		}
		if err != nil || batch.NextCursor == nil || batch.Done+batch.Failed == 0 {
			return errors.Join(a.showBulk(f.action, result), err, result.err(f.action))
		}
		request.ExpectedCount, request.Cursor = nil, batch.NextCursor
	}
}

// add counts another batch. A batch that ended early may count files again that the
// next one finds done.
func (r *bulkResult) add(batch openapi.BulkResult) {
	r.Done, r.Failed, r.Remaining = min(r.Done+batch.Done, r.Matched), r.Failed+batch.Failed, batch.Remaining
	r.Failures = slices.Concat(r.Failures, batch.Failures)
}

func (r *bulkResult) err(action ingest.Action) error {
	if r.Failed+r.Remaining == 0 {
		return nil
	}
	return ingest.Errorf(ingest.KindConflict, "%s was refused for %s and not tried for %d: `stevedore file show` shows the reason",
		action, ingest.Counted(r.Failed, "file", "files"), r.Remaining)
}

func (a *app) showBulk(action ingest.Action, r bulkResult) error {
	return a.show(r, func(t *table) {
		if r.DryRun || r.Matched == 0 {
			t.text("%s would act on %s; nothing was changed", action, ingest.Counted(r.Matched, "failed file", "failed files"))
		} else {
			t.text("%s: %d of %s", results[action], r.Done, ingest.Counted(r.Matched, "file", "files"))
		}
		t.begin()
		for _, failure := range r.Failures {
			t.row("refused", failure.FileUUID, safe(failure.Message))
		}
	})
}

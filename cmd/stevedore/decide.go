package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/user"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"stevedore/internal/admin"
	"stevedore/internal/ingest"
	"stevedore/workflows"
)

// decideFlags are the flags of file retry, skip, renotify and reprocess.
type decideFlags struct {
	action   admin.Action
	decision workflows.Decision
	selected selectFlags
	all      bool
	dryRun   bool
	yes      bool
}

// decideCommand is file retry, skip, renotify or reprocess.
func (a *app) decideCommand(action admin.Action, short, long, example string) *cobra.Command {
	f := decideFlags{action: action}
	cmd := &cobra.Command{
		Use: string(action) + " UUID...", Short: short, Long: long, Example: example, Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := f.selected.read(time.Now())
			if err != nil {
				return err
			}
			if from := string(f.decision.From); from != "" && !slices.Contains(stepNames(), from) {
				return usageError{fmt.Errorf("--from %q: use %s", from, oneOf(stepNames()))}
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
			return a.with("file "+string(action), func(ops operations) error {
				if bulk {
					return a.decideAll(cmd.Context(), ops, f, filter)
				}
				return a.decideEach(cmd.Context(), ops, f, args)
			})
		},
	}
	f.register(a, cmd)
	return cmd
}

func (f *decideFlags) register(a *app, cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.decision.Reason, "reason", "", "why; it goes into the file's history")
	if f.action == admin.Retry {
		flags.StringVar((*string)(&f.decision.From), "from", "", "`STEP` to resume from: "+oneOf(stepNames())+" (default the failed step)")
		complete(cmd, "from", stepNames()...)
	}
	if f.action == admin.Renotify || f.action == admin.Reprocess {
		return
	}
	f.selected.register(a, cmd, "seen-from", "seen-to")
	flags.BoolVar(&f.all, "all", false, "all files in error")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only count the files")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
}

// decideResult is what became of one file as JSON.
type decideResult struct {
	Action admin.Action `json:"action"`
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
func (a *app) decideEach(ctx context.Context, ops operations, f decideFlags, uuids []string) (worst error) {
	rows := a.newList("UUID", "RESULT", "PATH")
	for _, uuid := range uuids {
		if ctx.Err() != nil {
			break
		}
		file, err := ops.Decide(ctx, uuid, f.action, f.decision)
		result := decideResult{Action: f.action, FileUUID: cmp.Or(file.UUID, uuid), RemotePath: safe(file.RemotePath), Done: err == nil}
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

// bulkResult is a decision on many files as JSON.
type bulkResult struct {
	Matched   int64         `json:"matched"`
	Done      int64         `json:"done"`
	Failed    int64         `json:"failed"`
	Remaining int64         `json:"remaining"`
	Failures  []bulkFailure `json:"failures"`
	DryRun    bool          `json:"dry_run"`
}

type bulkFailure struct {
	FileUUID string `json:"file_uuid"`
	Message  string `json:"message"`
}

// decideAll counts, asks, and decides on as many files as were counted, in
// several requests where they are many.
func (a *app) decideAll(ctx context.Context, ops operations, f decideFlags, filter ingest.FileFilter) error {
	req := admin.BulkRequest{Filter: filter, Action: f.action, Decision: f.decision, DryRun: true}
	counted, err := ops.DecideAll(ctx, req)
	if err != nil {
		return err
	}
	result := bulkResult{Matched: counted.Matched, Remaining: counted.Matched, Failures: []bulkFailure{}, DryRun: f.dryRun}
	if f.dryRun || counted.Matched == 0 {
		return a.printBulk(f.action, result)
	}
	if err := a.confirm(fmt.Sprintf("%s %d file(s) in error", f.action, counted.Matched), f.yes); err != nil {
		return err
	}
	// What was asked about is what is done: another number is refused.
	req.DryRun, req.Expected = false, &counted.Matched
	for {
		batch, err := ops.DecideAll(ctx, req)
		if err != nil && result.Done+result.Failed == 0 {
			return err
		}
		if err == nil {
			result.add(batch)
			err = batch.Err
		}
		if err != nil || batch.Next == "" || batch.Done+batch.Failed == 0 {
			return errors.Join(a.printBulk(f.action, result), err, result.err(f.action))
		}
		req.Expected, req.Cursor = nil, batch.Next
	}
}

// add counts a further request. One that was cut short may count files again
// that the next one finds decided on.
func (r *bulkResult) add(batch admin.BulkResult) {
	r.Done, r.Failed, r.Remaining = min(r.Done+batch.Done, r.Matched), r.Failed+batch.Failed, batch.Remaining
	for _, failure := range batch.Failures {
		r.Failures = append(r.Failures, bulkFailure(failure))
	}
}

func (r *bulkResult) err(action admin.Action) error {
	if r.Failed+r.Remaining == 0 {
		return nil
	}
	return ingest.Errorf(ingest.KindConflict, "%s was refused for %d file(s), %d more were left alone: `stevedore file show` says how each stands",
		action, r.Failed, r.Remaining)
}

func (a *app) printBulk(action admin.Action, r bulkResult) error {
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

// actor names who gives the command, for the ledger.
func actor() string {
	if current, err := user.Current(); err == nil {
		return "cli:" + ingest.SafeName(current.Username)
	}
	return "cli"
}

const bulkLong = `

With filters instead of uuids it is for all files in error that fit: they are
counted first, and on a terminal it asks. --dry-run only counts.`

func (a *app) decideCommands() []*cobra.Command {
	return []*cobra.Command{
		a.decideCommand(admin.Retry, "Try files in error again",
			"Sends files that wait in error on their way again, from the step that failed\nor an earlier one. A uuid may be given by its beginning."+bulkLong,
			"  stevedore file retry 0ab5fe59 --reason 'the bucket is back'\n  stevedore file retry --server acme --path '**/*.csv' --dry-run"),
		a.decideCommand(admin.Skip, "Give files in error up",
			"Ends files that wait in error as skipped: they are not fetched again unless\nthe partner changes them. A uuid may be given by its beginning."+bulkLong,
			"  stevedore file skip 0ab5fe59 --reason 'sent by mistake'\n  stevedore file skip --server acme --seen-to 2026-01-01 --yes"),
		a.decideCommand(admin.Renotify, "Announce files again",
			"Announces completed files once more, with the message id they had. A uuid may\nbe given by its beginning.",
			"  stevedore file renotify 0ab5fe59 --reason 'the consumer lost it'"),
		a.decideCommand(admin.Reprocess, "Ingest completed files again",
			"Fetches completed files from their sources again whose objects are lost, under\nthe same key, and announces them with the message id they had. Refused while the\nobject is there, and when the source is gone or changed.",
			"  stevedore file reprocess 0ab5fe59 --reason 'the bucket was emptied'"),
	}
}

package wiring

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stevedore/internal/ingest"
)

// SetupStep is a step of Setup. It may be repeated and then changes nothing.
type SetupStep struct {
	// Name is the part that the step sets up, such as "database".
	Name string
	// Run sets up the part and returns a short description of the changes.
	Run func(ctx context.Context) (done string, err error)
	// Needs names an earlier step. If that fails, this one is skipped. Empty means none.
	Needs string
}

// StepReport is the result of a step.
type StepReport struct {
	Name string
	// Done is a short description of the changes; empty on failure.
	Done string
	// Err is the failure, or the reason for which the step was skipped.
	Err error
	// Skipped: the step did not run, because a step that it needs failed.
	Skipped bool
}

// SetupError lists failed steps.
type SetupError struct {
	// Failed has the reports of failed steps, without skipped ones.
	Failed []StepReport
	// Total is the number of steps.
	Total int
}

// Error returns the name and message of each failed step, on one line.
func (e *SetupError) Error() string {
	if len(e.Failed) == 1 {
		return fmt.Sprintf("%s: %s", e.Failed[0].Name, ingest.Message(e.Failed[0].Err))
	}
	text := fmt.Sprintf("%d of %d setup steps failed:", len(e.Failed), e.Total)
	for i, failed := range e.Failed {
		text += fmt.Sprintf(" (%d) %s: %s", i+1, failed.Name, ingest.Message(failed.Err))
	}
	return text
}

// Unwrap returns the errors of the failed steps.
func (e *SetupError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, failed := range e.Failed {
		errs[i] = failed.Err
	}
	return errs
}

// StepDatabase is the name of the step that migrates the schema.
const StepDatabase = "database"

// Setup runs all steps, or only the named ones, and calls report for each. A failed step
// does not prevent steps that do not need it. If any failed, Setup returns an error with
// a *SetupError in its chain. It may be repeated.
func (p *Parts) Setup(ctx context.Context, report func(StepReport), only ...string) error {
	return setUp(ctx, p.steps(), report, only...)
}

func setUp(ctx context.Context, steps []SetupStep, report func(StepReport), only ...string) error {
	failed := &SetupError{Total: len(steps)}
	broken := map[string]bool{}
	for _, step := range steps {
		if len(only) > 0 && !slices.Contains(only, step.Name) {
			continue
		}
		if step.Needs != "" && broken[step.Needs] {
			broken[step.Name] = true
			report(StepReport{Name: step.Name, Skipped: true, Err: fmt.Errorf("needs the %s", step.Needs)})
			continue
		}
		done, err := step.Run(ctx)
		outcome := StepReport{Name: step.Name, Done: done, Err: err}
		if err != nil {
			outcome.Done = ""
			broken[step.Name] = true
			failed.Failed = append(failed.Failed, outcome)
		}
		report(outcome)
		if ctx.Err() != nil {
			return errors.Join(failed, ctx.Err())
		}
	}
	if len(failed.Failed) > 0 {
		return ingest.Wrap(setupKind(failed), failed, "%s", failed)
	}
	return nil
}

// setupKind returns the kind of the first permanent failure, otherwise KindTransient.
func setupKind(e *SetupError) ingest.Kind {
	for _, failed := range e.Failed {
		if kind := ingest.KindOf(failed.Err); kind.Permanent() {
			return kind
		}
	}
	return ingest.KindTransient
}

package wiring

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"stevedore/internal/ingest"
)

// Step is one part of setting stevedore up. Doing it again changes nothing.
type Step struct {
	// Name is what is set up, e.g. "database".
	Name string
	// Run returns what it did or found, as a short phrase.
	Run func(ctx context.Context) (done string, err error)
	// Needs names an earlier step; without its success this one is left out.
	Needs string
}

// StepReport is what became of a step.
type StepReport struct {
	Name string
	// Done says what was done or found; empty on failure.
	Done string
	// Err is why it failed; Skipped says that it was left out because of
	// another step's failure.
	Err     error
	Skipped bool
}

// SetupError says which steps failed.
type SetupError struct {
	// Failed holds the failed steps' reports, those left out not included.
	Failed []StepReport
	// Total is how many steps there are.
	Total int
}

// Error names each failure on one line.
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

// Unwrap returns the causes.
func (e *SetupError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, failed := range e.Failed {
		errs[i] = failed.Err
	}
	return errs
}

// StepDatabase is the name of the step that migrates the schema.
const StepDatabase = "database"

// Setup runs all steps, or only the named ones, whose needs succeeded. It calls report
// for each and returns an error around a *SetupError when any failed. It may be repeated.
func (p *Parts) Setup(ctx context.Context, report func(StepReport), only ...string) error {
	return setUp(ctx, p.steps(), report, only...)
}

func setUp(ctx context.Context, steps []Step, report func(StepReport), only ...string) error {
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

// setupKind is permanent as soon as one failure is.
func setupKind(e *SetupError) ingest.Kind {
	for _, failed := range e.Failed {
		if kind := ingest.KindOf(failed.Err); kind.Permanent() {
			return kind
		}
	}
	return ingest.KindTransient
}

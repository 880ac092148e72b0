package worker

import (
	"context"

	"stevedore/internal/operations"
)

// checks returns the checks of the parts that only this worker can report on.
func (w *adapters) checks() []operations.Check {
	return []operations.Check{
		{Part: operations.PartPostgres, Run: w.store.Ping},
		{Part: "staging", Run: func(context.Context) error { return w.staging.Check() }},
	}
}

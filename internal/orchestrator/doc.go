// Package orchestrator has every call to Temporal from outside a workflow: it connects,
// starts, signals, updates and describes workflows, and sets up schedules and search
// attributes. Its errors have an ingest.Kind.
package orchestrator

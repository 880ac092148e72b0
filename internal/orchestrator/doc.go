// Package orchestrator is everything that speaks to Temporal from outside a workflow:
// connecting, starting, signalling, updating and describing workflows, schedules and
// search attributes. Its errors have kinds.
package orchestrator

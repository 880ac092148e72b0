// Package wiring opens the service's adapters from the configuration, each on first use,
// for the API, the commands of the service and audits. It also sets up what adapters need:
// schema, keyset, bucket, queue, search attributes and schedules. A worker opens the
// adapters of its activities itself, all at its start, with the same configuration.
package wiring

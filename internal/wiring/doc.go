// Package wiring opens the service's adapters from the configuration, for every process,
// and sets up what they need: schema, keyset, bucket, queue, search attributes and
// schedules.
package wiring

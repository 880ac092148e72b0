// Package wiring opens the parts of the service from the configuration, once for every
// process, and prepares them: schema, keyset, bucket, queue, search attributes and
// schedules.
package wiring

// Package worker runs the worker process: it connects the adapters to the
// activities, registers workflows and activities, and polls the shared task queue
// and the queues of its own host.
//
// register.go lists the activities of each queue, adapters.go opens the adapters.
package worker

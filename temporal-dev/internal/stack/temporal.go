package stack

import (
	"context"
	"path/filepath"
	"strconv"

	"stevedore/temporal-dev/internal/ports"
	"stevedore/temporal-dev/internal/proc"
)

// temporal is the dev server with its Web UI.
func (s *Stack) temporal() part {
	return part{
		name: "temporal",
		prepare: func(context.Context) (proc.Spec, error) {
			return proc.Spec{Path: s.tool("temporal"), Args: s.temporalArgs()}, nil
		},
		ports: []int{s.addr.Temporal, s.addr.UI, s.addr.TemporalMetrics},
		ready: func(ctx context.Context) error {
			return s.command(ctx, nil, s.tool("temporal"), "operator", "namespace", "describe", "-n", "default",
				"--address", ports.Addr(s.addr.Temporal), "--command-timeout", "5s")
		},
	}
}

func (s *Stack) temporalArgs() []string {
	args := []string{
		"server", "start-dev", "--ip", ports.Loopback, "--port", strconv.Itoa(s.addr.Temporal),
		"--ui-port", strconv.Itoa(s.addr.UI), "--metrics-port", strconv.Itoa(s.addr.TemporalMetrics),
		"--db-filename", filepath.Join(s.Dir, "temporal.db"), "--log-level", "error",
	}
	for _, attribute := range searchAttributes {
		args = append(args, "--search-attribute", attribute)
	}
	for _, pragma := range sqlitePragmas {
		args = append(args, "--sqlite-pragma", pragma)
	}
	for _, value := range dynamicConfig {
		args = append(args, "--dynamic-config-value", value)
	}
	return args
}

// sqlitePragmas make Temporal's commits cheap. With a write-ahead log and
// synchronous=NORMAL, SQLite syncs at checkpoints of the log only
// (https://sqlite.org/pragma.html#pragma_synchronous):
//   - A kill -9 of the server loses nothing: its writes are in the page cache.
//   - A power cut can lose the commits since the last checkpoint, at most about
//     1,000 pages. It cannot corrupt the database. Reconcile starts the lost
//     workflows again; see docs/upgrade.md.
var sqlitePragmas = []string{"journal_mode=WAL", "synchronous=NORMAL"}

// searchAttributes are stevedore's search attributes with their types. setup adds
// missing ones, but each service of Temporal caches the attributes of a namespace for
// some seconds, and a workflow task that uses a new one too early fails and is retried
// 10 s later. Attributes that exist from the start avoid that.
var searchAttributes = []string{"StevedoreServer=Keyword", "StevedoreStatus=Keyword", "StevedoreSize=Int"}

// dynamicConfig holds the server's settings for one machine:
//   - The dev server reads search attributes from the database on every request
//     unless told to cache them, see searchAttributes.
//   - One partition per task queue instead of four: tasks match without being
//     forwarded between partitions.
//   - Eager workflow start is on by default in 1.29.1. It is set so that an
//     upgrade cannot silently disable it.
//   - Visibility is updated twice a second instead of 20 times, in larger batches: a
//     workflow that ends within that time, as for a small file, is written once
//     instead of twice.
var dynamicConfig = []string{
	"system.forceSearchAttributesCacheRefreshOnRead=false",
	"matching.numTaskqueueReadPartitions=1",
	"matching.numTaskqueueWritePartitions=1",
	"system.enableEagerWorkflowStart=true",
	"history.visibilityProcessorMaxPollRPS=2",
	"history.visibilityTaskBatchSize=1000",
}

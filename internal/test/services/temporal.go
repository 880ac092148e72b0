package services

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"google.golang.org/protobuf/types/known/durationpb"

	"stevedore/internal/orchestrator"
	"stevedore/internal/temporalnames"
)

// temporalTimeout is long because the server shares the machine with all tests.
const temporalTimeout = 2 * time.Minute

// connection waits longer than the SDK's 5 s for the server's first response. Otherwise
// it equals the product's connection.
var connection = client.ConnectionOptions{GetSystemInfoTimeout: temporalTimeout, GrpcCompression: orchestrator.Compression}

// Temporal connects to the server of TEMPORAL_ADDRESS and returns a task queue for the
// test. Tests share the namespace: workflow ids contain random uuids, so only the queue
// must differ. It skips the test under -short.
func Temporal(t testing.TB) (c client.Client, taskQueue string) {
	t.Helper()
	address := setting(t, "TEMPORAL_ADDRESS")
	ctx, cancel := context.WithTimeout(context.Background(), temporalTimeout)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{
		HostPort: address, Logger: sdklog.NewStructuredLogger(Logger(t)), ConnectionOptions: connection,
	})
	if err != nil {
		t.Fatalf("connect to Temporal at %s: %v", address, err)
	}
	t.Cleanup(c.Close)
	addSearchAttributes(ctx, t, c)
	return c, "test-" + strings.ToLower(rand.Text())
}

// addSearchAttributes adds the search attributes. They may exist, because tests of
// several processes do this concurrently.
func addSearchAttributes(ctx context.Context, t testing.TB, c client.Client) {
	t.Helper()
	retryUntilDone(ctx, t, "add search attributes", func() error {
		_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace: client.DefaultNamespace,
			SearchAttributes: map[string]enumspb.IndexedValueType{
				temporalnames.SearchServer: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
				temporalnames.SearchStatus: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
				temporalnames.SearchSize:   enumspb.INDEXED_VALUE_TYPE_INT,
			},
		})
		if err != nil && strings.Contains(err.Error(), "already exist") {
			return nil
		}
		return err
	})
}

// TemporalNamespace returns a client of a new namespace, for tests of objects that have
// the same id in every installation, such as schedules. It has no search attributes.
func TemporalNamespace(t testing.TB) (c client.Client, namespace string) {
	t.Helper()
	address := setting(t, "TEMPORAL_ADDRESS")
	ctx, cancel := context.WithTimeout(context.Background(), temporalTimeout)
	defer cancel()
	namespace = "test-" + strings.ToLower(rand.Text())
	c, err := client.DialContext(ctx, client.Options{
		HostPort: address, Namespace: namespace, Logger: sdklog.NewStructuredLogger(Logger(t)), ConnectionOptions: connection,
	})
	if err != nil {
		t.Fatalf("connect to Temporal at %s: %v", address, err)
	}
	t.Cleanup(c.Close)
	registerNamespace(ctx, t, c, namespace)
	// The caches of Temporal's services see a new namespace one after another.
	retryUntilDone(ctx, t, "use namespace "+namespace, func() error {
		_, err := c.DescribeTaskQueue(ctx, temporalnames.TaskQueue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
		return err
	})
	return c, namespace
}

func registerNamespace(ctx context.Context, t testing.TB, c client.Client, namespace string) {
	t.Helper()
	retryUntilDone(ctx, t, "register namespace "+namespace, func() error {
		_, err := c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
			Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
		})
		if exists := (*serviceerror.NamespaceAlreadyExists)(nil); errors.As(err, &exists) {
			return nil // a previous attempt succeeded, but its response was lost
		}
		return err
	})
}

// retryUntilDone repeats the call until it succeeds, because a busy server fails requests.
func retryUntilDone(ctx context.Context, t testing.TB, what string, ask func() error) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}

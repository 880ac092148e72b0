package testenv

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

	"stevedore/internal/ingest"
	"stevedore/internal/temporalclient"
)

// temporalPatience is generous: a server that runs beside all tests is slow.
const temporalPatience = 2 * time.Minute

// patient waits for the server's first answer for longer than the SDK's 5 s, and
// is otherwise how the product connects.
var patient = client.ConnectionOptions{GetSystemInfoTimeout: temporalPatience, GrpcCompression: temporalclient.Compression}

// Temporal connects to the server of TEMPORAL_ADDRESS and returns a task queue
// of the test's own. Tests share the namespace: workflow ids hold random
// uuids, so only the queue must differ. It skips the test under -short.
func Temporal(t testing.TB) (c client.Client, taskQueue string) {
	t.Helper()
	address := setting(t, "TEMPORAL_ADDRESS")
	ctx, cancel := context.WithTimeout(context.Background(), temporalPatience)
	defer cancel()
	c, err := client.DialContext(ctx, client.Options{
		HostPort: address, Logger: sdklog.NewStructuredLogger(Logger(t)), ConnectionOptions: patient,
	})
	if err != nil {
		t.Fatalf("connect to Temporal at %s: %v", address, err)
	}
	t.Cleanup(c.Close)
	addSearchAttributes(ctx, t, c)
	return c, "test-" + strings.ToLower(rand.Text())
}

// addSearchAttributes asks again as long as the server is too busy to answer.
// Adding what is there already is fine: tests of several processes race here.
func addSearchAttributes(ctx context.Context, t testing.TB, c client.Client) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace: client.DefaultNamespace,
			SearchAttributes: map[string]enumspb.IndexedValueType{
				ingest.SearchServer: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
				ingest.SearchStatus: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
				ingest.SearchSize:   enumspb.INDEXED_VALUE_TYPE_INT,
			},
		})
		if err == nil || strings.Contains(err.Error(), "already exist") {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("add search attributes: %v", err)
		}
	}
}

// TemporalNamespace returns a client of a namespace of the test's own, for what
// has the same id in every installation, like schedules. It has no search
// attributes yet.
func TemporalNamespace(t testing.TB) (c client.Client, namespace string) {
	t.Helper()
	address := setting(t, "TEMPORAL_ADDRESS")
	ctx, cancel := context.WithTimeout(context.Background(), temporalPatience)
	defer cancel()
	namespace = "test-" + strings.ToLower(rand.Text())
	c, err := client.DialContext(ctx, client.Options{
		HostPort: address, Namespace: namespace, Logger: sdklog.NewStructuredLogger(Logger(t)), ConnectionOptions: patient,
	})
	if err != nil {
		t.Fatalf("connect to Temporal at %s: %v", address, err)
	}
	t.Cleanup(c.Close)
	registerNamespace(ctx, t, c, namespace)
	// Temporal's services learn of a namespace one after another.
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := c.DescribeTaskQueue(ctx, ingest.TaskQueue, enumspb.TASK_QUEUE_TYPE_WORKFLOW)
		if err == nil {
			return c, namespace
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("namespace %s is not usable: %v", namespace, err)
		}
	}
}

// registerNamespace asks again as long as the server is too busy to answer.
func registerNamespace(ctx context.Context, t testing.TB, c client.Client, namespace string) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
			Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
		})
		var exists *serviceerror.NamespaceAlreadyExists // an answer was lost
		if err == nil || errors.As(err, &exists) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("register namespace %s: %v", namespace, err)
		}
	}
}

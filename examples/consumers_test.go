// Package examples_test runs the example consumers against RabbitMQ.
package examples_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"stevedore/internal/amqp"
	"stevedore/internal/ingest"
	"stevedore/internal/test/services"
)

// patience bounds every wait.
const patience = time.Minute

func TestGoConsumer(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "consumer")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./consumer-go").CombinedOutput()
	require.NoError(t, err, string(out))
	requireEachFileOnce(t, program)
}

func TestPythonConsumer(t *testing.T) {
	t.Parallel()
	// Only Debian's interpreter finds Debian's pika.
	requireEachFileOnce(t, "/usr/bin/python3", "consumer-python/consumer.py")
}

// requireEachFileOnce publishes two files, one of them twice, and two messages that no consumer can handle.
// The consumer is killed before the repetition arrives and started again.
func requireEachFileOnce(t *testing.T, command ...string) {
	mq, seen := services.Queue(t), t.TempDir()
	publisher, err := amqp.New(amqp.Config{URL: mq.URL, Queue: mq.Queue, ConfirmTimeout: patience, DialTimeout: patience})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, publisher.Close()) })
	first, second := notification("a.csv"), notification("отчёт.csv")
	publish := func(a ingest.Notification) string {
		receipt, err := publisher.Publish(t.Context(), a)
		require.NoError(t, err)
		return receipt.MessageID
	}

	one := publish(first)
	lines, kill := start(t, mq, seen, command...)
	require.Contains(t, next(t, lines), one+" acme/out/a.csv -> s3://stevedore/")
	kill(syscall.SIGKILL)
	// The broker requeues an unacknowledged delivery when it has noticed the loss of the consumer.
	require.Eventually(t, func() bool {
		queue, err := mq.Channel.QueueDeclarePassive(mq.Queue, true, false, false, false, nil)
		return err == nil && queue.Consumers == 0
	}, patience, 5*time.Millisecond)

	lines, kill = start(t, mq, seen, command...)
	require.Equal(t, one, publish(first))
	for _, body := range []string{"no JSON", `{"id":"` + uuid.NewString() + `","type":"stevedore.file.completed.v2","data":{}}`} {
		require.NoError(t, mq.Channel.PublishWithContext(t.Context(), "", mq.Queue, true, false, amqp091.Publishing{Body: []byte(body)}))
	}
	two := publish(second)
	require.Contains(t, next(t, lines), two+" acme/out/отчёт.csv -> s3://stevedore/")
	kill(syscall.SIGTERM)

	records, err := os.ReadDir(seen)
	require.NoError(t, err)
	require.Len(t, records, 2)

	// A quorum queue returns messages whose acknowledgement or rejection has not reached it when the consumer
	// disconnects. The next consumer settles them.
	for runs := 1; ready(t, mq) > 0; runs++ {
		require.Less(t, runs, 4, "every message is acknowledged or rejected")
		lines, kill = start(t, mq, seen, command...)
		another := publish(notification("b.csv"))
		require.Contains(t, next(t, lines), another)
		kill(syscall.SIGTERM)
	}
}

// ready returns the number of messages that wait for a consumer.
func ready(t *testing.T, mq services.AMQP) int {
	queue, err := mq.Channel.QueueDeclarePassive(mq.Queue, true, false, false, false, nil)
	require.NoError(t, err)
	return queue.Messages
}

func notification(name string) ingest.Notification {
	file := ingest.File{UUID: uuid.NewString(), ServerUUID: uuid.NewString(), RemotePath: "/out/" + name, Filename: name, CreatedAt: time.Now()}
	return ingest.Notification{File: file, ServerName: "acme", Object: ingest.Object{
		Bucket: "stevedore", Key: ingest.ObjectKey(file), Size: 42, SHA256: strings.Repeat("0f", 32),
	}}
}

// start runs the consumer and returns the lines that it prints. kill ends it with the signal and waits;
// with SIGTERM the consumer must succeed.
func start(t *testing.T, mq services.AMQP, seen string, command ...string) (lines <-chan string, kill func(os.Signal)) {
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "AMQP_URL="+mq.URL, "QUEUE="+mq.Queue, "SEEN_DIR="+seen)
	cmd.Stderr = t.Output()
	reader, writer := io.Pipe()
	cmd.Stdout = writer
	require.NoError(t, cmd.Start())
	printed := make(chan string, 10)
	go func() {
		defer close(printed)
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			printed <- scanner.Text()
		}
	}()
	return printed, func(signal os.Signal) {
		require.NoError(t, cmd.Process.Signal(signal))
		err := cmd.Wait()
		_ = writer.Close()
		if signal == syscall.SIGTERM {
			require.NoError(t, err)
		}
		require.Empty(t, printed, "no file is handled twice")
	}
}

func next(t *testing.T, lines <-chan string) string {
	select {
	case line, ok := <-lines:
		require.True(t, ok, "the consumer has ended")
		return line
	case <-time.After(patience):
		t.Fatal("the consumer printed nothing")
		return ""
	}
}

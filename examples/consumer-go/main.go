// Command consumer-go reads stevedore's notifications from RabbitMQ and handles each file once.
//
// It reads AMQP_URL, QUEUE and SEEN_DIR from the environment, and ends on SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

// eventType names the format of the data. A consumer rejects types that it does not support.
const eventType = "stevedore.file.completed.v1"

// prefetch is the number of notifications that the broker sends before it waits for acknowledgements.
const prefetch = 10

// event holds the fields of the CloudEvent that this consumer uses; others are ignored.
type event struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	Data struct {
		Server    string `json:"server"`
		Path      string `json:"path"`
		Bucket    string `json:"bucket"`
		Key       string `json:"key"`
		SizeBytes int64  `json:"size_bytes"`
		SHA256    string `json:"sha256"`
	} `json:"data"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Getenv("AMQP_URL"), os.Getenv("QUEUE"), os.Getenv("SEEN_DIR")); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, queue, seen string) error {
	conn, err := amqp.Dial(url)
	if err != nil {
		return fmt.Errorf("connect to the broker: %w", err)
	}
	defer func() { _ = conn.Close() }()
	channel, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	deliveries, err := channel.ConsumeWithContext(ctx, queue, "", false, false, false, false, nil)
	if err != nil {
		return fmt.Errorf("consume queue %s: %w", queue, err)
	}
	for d := range deliveries {
		if err := consume(d, seen); err != nil {
			return err
		}
	}
	if ctx.Err() == nil {
		return errors.New("the broker closed the connection")
	}
	return nil
}

// consume handles one delivery and acknowledges it after its work is stored. A message that can never be
// handled is rejected without requeueing, so that it does not block the queue.
func consume(d amqp.Delivery, seen string) error {
	var e event
	if err := json.Unmarshal(d.Body, &e); err != nil || e.Type != eventType || uuid.Validate(e.ID) != nil {
		log.Printf("rejected a message that is not a %s", eventType)
		return d.Reject(false)
	}
	// The broker may deliver a notification again with the same id. Store the id in the same transaction
	// as the work; here a file stands for both.
	record := filepath.Join(seen, e.ID)
	if _, err := os.Stat(record); err == nil {
		return d.Ack(false)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err // ends without an acknowledgement: the broker delivers the message again
	}
	if err := os.WriteFile(record, d.Body, 0o600); err != nil {
		return err
	}
	if err := d.Ack(false); err != nil {
		return err
	}
	fmt.Printf("%s %s%s -> s3://%s/%s, %d bytes, sha256 %s\n",
		e.ID, e.Data.Server, e.Data.Path, e.Data.Bucket, e.Data.Key, e.Data.SizeBytes, e.Data.SHA256)
	return nil
}

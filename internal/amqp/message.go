package amqp

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/google/uuid"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"stevedore/internal/ingest"
)

const (
	// EventType is the CloudEvents type of a notification and the AMQP message type.
	// An incompatible change of the data gets another number.
	EventType = "stevedore.file.completed.v1"
	// ContentType is the type of a CloudEvent in structured mode.
	ContentType = event.ApplicationCloudEventsJSON
	// sourcePrefix precedes the server's uuid in the CloudEvents source. Consumers may
	// compare source and id, so the source must survive a rename of the server.
	sourcePrefix = "stevedore/"
	appID        = "stevedore"
)

// messageNamespace is the UUID namespace of message ids. It never changes, because
// consumers use the ids to detect duplicates.
var messageNamespace = uuid.MustParse("7d0b6a3c-52f1-4e0e-9a64-3f1f6a1c8e27")

// MessageID returns the id of a file's notification, the same for each
// publication: the UUIDv5 of the file's uuid in the namespace
// 7d0b6a3c-52f1-4e0e-9a64-3f1f6a1c8e27.
func MessageID(fileUUID string) string {
	if id, err := uuid.Parse(fileUUID); err == nil {
		fileUUID = id.String()
	}
	return uuid.NewSHA1(messageNamespace, []byte(fileUUID)).String()
}

// data is the payload of a notification. Consumers read these names;
// api/notification.schema.json documents them, and schema_test.go compares both.
type data struct {
	FileUUID   string `json:"file_uuid"`
	Server     string `json:"server"`
	ServerUUID string `json:"server_uuid"`
	// Path is escaped for display. PathBase64 contains the raw bytes; it is only
	// present when they differ from Path.
	Path       string    `json:"path"`
	PathBase64 []byte    `json:"path_base64,omitempty"`
	Filename   string    `json:"filename"`
	Bucket     string    `json:"bucket"`
	Key        string    `json:"key"`
	SizeBytes  int64     `json:"size_bytes"`
	SHA256     string    `json:"sha256"`
	ModTime    time.Time `json:"mtime"`
}

func dataOf(a ingest.Notification) data {
	d := data{
		FileUUID: a.File.UUID, Server: a.ServerName, ServerUUID: a.File.ServerUUID,
		Path: ingest.DisplayPath(a.File.RemotePath), Filename: ingest.DisplayPath(a.File.Filename),
		Bucket: a.Object.Bucket, Key: a.Object.Key,
		SizeBytes: a.Object.Size, SHA256: a.Object.SHA256, ModTime: a.File.ModTime.UTC(),
	}
	if d.Path != a.File.RemotePath {
		d.PathBase64 = []byte(a.File.RemotePath)
	}
	return d
}

// message returns the message of a notification. It depends only on the file, so that
// duplicates are identical, except for the name of a server that was renamed meanwhile.
// Its time is therefore the creation time of the ledger row.
func message(a ingest.Notification) (amqp091.Publishing, error) {
	id := MessageID(a.File.UUID)
	e := event.New()
	e.SetID(id)
	e.SetType(EventType)
	e.SetSource(sourcePrefix + a.File.ServerUUID)
	e.SetSubject(a.Object.Key)
	e.SetTime(a.File.CreatedAt.UTC())
	if err := e.SetData(event.ApplicationJSON, dataOf(a)); err != nil {
		return amqp091.Publishing{}, fmt.Errorf("encode notification of file %s: %w", a.File.UUID, err)
	}
	if err := e.Validate(); err != nil {
		return amqp091.Publishing{}, ingest.Wrap(ingest.KindInvalid, err, "notification of file %s cannot be encoded", a.File.UUID)
	}
	body, err := json.Marshal(e)
	if err != nil {
		return amqp091.Publishing{}, fmt.Errorf("encode notification of file %s: %w", a.File.UUID, err)
	}
	return amqp091.Publishing{
		ContentType: ContentType, DeliveryMode: amqp091.Persistent, MessageId: id, Type: EventType,
		AppId: appID, Timestamp: a.File.CreatedAt.UTC(), Body: body,
	}, nil
}

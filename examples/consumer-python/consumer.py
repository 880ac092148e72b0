"""Reads stevedore's notifications from RabbitMQ and handles each file once.

Needs pika (Debian: python3-pika). Reads AMQP_URL, QUEUE and SEEN_DIR from the environment, and ends on SIGTERM.
"""
import json
import os
import pathlib
import signal
import sys
import uuid

import pika

# Names the format of the data. A consumer rejects types that it does not support.
EVENT_TYPE = "stevedore.file.completed.v1"
# The number of notifications that the broker sends before it waits for acknowledgements.
PREFETCH = 10

seen = pathlib.Path(os.environ["SEEN_DIR"])


def parse(body):
    """Returns the event, or None for a message that this consumer cannot handle."""
    try:
        event = json.loads(body)
        uuid.UUID(event["id"])
        return event if event["type"] == EVENT_TYPE else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def consume(channel, method, _properties, body):
    event = parse(body)
    if event is None:
        print(f"rejected a message that is not a {EVENT_TYPE}", file=sys.stderr)
        channel.basic_reject(method.delivery_tag, requeue=False)
        return
    # The broker may deliver a notification again with the same id. Store the id in the same transaction
    # as the work; here a file stands for both.
    record = seen / event["id"]
    known = record.exists()
    if not known:
        record.write_bytes(body)
    channel.basic_ack(method.delivery_tag)
    if not known:
        data = event["data"]
        print(f"{event['id']} {data['server']}{data['path']} -> s3://{data['bucket']}/{data['key']}, "
              f"{data['size_bytes']} bytes, sha256 {data['sha256']}", flush=True)


def main():
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"]))
    channel = connection.channel()
    channel.basic_qos(prefetch_count=PREFETCH)
    channel.basic_consume(os.environ["QUEUE"], consume)
    signal.signal(signal.SIGTERM, lambda *_: connection.add_callback_threadsafe(channel.stop_consuming))
    channel.start_consuming()
    connection.close()


if __name__ == "__main__":
    main()

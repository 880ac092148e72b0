package sftp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// wire multiplexes the SFTP client (package pkg/sftp) and our own requests on the SFTP
// channel. Our requests, with ids that the client does not reach, read folders and
// attributes, because the client
//
//   - shortens names to their last element, so that a hostile "x/.." looks like "..",
//   - drops the attribute flags, and
//   - ends the connection at a reply of more than 256 KiB, which many servers send.
type wire struct {
	source *bufio.Reader
	sink   io.WriteCloser

	// header is the unread rest of a packet's header and bodyLeft the number of unread
	// bytes of its body. Only the client's reading goroutine uses them.
	header   []byte
	bodyLeft int
	// started is set by the first packet.
	started bool

	// partial is an incomplete packet that the client has written; writing guards it.
	writing sync.Mutex
	partial []byte

	mu      sync.Mutex
	waiting map[uint32]chan<- reply
	lastID  uint32
	ended   error
	// confirmable are the ids of the client's pending requests to which OK is a valid
	// reply.
	confirmable map[uint32]bool
}

// reply is the answer to a request.
type reply struct {
	kind byte
	body fields // without the id
	err  error
}

const (
	// firstID is the first id of our requests; the client counts up from 1.
	firstID = 1 << 31
	// maxPacketBytes is the client's limit.
	maxPacketBytes = 256 << 10
	// maxNamesBytes bounds a NAME reply; some servers send 1 MB.
	maxNamesBytes = 8 << 20
	// maxSkippedBytes bounds a too large reply that is skipped to keep the connection.
	maxSkippedBytes = 64 << 20
	// headerBytes is the length of the header: packet length, type and request id.
	headerBytes = 9
)

var errPacketTooLarge = errors.New("the server sent more than 8 MiB in one reply")

func newWire(source io.Reader, sink io.WriteCloser) *wire {
	return &wire{
		source: bufio.NewReader(source), sink: sink, lastID: firstID,
		waiting: make(map[uint32]chan<- reply), confirmable: make(map[uint32]bool),
	}
}

// Read implements io.Reader for the client. It dispatches the replies to our requests.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.read(p)
	if err != nil {
		w.end(err)
	}
	return n, err
}

func (w *wire) read(p []byte) (int, error) {
	for {
		switch {
		case len(w.header) > 0:
			n := copy(p, w.header)
			w.header = w.header[n:]
			return n, nil
		case w.bodyLeft > 0:
			n, err := w.source.Read(p[:min(len(p), w.bodyLeft)])
			w.bodyLeft -= n
			return n, err
		}
		if err := w.nextPacket(); err != nil {
			return 0, err
		}
	}
}

// nextPacket reads the header of a packet, and the complete packet if it is a reply to
// our request.
func (w *wire) nextPacket() error {
	header := make([]byte, headerBytes)
	if _, err := io.ReadFull(w.source, header[:4]); err != nil {
		return err
	}
	length := binary.BigEndian.Uint32(header)
	if length < headerBytes-4 { // the rest of the header would never arrive
		return &protocolError{"a malformed packet"}
	}
	if _, err := io.ReadFull(w.source, header[4:]); err != nil {
		return err
	}
	kind := header[4]
	size := int(length) - (headerBytes - 4)
	waiter, confirmable := w.takeWaiter(binary.BigEndian.Uint32(header[5:]))
	if waiter == nil {
		switch {
		case length <= maxPacketBytes:
		case w.started:
			return &protocolError{"a packet of more than 256 KiB"}
		default:
			return w.notSFTP(header)
		}
		w.header, w.bodyLeft, w.started = header, size, true
		switch {
		case kind == packetData && size == 4:
			return w.replaceIfZero("empty DATA reply")
		case kind == packetStatus && size >= 4 && !confirmable:
			return w.replaceIfZero("OK without data")
		}
		return nil
	}
	body, err := w.body(kind, size)
	waiter <- reply{kind: kind, body: body, err: err}
	if errors.Is(err, errPacketTooLarge) { // it was skipped
		return nil
	}
	return err
}

// maxShownBytes bounds the shown bytes of a stream that is not SFTP.
const maxShownBytes = 80

// protocolError is the end of a connection because of what the server sent.
type protocolError struct{ sent string }

func (e *protocolError) Error() string { return "the server sent " + e.sent }

// notSFTP returns the error for a stream that is not SFTP, with its beginning.
func (w *wire) notSFTP(header []byte) error {
	rest, _ := w.source.Peek(min(w.source.Buffered(), maxShownBytes)) // what has arrived
	return &protocolError{quoted(string(header)+string(rest)) + " instead of SFTP"}
}

// replaceIfZero replaces a reply to the client by a failure if its first number is zero:
//
//   - an empty DATA reply, because the client would repeat the request for ever; some
//     servers send it at the end of the file,
//   - the status OK where the client needs data: it would use a nil file.
func (w *wire) replaceIfZero(message string) error {
	number := make([]byte, 4)
	if _, err := io.ReadFull(w.source, number); err != nil {
		return err
	}
	w.bodyLeft -= len(number)
	if !bytes.Equal(number, make([]byte, 4)) {
		w.header = append(w.header, number...)
		return nil
	}
	if _, err := io.CopyN(io.Discard, w.source, int64(w.bodyLeft)); err != nil {
		return err
	}
	w.bodyLeft = 0
	w.header[4] = packetStatus
	w.header = binary.BigEndian.AppendUint32(w.header, statusFailure)
	w.header = append(binary.BigEndian.AppendUint32(w.header, uint32(len(message))), message...)
	w.header = binary.BigEndian.AppendUint32(w.header, 0) // no language
	binary.BigEndian.PutUint32(w.header, uint32(len(w.header)-4))
	return nil
}

// body reads the rest of a packet. It allocates memory as bytes arrive, not by the length
// in the header.
func (w *wire) body(kind byte, size int) (fields, error) {
	limit := maxPacketBytes
	if kind == packetName {
		limit = maxNamesBytes
	}
	if size > maxSkippedBytes {
		return nil, &protocolError{"more than 64 MiB in one reply"}
	}
	if size > limit {
		if _, err := io.CopyN(io.Discard, w.source, int64(size)); err != nil {
			return nil, err
		}
		return nil, errPacketTooLarge
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, w.source, int64(size)); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// takeWaiter removes and returns the channel for the reply to our request; nil if the
// request is the client's. Then confirmable reports whether OK is a valid reply.
func (w *wire) takeWaiter(id uint32) (waiter chan<- reply, confirmable bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiter, confirmable = w.waiting[id], w.confirmable[id]
	delete(w.waiting, id)
	delete(w.confirmable, id)
	return waiter, confirmable
}

// end fails all pending and future requests.
func (w *wire) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended == nil {
		w.ended = fmt.Errorf("the connection has ended: %w", withoutEOF(err))
	}
	for id, waiter := range w.waiting {
		waiter <- reply{err: w.ended}
		delete(w.waiting, id)
	}
}

// lossCause returns the protocol error that ended the connection as a suffix for a message.
func (w *wire) lossCause() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cause, ok := errors.AsType[*protocolError](w.ended); ok {
		return ": " + cause.Error()
	}
	return ""
}

// Write implements io.Writer for the client. It forwards only complete packets, so that
// ours can be sent in between.
func (w *wire) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	w.partial = append(w.partial, p...)
	for len(w.partial) >= 4 {
		size := 4 + int(binary.BigEndian.Uint32(w.partial))
		if len(w.partial) < size {
			break
		}
		w.noteConfirmable(w.partial[:size])
		if _, err := w.sink.Write(w.partial[:size]); err != nil {
			return 0, err
		}
		w.partial = append(w.partial[:0], w.partial[size:]...)
	}
	return len(p), nil
}

// noteConfirmable records the client's request if OK is a valid reply to it.
func (w *wire) noteConfirmable(packet []byte) {
	if len(packet) < headerBytes {
		return
	}
	switch packet[4] {
	case packetClose, packetRemove, packetRmdir, packetRename:
		w.mu.Lock()
		defer w.mu.Unlock()
		w.confirmable[binary.BigEndian.Uint32(packet[5:])] = true
	}
}

// Close implements io.Closer for the client.
func (w *wire) Close() error {
	w.end(errors.New("closed by the client"))
	return w.sink.Close()
}

// request sends a request with string parameters and waits for the reply. A status other
// than OK is an error. Only the end of the connection ends the wait.
func (w *wire) request(kind byte, parameters ...string) (reply, error) {
	answer := make(chan reply, 1)
	id, err := w.register(answer)
	if err != nil {
		return reply{}, err
	}
	body := binary.BigEndian.AppendUint32([]byte{kind}, id)
	for _, parameter := range parameters {
		body = binary.BigEndian.AppendUint32(body, uint32(len(parameter)))
		body = append(body, parameter...)
	}
	if err := w.send(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil {
		w.end(err)
	}
	r := <-answer
	switch {
	case r.err != nil:
		return reply{}, r.err
	case r.kind == packetStatus:
		return r, r.body.status()
	}
	return r, nil
}

func (w *wire) register(answer chan<- reply) (id uint32, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended != nil {
		return 0, w.ended
	}
	if w.lastID++; w.lastID < firstID {
		w.lastID = firstID
	}
	w.waiting[w.lastID] = answer
	return w.lastID, nil
}

func (w *wire) send(packet []byte) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	_, err := w.sink.Write(packet)
	return err
}

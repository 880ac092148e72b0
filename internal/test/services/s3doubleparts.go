package services

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// doubleUpload is an unfinished multipart upload.
type doubleUpload struct {
	id, key   string
	metadata  http.Header
	checksums bool
	begun     time.Time

	mu       sync.Mutex
	parts    map[int]*doublePart
	received int64 // bytes, without repeated parts
	partSize int64 // size of the first part received; only the last part may be smaller
}

// doublePart is a stored part.
type doublePart struct {
	size int64
	off  int64
	sum  [sha256.Size]byte
	body []byte // nil if not kept
}

// etag is not an MD5, as in encrypted buckets of S3. Computing MD5 would dominate the
// run time.
func (p *doublePart) etag() string     { return hex.EncodeToString(p.sum[:16]) }
func (p *doublePart) checksum() string { return base64.StdEncoding.EncodeToString(p.sum[:]) }

func (d *S3Double) begin(w http.ResponseWriter, r *http.Request, key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun++
	up := &doubleUpload{
		id: fmt.Sprintf("upload-%06d", d.begun), key: key, metadata: metadataOf(r.Header), begun: time.Now(),
		checksums: r.Header.Get("X-Amz-Checksum-Algorithm") == "SHA256", parts: map[int]*doublePart{},
	}
	d.uploads[up.id] = up
	answer(w, doubleBegun{Bucket: d.S3.Bucket, Key: key, UploadID: up.id})
}

func (d *S3Double) putPart(w http.ResponseWriter, r *http.Request, up *doubleUpload) {
	number, err := strconv.Atoi(r.URL.Query().Get("partNumber"))
	if err != nil || number < 1 || number > 10_000 || r.ContentLength < 0 {
		fail(w, http.StatusBadRequest, "InvalidArgument")
		return
	}
	part, err := d.receive(r, up, number)
	if errors.Is(err, errCut) {
		fail(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	code := mismatch(r.Header, part.sum[:])
	if code == "" && err != nil {
		code = "InvalidPartContent"
	}
	if code != "" {
		if up.key != probeKey {
			d.addError("part %d of upload %s: %s %v", number, up.id, code, err)
		}
		fail(w, http.StatusBadRequest, code)
		return
	}
	up.mu.Lock()
	if up.parts[number] == nil {
		up.received += part.size
	}
	up.parts[number] = part
	d.received.Store(max(d.received.Load(), up.received))
	up.mu.Unlock()
	w.Header().Set("ETag", quoted(part.etag()))
	if up.checksums {
		w.Header().Set(sha256Header, part.checksum())
	}
}

// errCut is returned when the body ends early.
var errCut = errors.New("the body ended early")

// buffers holds pairs of buffers, to read bodies and to compare them.
var buffers = sync.Pool{New: func() any { return new([2][256 << 10]byte) }}

// receive reads a part and compares or keeps its bytes.
func (d *S3Double) receive(r *http.Request, up *doubleUpload, number int) (*doublePart, error) {
	part := &doublePart{size: r.ContentLength, off: up.offset(number, r.ContentLength, d.content)}
	sum, scratch := sha256.New(), buffers.Get().(*[2][256 << 10]byte)
	defer buffers.Put(scratch)
	var kept bytes.Buffer
	var mismatch error
	for at := int64(0); at < part.size; {
		piece := scratch[0][:min(int64(len(scratch[0])), part.size-at)]
		if _, err := io.ReadFull(r.Body, piece); err != nil {
			return part, errCut
		}
		sum.Write(piece)
		if d.content == nil || up.key == probeKey {
			kept.Write(piece)
		} else if mismatch == nil {
			mismatch = d.content.Check(piece, part.off+at, scratch[1][:])
		}
		at += int64(len(piece))
	}
	sum.Sum(part.sum[:0])
	part.body = kept.Bytes()
	return part, mismatch
}

// probeKey is the key with which stevedore probes the features of a store. Its content
// is arbitrary.
const probeKey = "stevedore-probe"

// offset returns the position of a part in its file: all parts but the last have the
// same size.
func (up *doubleUpload) offset(number int, size int64, content *Pattern) int64 {
	up.mu.Lock()
	defer up.mu.Unlock()
	if up.partSize == 0 {
		up.partSize = size
	}
	if content != nil && size < up.partSize {
		return content.Size() - size
	}
	return int64(number-1) * up.partSize
}

func (d *S3Double) listParts(w http.ResponseWriter, r *http.Request, up *doubleUpload) {
	marker, _ := strconv.Atoi(r.URL.Query().Get("part-number-marker"))
	most, _ := strconv.Atoi(r.URL.Query().Get("max-parts"))
	up.mu.Lock()
	defer up.mu.Unlock()
	list := doubleParts{Bucket: d.S3.Bucket, Key: up.key, UploadID: up.id}
	if up.checksums {
		list.ChecksumAlgorithm = "SHA256"
	}
	for _, number := range up.numbers() {
		if number <= marker {
			continue
		}
		if len(list.Part) == most {
			list.IsTruncated = true
			break
		}
		part := up.parts[number]
		entry := doublePartEntry{PartNumber: number, ETag: quoted(part.etag()), Size: part.size, LastModified: time.Now().UTC().Format(time.RFC3339)}
		if up.checksums {
			entry.ChecksumSHA256 = part.checksum()
		}
		list.Part, list.NextPartNumberMarker = append(list.Part, entry), number
	}
	answer(w, list)
}

func (up *doubleUpload) numbers() (numbers []int) {
	for number := range up.parts {
		numbers = append(numbers, number)
	}
	slices.Sort(numbers)
	return numbers
}

func (d *S3Double) complete(w http.ResponseWriter, r *http.Request, up *doubleUpload) {
	var list doubleList
	if err := xml.NewDecoder(r.Body).Decode(&list); err != nil {
		fail(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	object, code := d.assemble(up, list.Part)
	if code != "" {
		fail(w, http.StatusBadRequest, code)
		return
	}
	if !d.create(up.key, object, r.Header) {
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	d.mu.Lock()
	delete(d.uploads, up.id)
	d.mu.Unlock()
	answer(w, doubleCompleted{Bucket: d.S3.Bucket, Key: up.key, ETag: quoted(object.etag), ChecksumSHA256: object.checksum})
}

// assemble builds an object of the listed parts, or returns an S3 error code.
func (d *S3Double) assemble(up *doubleUpload, list []doublePartEntry) (*doubleObject, string) {
	up.mu.Lock()
	defer up.mu.Unlock()
	object := &doubleObject{metadata: up.metadata}
	sums, etags, last := sha256.New(), sha256.New(), 0
	for i, entry := range list {
		part := up.parts[entry.PartNumber]
		switch {
		case entry.PartNumber <= last:
			return nil, "InvalidPartOrder"
		case part == nil, strings.Trim(entry.ETag, `"`) != part.etag(), up.checksums && entry.ChecksumSHA256 != part.checksum():
			return nil, "InvalidPart"
		case part.size < minPart && i < len(list)-1:
			return nil, "EntityTooSmall"
		case part.body == nil && part.off != object.size:
			d.addError("part %d of upload %s follows %d bytes, but its content belongs at %d", entry.PartNumber, up.id, object.size, part.off)
			return nil, "InvalidPart"
		}
		sums.Write(part.sum[:])
		etags.Write([]byte(part.etag()))
		object.body = append(object.body, part.body...)
		object.size, last = object.size+part.size, entry.PartNumber
	}
	count := "-" + strconv.Itoa(len(list))
	object.etag = hex.EncodeToString(etags.Sum(nil)[:16]) + count
	if up.checksums {
		object.checksum = base64.StdEncoding.EncodeToString(sums.Sum(nil)) + count
	}
	if d.content != nil && up.key != probeKey {
		object.pattern = d.content
		if object.size != d.content.Size() {
			d.addError("upload %s is completed with %d of %d bytes", up.id, object.size, d.content.Size())
		}
	}
	return object, ""
}

func (d *S3Double) listUploads(w http.ResponseWriter, prefix string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := doubleUploads{Bucket: d.S3.Bucket, Prefix: prefix}
	for _, up := range d.uploads {
		if strings.HasPrefix(up.key, prefix) {
			list.Upload = append(list.Upload, doubleUploadEntry{Key: up.key, UploadID: up.id, Initiated: up.begun.UTC().Format(time.RFC3339Nano)})
		}
	}
	slices.SortFunc(list.Upload, func(a, b doubleUploadEntry) int { return strings.Compare(a.Key+a.UploadID, b.Key+b.UploadID) })
	answer(w, list)
}

package services

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the ETag of S3
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object handles requests about an object.
func (d *S3Double) object(w http.ResponseWriter, r *http.Request, key string) {
	switch r.Method {
	case http.MethodPut:
		d.putObject(w, r, key)
	case http.MethodDelete:
		d.mu.Lock()
		delete(d.objects, key)
		d.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		d.getObject(w, r, key)
	}
}

func (d *S3Double) putObject(w http.ResponseWriter, r *http.Request, key string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	sum, etag := sha256.Sum256(body), md5.Sum(body) //nolint:gosec // see the import
	if code := mismatch(r.Header, sum[:]); code != "" {
		fail(w, http.StatusBadRequest, code)
		return
	}
	o := &doubleObject{
		size: int64(len(body)), etag: hex.EncodeToString(etag[:]), checksum: r.Header.Get(sha256Header), metadata: metadataOf(r.Header), body: body,
	}
	if !d.create(key, o, r.Header) {
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	w.Header().Set("ETag", quoted(o.etag))
	w.Header().Set(sha256Header, o.checksum)
}

// create stores the object. It reports false for If-None-Match and an existing object.
func (d *S3Double) create(key string, o *doubleObject, header http.Header) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.objects[key] != nil && header.Get("If-None-Match") == "*" {
		return false
	}
	d.objects[key] = o
	return true
}

// getObject answers GET and HEAD.
func (d *S3Double) getObject(w http.ResponseWriter, r *http.Request, key string) {
	d.mu.Lock()
	o := d.objects[key]
	d.mu.Unlock()
	if o == nil {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	for name, values := range o.metadata {
		w.Header()[name] = values
	}
	w.Header().Set("ETag", quoted(o.etag))
	w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
	w.Header().Set("Content-Length", strconv.FormatInt(o.size, 10))
	if o.checksum != "" && r.Header.Get("X-Amz-Checksum-Mode") != "" {
		w.Header().Set(sha256Header, o.checksum)
	}
	if r.Method == http.MethodHead {
		return
	}
	var body io.Reader = bytes.NewReader(o.body)
	if o.pattern != nil {
		body = io.NewSectionReader(o.pattern, 0, o.size)
	}
	_, _ = io.Copy(w, body) // fails only when the client is gone
}

func (d *S3Double) listObjects(w http.ResponseWriter, prefix string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := doubleObjects{Name: d.S3.Bucket, Prefix: prefix}
	for key, o := range d.objects {
		if strings.HasPrefix(key, prefix) {
			list.Contents = append(list.Contents, doubleEntry{Key: key, Size: o.size, ETag: quoted(o.etag), LastModified: time.Now().UTC().Format(time.RFC3339)})
		}
	}
	slices.SortFunc(list.Contents, func(a, b doubleEntry) int { return strings.Compare(a.Key, b.Key) })
	answer(w, list)
}

// sha256Header is the header of S3's checksum; metadataHeader is the prefix of metadata.
const (
	sha256Header   = "X-Amz-Checksum-Sha256"
	metadataHeader = "X-Amz-Meta-"
)

// mismatch compares a body's SHA-256 with the signed hash and the checksum of the
// request. It returns an S3 error code, or "" if they match.
func mismatch(header http.Header, sum []byte) (code string) {
	signed, checksum := header.Get("X-Amz-Content-Sha256"), header.Get(sha256Header)
	if signed != hex.EncodeToString(sum) && (signed != "UNSIGNED-PAYLOAD" || checksum == "") {
		return "XAmzContentSHA256Mismatch"
	}
	if checksum != "" && checksum != base64.StdEncoding.EncodeToString(sum) {
		return "XAmzContentChecksumMismatch"
	}
	return ""
}

func metadataOf(header http.Header) http.Header {
	kept := http.Header{}
	for name, values := range header {
		if strings.HasPrefix(name, metadataHeader) {
			kept[name] = values
		}
	}
	return kept
}

func quoted(etag string) string { return `"` + etag + `"` }

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/xml")
	_, _ = io.WriteString(w, xml.Header)
	_ = xml.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(doubleError{Code: code, Message: code})
}

type doubleError struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
}

type doubleLocation struct {
	XMLName xml.Name `xml:"LocationConstraint"`
}

type doubleObjects struct {
	XMLName     xml.Name `xml:"ListBucketResult"`
	Name        string
	Prefix      string
	IsTruncated bool
	Contents    []doubleEntry
}

type doubleEntry struct {
	Key          string
	Size         int64
	ETag         string
	LastModified string
}

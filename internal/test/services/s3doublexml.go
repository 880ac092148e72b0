package services

import "encoding/xml"

// Requests and responses of S3Double about multipart uploads.

type doubleBegun struct {
	XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
	Bucket   string
	Key      string
	UploadID string `xml:"UploadId"`
}

type doubleParts struct {
	XMLName              xml.Name `xml:"ListPartsResult"`
	Bucket               string
	Key                  string
	UploadID             string `xml:"UploadId"`
	NextPartNumberMarker int
	IsTruncated          bool
	ChecksumAlgorithm    string `xml:",omitempty"`
	Part                 []doublePartEntry
}

type doublePartEntry struct {
	PartNumber     int
	ETag           string
	Size           int64
	LastModified   string
	ChecksumSHA256 string `xml:",omitempty"`
}

type doubleList struct {
	XMLName xml.Name          `xml:"CompleteMultipartUpload"`
	Part    []doublePartEntry `xml:"Part"`
}

type doubleCompleted struct {
	XMLName        xml.Name `xml:"CompleteMultipartUploadResult"`
	Bucket         string
	Key            string
	ETag           string
	ChecksumSHA256 string `xml:",omitempty"`
}

type doubleUploads struct {
	XMLName     xml.Name `xml:"ListMultipartUploadsResult"`
	Bucket      string
	Prefix      string
	IsTruncated bool
	Upload      []doubleUploadEntry
}

type doubleUploadEntry struct {
	Key       string
	UploadID  string `xml:"UploadId"`
	Initiated string
}

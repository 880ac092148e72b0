// Package objstore writes files to an S3 object store. Each key is written once,
// no byte is sent twice without need, and objects are verified before they are
// reported as stored.
//
// The store itself holds all state: an unfinished multipart upload is found by its
// key and its parts are compared with the local bytes, so that an upload resumes
// after any crash, on any worker that has the file.
//
// put.go and multipart.go upload staged files, putbytes.go small files from memory,
// direct.go the parts of a direct transfer. find.go compares an existing object.
package objstore

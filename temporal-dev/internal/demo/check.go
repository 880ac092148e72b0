package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"stevedore/temporal-dev/internal/stack"
)

// checker proves the result without trusting stevedore: it hashes the source
// files itself and reads every object back.
type checker struct {
	bucket  string
	client  *minio.Client
	objects map[string]bool // keys in the bucket that no expected file has claimed
}

func newChecker(ctx context.Context, s *stack.Stack) (*checker, error) {
	client, err := minio.New(s.Get("STEVEDORE_S3_ENDPOINT"), &minio.Options{
		Creds: credentials.NewStaticV4(s.Get("STEVEDORE_S3_ACCESS_KEY"), s.Get("STEVEDORE_S3_SECRET_KEY"), ""),
	})
	if err != nil {
		return nil, err
	}
	c := &checker{bucket: s.Get("STEVEDORE_S3_BUCKET"), client: client, objects: map[string]bool{}}
	for object := range client.ListObjects(ctx, c.bucket, minio.ListObjectsOptions{Recursive: true}) {
		if object.Err != nil {
			return nil, fmt.Errorf("list the bucket: %w", object.Err)
		}
		c.objects[object.Key] = true
	}
	return c, nil
}

// check says what is wrong with the file, if anything. Several versions of the
// slow file may be in the ledger from earlier demos; exactly one must have the
// content that the source has now.
func (c *checker) check(ctx context.Context, v server, s sample, rows []row) error {
	path := filepath.Join(v.root, filepath.FromSlash(s.path))
	digest, size, err := hashFile(path)
	if err != nil {
		return err
	}
	var same []row
	var seen []string
	for _, r := range rows {
		if r.Server != v.name || r.RemotePath != path {
			continue
		}
		seen = append(seen, fmt.Sprintf("%s, %d bytes, %s", r.Status, r.SizeBytes, r.ErrorMessage))
		if r.Status == "completed" && r.FileHash == digest && r.SizeBytes == size {
			same = append(same, r)
		}
	}
	if len(same) != 1 {
		return fmt.Errorf("%d completed rows have its content (%d bytes of %s), must be 1; the ledger has: %s",
			len(same), size, digest, strings.Join(seen, "; "))
	}
	return c.object(ctx, same[0])
}

// object reads the object back.
func (c *checker) object(ctx context.Context, r row) error {
	if !c.objects[r.ObjectKey] {
		return fmt.Errorf("object %q is not in the bucket, or belongs to another file, too", r.ObjectKey)
	}
	delete(c.objects, r.ObjectKey)
	body, err := c.client.GetObject(ctx, r.Bucket, r.ObjectKey, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	digest, size, err := hashReader(body)
	if err != nil {
		return err
	}
	if digest != r.FileHash || size != r.SizeBytes {
		return fmt.Errorf("object %s has %d bytes of sha256 %s, the source %d of %s", r.ObjectKey, size, digest, r.SizeBytes, r.FileHash)
	}
	return nil
}

// strays says which objects no ledger row names.
func (c *checker) strays(rows []row) []string {
	for _, r := range rows {
		delete(c.objects, r.ObjectKey)
	}
	var keys []string
	for key := range c.objects {
		keys = append(keys, key)
	}
	return keys
}

// taken reports whether a completed row has the size the source has now.
func taken(v server, s sample, rows []row) bool {
	path := filepath.Join(v.root, filepath.FromSlash(s.path))
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	for _, r := range rows {
		if r.Server == v.name && r.RemotePath == path && r.Status == "completed" && r.SizeBytes == info.Size() {
			return true
		}
	}
	return false
}

package objstore

import (
	"io"

	"stevedore/internal/ingest"
)

// S3's limits for multipart uploads.
const (
	minPartSize = 5 << 20
	maxPartSize = 5 << 30
	maxParts    = 10_000
	maxObject   = 5 << 40
	// defaultPartSize limits the cost of a lost part and the number of requests.
	defaultPartSize = 16 << 20
)

// layout divides a file into parts. It depends only on the file's size and the
// configured part size, so that every attempt finds the parts of earlier ones.
type layout struct {
	size     int64
	partSize int64
	// count is at least 1: an empty file is one empty part.
	count int
}

func (s *Store) layOut(size int64) (layout, error) {
	if size < 0 || size > maxObject {
		return layout{}, ingest.Errorf(ingest.KindInvalid, "a file of %d bytes cannot be stored: objects hold at most 5 TiB", size)
	}
	partSize := s.partSize
	for (size+partSize-1)/partSize > maxParts {
		partSize *= 2
	}
	return layout{size: size, partSize: partSize, count: max(1, int((size+partSize-1)/partSize))}, nil
}

// section returns part number (from 1) of the file.
func (l layout) section(file io.ReaderAt, number int) *io.SectionReader {
	offset := int64(number-1) * l.partSize
	return io.NewSectionReader(file, offset, min(l.partSize, l.size-offset))
}

package services

import (
	"io"
	"sync"
	"time"
)

// GeneratedFile is a file of a FaultySFTP whose content is computed on reading. It
// records the ranges that are read.
type GeneratedFile struct {
	content interface {
		io.ReaderAt
		Size() int64
	}

	mu       sync.Mutex
	readings []*Reading
	hold     int64 // 0: none
	moved    chan struct{}
}

// Reading records the reads between opening and closing a file.
type Reading struct {
	// First is the lowest offset, High the end of the highest read, and Bytes the number
	// of bytes sent. All are 0 if nothing was read.
	First, High, Bytes int64
	// Open reports whether the file is still open.
	Open bool
}

// AddGenerated adds a file of any size, modified now.
func (s *FaultySFTP) AddGenerated(name string, content *Pattern) *GeneratedFile {
	generated := &GeneratedFile{content: content, moved: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generated[s.Path(name)], s.times[s.Path(name)] = generated, time.Now()
	return generated
}

// Hold blocks reads at or beyond the offset until the next call; 0 blocks none.
func (m *GeneratedFile) Hold(off int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.moved)
	m.hold, m.moved = off, make(chan struct{})
}

func (m *GeneratedFile) await(off int64) {
	for {
		m.mu.Lock()
		hold, moved := m.hold, m.moved
		m.mu.Unlock()
		if hold == 0 || off < hold {
			return
		}
		<-moved
	}
}

// Readings returns the readings with at least one byte, in order of opening.
func (m *GeneratedFile) Readings() (all []Reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.readings {
		if r.Bytes > 0 {
			all = append(all, *r)
		}
	}
	return all
}

// Open reports whether the file is open.
func (m *GeneratedFile) Open() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.readings {
		if r.Open {
			return true
		}
	}
	return false
}

// Read returns the number of bytes read so far, including repeated ones.
func (m *GeneratedFile) Read() (n int64) {
	for _, r := range m.Readings() {
		n += r.Bytes
	}
	return n
}

func (m *GeneratedFile) open() *openGenerated {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &Reading{Open: true}
	m.readings = append(m.readings, r)
	return &openGenerated{GeneratedFile: m, reading: r}
}

// openGenerated is an open GeneratedFile.
type openGenerated struct {
	*GeneratedFile
	reading *Reading
}

// ReadAt implements io.ReaderAt.
func (f *openGenerated) ReadAt(buf []byte, off int64) (int, error) {
	f.await(off)
	n, err := f.content.ReadAt(buf, off)
	f.mu.Lock()
	defer f.mu.Unlock()
	if n > 0 {
		if f.reading.Bytes == 0 || off < f.reading.First {
			f.reading.First = off
		}
		f.reading.Bytes += int64(n)
		f.reading.High = max(f.reading.High, off+int64(n))
	}
	return n, err
}

// Close implements io.Closer.
func (f *openGenerated) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading.Open = false
	return nil
}

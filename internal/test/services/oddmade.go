package services

import (
	"io"
	"sync"
	"time"
)

// Made is a file of an odd server whose content is computed when it is read. It
// records what is read.
type Made struct {
	content interface {
		io.ReaderAt
		Size() int64
	}

	mu       sync.Mutex
	readings []*Reading
	hold     int64 // 0 is none
	moved    chan struct{}
}

// Reading is what was read of a file between opening and closing it, in bytes.
type Reading struct {
	// First is the lowest offset, High the end of the highest read, Bytes how many
	// were sent; all 0 when nothing was read.
	First, High, Bytes int64
	// Open says that it is not closed yet.
	Open bool
}

// Make puts a file of any size there, modified now.
func (o *OddSFTP) Make(name string, content *Pattern) *Made {
	made := &Made{content: content, moved: make(chan struct{})}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.made[o.Path(name)], o.times[o.Path(name)] = made, time.Now()
	return made
}

// Hold lets reads at the offset or beyond wait until the next call; 0 is none.
func (m *Made) Hold(off int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.moved)
	m.hold, m.moved = off, make(chan struct{})
}

func (m *Made) await(off int64) {
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

// Readings returns those in which something was read, in order of opening.
func (m *Made) Readings() (all []Reading) {
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
func (m *Made) Open() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.readings {
		if r.Open {
			return true
		}
	}
	return false
}

// Read is how many bytes were read so far, those that were read again included.
func (m *Made) Read() (n int64) {
	for _, r := range m.Readings() {
		n += r.Bytes
	}
	return n
}

func (m *Made) open() *openMade {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := &Reading{Open: true}
	m.readings = append(m.readings, r)
	return &openMade{Made: m, reading: r}
}

// openMade is a made file that is open.
type openMade struct {
	*Made
	reading *Reading
}

// ReadAt implements io.ReaderAt.
func (f *openMade) ReadAt(buf []byte, off int64) (int, error) {
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
func (f *openMade) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reading.Open = false
	return nil
}

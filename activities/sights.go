package activities

import (
	"time"

	"stevedore/internal/ingest"
)

// sights counts what is odd about the times in a listing.
type sights struct {
	began time.Time
	ingest.Listed
}

func newSights(began time.Time) *sights { return &sights{began: began} }

// ahead is more than clocks differ.
const ahead = 24 * time.Hour

// see takes one entry into account.
func (s *sights) see(o ingest.Observation) {
	s.Seen++
	switch {
	case o.Rejected != "":
	case o.ModTime.Unix() == 0:
		s.NoTime++
	case o.ModTime.After(s.began.Add(ahead)):
		s.Future++
	}
}

// listed is how the listing went that ends now.
func (s *sights) listed(whole bool) ingest.Listed {
	l := s.Listed
	l.Took, l.Whole = time.Since(s.began), whole
	return l
}

package activities

import (
	"time"

	"stevedore/internal/ingest"
)

// sights counts what is odd about the times in a listing.
type timeStats struct {
	began time.Time
	ingest.Listed
}

// newSights goes on with what an attempt before has counted; from may be nil.
func newTimeStats(began time.Time, from *position) *timeStats {
	s := &timeStats{began: began}
	if from != nil {
		s.Seen, s.Same, s.NoTime, s.Future = from.Seen, from.Same, from.NoTime, from.Future
	}
	return s
}

// ahead is more than clocks differ.
const maxClockSkew = 24 * time.Hour

// see takes one entry into account.
func (s *timeStats) add(o ingest.Observation) {
	s.Seen++
	switch {
	case o.Rejected != "":
	case o.ModTime.Unix() == 0:
		s.NoTime++
	case o.ModTime.After(s.began.Add(maxClockSkew)):
		s.Future++
	}
}

// listed is how the listing went that ends now.
func (s *timeStats) result(whole bool) ingest.Listed {
	l := s.Listed
	l.Took, l.Whole = time.Since(s.began), whole
	return l
}

package activities

import (
	"time"

	"stevedore/internal/ingest"
)

// timeStats counts unusual modification times in a listing.
type timeStats struct {
	began time.Time
	ingest.Listed
}

// newTimeStats continues the counts of an earlier attempt; from may be nil.
func newTimeStats(began time.Time, from *position) *timeStats {
	s := &timeStats{began: began}
	if from != nil {
		s.Seen, s.Same, s.NoTime, s.Future = from.Seen, from.Same, from.NoTime, from.Future
	}
	return s
}

// maxClockSkew is the limit beyond which a time is in the future.
const maxClockSkew = 24 * time.Hour

// add counts one entry.
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

// result returns the statistics of the listing, which ends now.
func (s *timeStats) result(whole bool) ingest.Listed {
	l := s.Listed
	l.Took, l.Whole = time.Since(s.began), whole
	return l
}

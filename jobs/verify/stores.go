package verify

import (
	"errors"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// StoreReport is how it ended in one store.
type StoreReport struct {
	URL    string      `json:"url"`
	Result jobs.Result `json:"result"`
	Error  string      `json:"error,omitempty"`

	// With MaxAge, of the newest archive that is verified at the run's level or better:
	NewestVerified catalog.ID `json:"newestVerified,omitempty"`
	AgeSeconds     int64      `json:"ageSeconds,omitempty"`
}

func (r *Report) store(url string, err error) {
	s := StoreReport{URL: url, Result: jobs.OK}
	if err != nil {
		s.Result, s.Error = jobs.Failed, jobs.OneLine(err)
	}
	r.Stores = append(r.Stores, s)
}

// isMore says of one fault that it is more than that the store cannot be had, or does not have what is to
// be looked at, as one that is new or missed a run: its own fault alone while another store has it. A
// finding is always more, and so is a key that does not fit.
func isMore(err error) bool {
	if errors.Is(err, ErrFinding) {
		return true
	}
	return !errors.Is(err, bucket.ErrUnavailable) && !errors.Is(err, catalog.ErrNone) && !errors.Is(err, bucket.ErrNotExist)
}

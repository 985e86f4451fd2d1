package jobs

import (
	"strings"
	"time"
)

// Result is a report's one-word outcome.
type Result string

// The results; exit codes 0; 0; 3, and 12 where an archive was committed; 10, 11 and 13; the rest.
const (
	OK      Result = "ok"
	Skipped Result = "skipped"
	Partial Result = "partial"
	Refused Result = "refused"
	Failed  Result = "failed"
)

// Cause says what a person must look at after exit code 3.
type Cause string

// The causes.
const (
	CauseStore   Cause = "store"
	CauseCluster Cause = "cluster"
	CauseClock   Cause = "clock"
	CauseSuspect Cause = "suspect"
)

// Report is what every job's report begins with. Its fields are only ever added to.
type Report struct {
	Job       string    `json:"job"`
	Result    Result    `json:"result"`
	Cause     Cause     `json:"cause,omitempty"`
	ExitCode  int       `json:"exitCode"`
	Committed bool      `json:"committed"`
	DryRun    bool      `json:"dryRun,omitempty"` // what would be done; nothing was
	Cluster   string    `json:"cluster"`
	Started   time.Time `json:"started"`
	Finished  time.Time `json:"finished"`
	Error     string    `json:"error,omitempty"`
	Warnings  []string  `json:"warnings,omitempty"`
	Lock      string    `json:"lock,omitempty"`   // etcd, kubernetes, none; held (by another), unavailable, lost; absent: not asked for
	Reason    string    `json:"reason,omitempty"` // why there was nothing to do

	// Skip says that there was rightly nothing to do.
	Skip bool `json:"-"`
}

// Exit codes that End tells apart; cmd/etcdsafe/exit.go has the whole table.
const (
	exitOK        = 0
	exitPartial   = 3
	exitConfig    = 10
	exitLocked    = 11
	exitIntegrity = 12
	exitRefused   = 13
)

// End completes the report of a job that ended with code and err.
func (r *Report) End(now time.Time, code int, err error) {
	r.Finished, r.ExitCode = now.UTC(), code
	if err != nil {
		r.Error = OneLine(err)
	}
	switch {
	case code == exitOK && r.Skip:
		r.Result = Skipped
	case code == exitOK:
		r.Result = OK
	case code == exitPartial, code == exitIntegrity && r.Committed:
		r.Result = Partial
	case code == exitConfig, code == exitLocked, code == exitRefused:
		r.Result = Refused
	default:
		r.Result = Failed
	}
}

// OneLine is the text of err on one line: joined errors stand on one each.
func OneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// Blame sets the cause unless a weightier one is set, and notes why.
func (r *Report) Blame(cause Cause, why string) {
	r.Warnings = append(r.Warnings, why)
	r.Cause = Weightier(r.Cause, cause)
}

// Weightier is the one of two causes that puts more of a backup at risk.
func Weightier(a, b Cause) Cause {
	if weight(b) > weight(a) {
		return b
	}
	return a
}

// weight orders causes by how much of a backup they put at risk.
func weight(c Cause) int {
	return map[Cause]int{CauseClock: 1, CauseCluster: 2, CauseSuspect: 3, CauseStore: 4}[c]
}

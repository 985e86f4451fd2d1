package lock

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Claim is what a holder says of itself. All that is printed of one comes from whoever could write it: texts are quoted
// and cut.
type Claim struct {
	Holder   string    `json:"holder"` // random, unique to the run
	Job      string    `json:"job"`
	Cluster  string    `json:"cluster"`
	Host     string    `json:"host"`
	Pod      string    `json:"pod,omitempty"` // namespace/name; empty outside Kubernetes
	Version  string    `json:"version"`       // of etcdsafe
	Started  time.Time `json:"started"`       // when it took the lock, by its own clock
	Deadline time.Time `json:"deadline"`      // when it stops renewing
}

func (c Claim) encode() ([]byte, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode claim: %w", err)
	}
	return text, nil
}

// decodeClaim reads what lies where a claim should. What is none comes back as the zero Claim: it
// holds the lock all the same, since whoever wrote it meant something.
func decodeClaim(text []byte) Claim {
	var c Claim
	if json.Unmarshal(text, &c) != nil {
		return Claim{}
	}
	return c
}

// String names job, place and start, on one line.
func (c Claim) String() string {
	if c.Holder == "" {
		return "something that is no claim of etcdsafe"
	}
	where := "host " + quote(c.Host)
	if c.Pod != "" {
		where = "pod " + quote(c.Pod) + " on " + where
	}
	return fmt.Sprintf("%s of %s, since %s", quote(c.Job), where, c.Started.UTC().Format(time.RFC3339))
}

// most is how much of a text is printed.
const most = 100

// quote prints a text from outside as it is where that is harmless.
func quote(s string) string {
	if len(s) > most {
		s = s[:most] + "..."
	}
	harmless := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:", r)
	}
	if s != "" && strings.TrimFunc(s, harmless) == "" {
		return s
	}
	return fmt.Sprintf("%q", s)
}

// age is how long ago the claim was taken, by our clock and its holder's: one that lies ahead is as
// odd as one that lies back, so only the distance counts.
func (c Claim) age(now time.Time) time.Duration { return now.Sub(c.Started).Abs() }

// Broken is the trace of a lock that a person ended.
type Broken struct {
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
	Claim  Claim     `json:"claim"` // whose it was
}

// State is what lies where the lock is.
type State struct {
	Kind   string // etcd, kubernetes or none
	Where  string
	Held   bool
	Claim  Claim         // where Held; zero: something that is no claim
	Left   time.Duration // until the claim lapses unless it is renewed; by the clocks, in Kubernetes
	Broken *Broken       // the last lock that a person ended; nil: none is known

	mark any // by which end knows the claim again
}

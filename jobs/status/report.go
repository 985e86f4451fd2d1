package status

import (
	"strconv"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
)

// Report is a cluster at one moment. Its fields are only ever added to.
type Report struct {
	Time      time.Time `json:"time"`
	ClusterID string    `json:"clusterId"` // hexadecimal, as all ids
	Quorum    bool      `json:"quorum"`
	Members   []Member  `json:"members"` // by name
	Alarms    []Alarm   `json:"alarms"`
	Notes     []string  `json:"notes"` // what a person may want to know, and no exit code tells
	Error     string    `json:"error,omitempty"`
}

// Alarm is one that is active.
type Alarm struct {
	ID        string `json:"id"`
	IDDecimal string `json:"idDecimal"`
	Name      string `json:"name"` // of the member; empty where no member has that id
	Alarm     string `json:"alarm"`
	Text      string `json:"text"` // as `etcdctl alarm list` prints it
}

// Member is one of them.
type Member struct {
	ID        string `json:"id"`
	IDDecimal string `json:"idDecimal"`
	Name      string `json:"name"`
	Endpoint  string `json:"endpoint"` // by which it was reached, else what it advertises, else -
	Learner   bool   `json:"learner"`
	Error     string `json:"error,omitempty"` // why it was not reached
	*Raft
	*Space
	*InFlight
	MetricsError string   `json:"metricsError,omitempty"` // why InFlight is not known
	Known        []string `json:"known"`                  // bugs of its version that concern who defragments it
}

// Raft is what Status tells of the member's place in the cluster.
type Raft struct {
	Version string   `json:"version"`
	Leader  bool     `json:"leader"`
	Term    uint64   `json:"raftTerm"`
	Index   uint64   `json:"raftIndex"`
	Applied uint64   `json:"raftAppliedIndex"`
	Errors  []string `json:"errors"`
}

// Space is the member's database, by Status, or by its metrics where Status does not answer.
type Space struct {
	DBSize        int64    `json:"dbSize"` // bytes, as all here
	DBSizeInUse   int64    `json:"dbSizeInUse"`
	DBSizeFree    int64    `json:"dbSizeFree"`    // what a defragmentation gives back: dbSize - dbSizeInUse
	Fragmentation float64  `json:"fragmentation"` // dbSizeFree / dbSize
	DBQuota       *int64   `json:"dbQuota,omitempty"`
	DBQuotaUsage  *float64 `json:"dbQuotaUsage,omitempty"` // dbSize / dbQuota
	QuotaFrom     Source   `json:"quotaFrom"`
}

// Source is who told a quota.
type Source string

// The sources.
const (
	ByMember Source = "member"  // its metrics, or Status
	Assumed  Source = "assumed" // by --quota
	None     Source = "none"    // the member has none
	Unknown  Source = "unknown"
)

// InFlight is what the member's metrics tell of calls that others make.
type InFlight struct {
	Defragmenting    bool      `json:"defragmenting"`    // or waits for another to end
	Defragmentations int64     `json:"defragmentations"` // that ended well since processStarted
	SnapshotStreams  int64     `json:"snapshotStreams"`  // in flight
	ProcessStarted   time.Time `json:"processStarted"`
}

func newMember(m etcd.Member) Member {
	out := Member{
		ID: etcd.HexID(m.ID), IDDecimal: strconv.FormatUint(m.ID, 10), Name: m.Name,
		Endpoint: m.Endpoint(), Learner: m.Learner || m.Status.Learner, Known: []string{},
	}
	if m.Err != nil {
		out.Error, out.Endpoint = jobs.OneLine(m.Err), "-"
		if len(m.ClientURLs) > 0 {
			out.Endpoint = m.ClientURLs[0]
		}
		return out
	}
	s := m.Status
	out.Raft = &Raft{Version: s.Version, Leader: s.IsLeader(), Term: s.Term, Index: s.Index, Applied: s.Applied, Errors: []string{}}
	for _, text := range s.Errors {
		out.Errors = append(out.Errors, strings.Join(strings.Fields(text), " ")) // etcd's alarms end in a space
	}
	for _, t := range etcd.Known(s.Version) {
		out.Known = append(out.Known, t.String())
	}
	return out
}

// measure adds the figures; told is zero where the metrics are not known.
func (m *Member) measure(s etcd.Status, told etcd.Metrics, assumed int64) {
	if told.Member != 0 {
		m.InFlight = &InFlight{told.InDefrag(), told.Defragmentations, told.SnapshotStreams, told.Started}
	}
	if m.Raft == nil {
		s = etcd.Status{DBBytes: told.DBBytes, InUseBytes: told.InUseBytes}
	}
	if s.DBBytes == 0 {
		return
	}
	m.Space = &Space{DBSize: s.DBBytes, DBSizeInUse: s.InUseBytes, DBSizeFree: s.DBBytes - s.InUseBytes, QuotaFrom: ByMember}
	m.Fragmentation = float64(m.DBSizeFree) / float64(m.DBSize)
	m.limit(s.EffectiveQuota(told), assumed)
}

// limit takes a quota as EffectiveQuota tells it.
func (s *Space) limit(quota, assumed int64) {
	switch {
	case quota < 0:
		s.QuotaFrom = None
		return
	case quota == 0 && assumed == 0:
		s.QuotaFrom = Unknown
		return
	case quota == 0:
		quota, s.QuotaFrom = assumed, Assumed
	}
	usage := float64(s.DBSize) / float64(quota)
	s.DBQuota, s.DBQuotaUsage = &quota, &usage
}

func newAlarm(a etcd.Alarm, members []etcd.Member) Alarm {
	out := Alarm{ID: etcd.HexID(a.Member), IDDecimal: strconv.FormatUint(a.Member, 10), Alarm: a.Kind, Text: a.String()}
	for _, m := range members {
		if m.ID == a.Member {
			out.Name = m.Name
		}
	}
	return out
}

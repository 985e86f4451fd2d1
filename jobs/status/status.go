package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
)

var (
	// ErrAlarm marks a cluster in which an alarm is active.
	ErrAlarm = errors.New("an alarm is active")
	// ErrUnhealthy marks a cluster of which a voter was not reached, knows no leader, or reports
	// a fault, or that has no quorum.
	ErrUnhealthy = errors.New("the cluster is not healthy")
)

// Config is what Look needs.
type Config struct {
	Etcd  etcd.Config
	Quota int64 // bytes, assumed where a member tells none; 0: nothing is assumed
	Now   func() time.Time
}

// Look asks all members at once. The report is whole with an error too, unless no endpoint told who
// the members are; then it has the error alone, which wraps etcd.ErrUnavailable. Else an error
// wraps ErrAlarm, ErrUnhealthy, or both, and names each alarm and each member at fault.
func Look(ctx context.Context, cfg Config) (Report, error) {
	r := Report{Time: cfg.Now().UTC(), Members: []Member{}, Alarms: []Alarm{}, Notes: []string{}}
	c, err := etcd.Discover(ctx, cfg.Etcd)
	if err == nil {
		r.ClusterID, r.Quorum = etcd.HexID(c.ID), c.Quorum
		r.Members = cfg.members(ctx, c)
		for _, a := range c.Alarms() {
			r.Alarms = append(r.Alarms, newAlarm(a, c.Members))
		}
		r.Notes = append(r.Notes, notes(c)...)
		err = errors.Join(r.alarmed(), r.unhealthy(c))
	}
	if err != nil {
		r.Error = jobs.OneLine(err)
	}
	return r, err
}

// members adds to what discovery told what each member's metrics tell.
func (cfg Config) members(ctx context.Context, c *etcd.Cluster) []Member {
	out := make([]Member, len(c.Members))
	var wait sync.WaitGroup
	for i, m := range c.Members {
		wait.Go(func() {
			out[i] = newMember(m)
			told, err := c.Metrics(ctx, m)
			if err != nil {
				out[i].MetricsError = jobs.OneLine(err)
			}
			out[i].measure(m.Status, told, cfg.Quota)
		})
	}
	wait.Wait()
	return out
}

// notes are faults of endpoints whose members were reached by others: a member that was not has its
// fault beside it.
func notes(c *etcd.Cluster) []string {
	var out []string
	for _, fault := range c.Faults {
		if !slices.ContainsFunc(c.Members, func(m etcd.Member) bool { return m.Err != nil && m.Err.Error() == fault.Error() }) {
			out = append(out, jobs.OneLine(fault))
		}
	}
	return out
}

func (r *Report) alarmed() error {
	var texts []string
	for _, a := range r.Alarms {
		texts = append(texts, fmt.Sprintf("%s (%s)", a.Text, cmp.Or(a.Name, a.ID)))
	}
	if texts == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrAlarm, strings.Join(texts, ", "))
}

// unhealthy names the voters at fault. Learners serve nobody, and take no part in a quorum.
func (r *Report) unhealthy(c *etcd.Cluster) error {
	var faults []string
	for i, m := range c.Members {
		if fault := ail(m, r.Members[i]); fault != "" && !m.Learner {
			faults = append(faults, cmp.Or(m.Name, etcd.HexID(m.ID))+" "+fault)
		}
	}
	if !c.Quorum {
		faults = append(faults, "there is no quorum")
	}
	if faults == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrUnhealthy, strings.Join(faults, "; "))
}

// ail is what is wrong with a member, but for alarms.
func ail(m etcd.Member, told Member) string {
	switch {
	case m.Err != nil && told.InFlight != nil && told.Defragmenting:
		return "is being defragmented: " + told.Error
	case m.Err != nil:
		return "was not reached: " + told.Error
	case len(m.Status.Faults()) > 0:
		return "reports " + strings.Join(m.Status.Faults(), ", ")
	case m.Status.Leader == 0:
		return "knows no leader"
	}
	return ""
}

package etcd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// The alarms of etcd.
const (
	NoSpace = "NOSPACE" // a member's database is over its quota: the cluster takes no writes
	Corrupt = "CORRUPT" // members hold different data: the cluster takes next to nothing
)

// Alarm is one that is active in the cluster.
type Alarm struct {
	Member uint64 // whom it is about
	Kind   string // NoSpace, Corrupt, or what a later etcd has
}

// String is a line of `etcdctl alarm list`.
func (a Alarm) String() string { return fmt.Sprintf("memberID:%d alarm:%s", a.Member, a.Kind) }

// Alarms asks what alarms are active, with the quorum's consent. Cluster.Alarms needs none.
func (c *Conn) Alarms(ctx context.Context) ([]Alarm, error) {
	var out []Alarm
	err := c.short(ctx, "alarms", func(ctx context.Context) error {
		r, err := c.remote.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_GET})
		for _, a := range r.GetAlarms() {
			out = append(out, Alarm{a.GetMemberID(), a.GetAlarm().String()})
		}
		return err
	})
	return sorted(out), err
}

// Disarm ends an alarm, which must be NOSPACE: any other is refused, without a call. Etcd's own
// client takes one of kind 0 for all alarms, CORRUPT among them. One that is not active is no
// error; one whose cause remains comes back with the next write. With auth on, the role root is
// needed.
func (c *Conn) Disarm(ctx context.Context, a Alarm) error {
	if a.Kind != NoSpace {
		return fmt.Errorf("disarm %s: only %s is ever disarmed", a, NoSpace)
	}
	return c.within(ctx, fmt.Sprintf("disarm %s by %s", a, c.addr), func(ctx context.Context) error {
		_, err := c.remote.Alarm(ctx, &pb.AlarmRequest{Action: pb.AlarmRequest_DEACTIVATE, MemberID: a.Member, Alarm: pb.AlarmType_NOSPACE})
		return err
	})
}

// Alarms are those that the member knew of. etcd puts them among Status' errors as the text of its
// message (server/etcdserver/api/v3rpc/maintenance.go, Status), which leaves out a member of 0.
func (s Status) Alarms() []Alarm {
	var out []Alarm
	for _, text := range s.Errors {
		if a, ok := parseAlarm(text); ok {
			out = append(out, a)
		}
	}
	return sorted(out)
}

// Faults are Status' errors that are no alarms, in etcd's words.
func (s Status) Faults() []string {
	return slices.DeleteFunc(slices.Clone(s.Errors), func(text string) bool { _, is := parseAlarm(text); return is })
}

func parseAlarm(text string) (a Alarm, is bool) {
	for _, field := range strings.Fields(text) {
		if kind, ok := strings.CutPrefix(field, "alarm:"); ok {
			a.Kind, is = kind, true
		}
		if id, ok := strings.CutPrefix(field, "memberID:"); ok {
			a.Member, _ = strconv.ParseUint(id, 10, 64) // 0 is as good as none
		}
	}
	return a, is
}

// Corrupt says whether the member knows of an alarm CORRUPT.
func (s Status) Corrupt() bool {
	return slices.ContainsFunc(s.Alarms(), func(a Alarm) bool { return a.Kind == Corrupt })
}

// Alarms are those that any member knew of at discovery: no quorum and no right is needed to
// learn of them.
func (c *Cluster) Alarms() []Alarm {
	var out []Alarm
	for _, m := range c.Members {
		out = append(out, m.Status.Alarms()...)
	}
	return sorted(out)
}

// sorted is each alarm once, by member and kind.
func sorted(list []Alarm) []Alarm {
	slices.SortFunc(list, func(a, b Alarm) int { return cmp.Or(cmp.Compare(a.Member, b.Member), cmp.Compare(a.Kind, b.Kind)) })
	return slices.Compact(list)
}

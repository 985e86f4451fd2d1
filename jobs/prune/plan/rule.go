package plan

import (
	"fmt"
	"time"
)

// rule keeps the newest archive of each of its newest max buckets.
type rule struct {
	name   string
	max    int // All: of every bucket
	bucket func(at time.Time, rank int) int
}

// rules are those of p. Each has its own buckets: Kopia keeps them in one map by the bucket's
// text alone, where January takes the place of week 1.
func (p Policy) rules() []rule {
	return []rule{
		{"last", p.KeepLast, byRank},
		{"hourly", p.KeepHourly, func(t time.Time, _ int) int { return day(t)*100 + t.Hour() }},
		{"daily", p.KeepDaily, func(t time.Time, _ int) int { return day(t) }},
		{"weekly", p.KeepWeekly, week},
		{"monthly", p.KeepMonthly, func(t time.Time, _ int) int { return t.Year()*100 + int(t.Month()) }},
		{"yearly", p.KeepYearly, func(t time.Time, _ int) int { return t.Year() }},
	}
}

func byRank(_ time.Time, rank int) int { return rank }

func day(t time.Time) int {
	year, month, d := t.Date()
	return year*10000 + int(month)*100 + d
}

// week goes by the year of the ISO week, which is not always the year of the day.
func week(t time.Time, _ int) int {
	year, w := t.ISOWeek()
	return year*100 + w
}

// walk tells which of list, newest first, the rule keeps and why. Buckets that hold nothing take
// no count. The oldest archive is kept while counts are left, as restic does: it is the start of
// a history that the rule could still hold.
func (r rule) walk(list []*entry, in *time.Location, keep func(e *entry, reason string)) {
	taken, last := 0, 0
	for rank, e := range list {
		if taken == r.max {
			return
		}
		bucket := r.bucket(e.Time.In(in), rank)
		fresh := rank == 0 || bucket != last
		if !fresh && rank < len(list)-1 {
			continue
		}
		last = bucket
		taken++
		if fresh {
			keep(e, r.reason(taken))
		} else {
			keep(e, "oldest")
		}
	}
}

func (r rule) reason(taken int) string {
	if r.max == All {
		return fmt.Sprintf("%s %d", r.name, taken)
	}
	return fmt.Sprintf("%s %d/%d", r.name, taken, r.max)
}

// apply tells what all rules of p keep of list, newest first.
func (p Policy) apply(list []*entry, keep func(e *entry, reason string)) {
	for _, r := range p.rules() {
		r.walk(list, p.location(), keep)
	}
	if p.KeepWithin <= 0 || len(list) == 0 {
		return
	}
	from := list[0].Time.Add(-p.KeepWithin)
	for _, e := range list {
		if !e.Time.After(from) {
			return
		}
		keep(e, "within "+span(p.KeepWithin))
	}
}

// floor tells which of list the floor keeps.
func (p Policy) floor(list []*entry, keep func(e *entry, reason string)) {
	rule{"floor", p.KeepMin, byRank}.walk(list, time.UTC, keep)
}

func (p Policy) location() *time.Location {
	if p.Location == nil {
		return time.UTC
	}
	return p.Location
}

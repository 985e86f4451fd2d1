package cron

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	robfig "github.com/robfig/cron/v3"
)

// Schedule tells slots. Those of five fields are read by robfig/cron, which is what kube-controller-manager reads
// them with, so the same texts are taken.
//
// Clock changes: a line whose hour field holds neither * nor / has fixed hours. A slot that falls into the gap in
// spring is at the first instant after it; of one that comes twice in autumn the first counts. All other lines go
// by what the clock reads, whenever it reads it: nothing in the gap, and the repeated hour twice, so the elapsed time
// between slots stays what it was. These are the rules of Debian's cron(8). A CronJob skips a fixed hour in the gap
// and runs one in the fold twice.
type Schedule struct {
	spec  *robfig.SpecSchedule // in UTC; nil: every
	every time.Duration
	zone  *time.Location
	fixed bool
}

// Errors of ParseSchedule hold the text: it is no secret.
var errNever = errors.New("never comes")

// search is how far ahead a slot is looked for: robfig's own bound, which any 29 February is within.
const search = 5 * 366 * 24 * time.Hour

// ParseSchedule reads five fields, six with seconds, or @hourly and its like. @every needs whole minutes (whole seconds
// with seconds) and counts from 1 January 1970 UTC, so that all processes agree. TZ= is refused: the zone is a setting of
// its own.
func ParseSchedule(text string, zone *time.Location, seconds bool) (Schedule, error) {
	s := Schedule{zone: zone}
	words := strings.Fields(text)
	line := strings.Join(words, " ")
	if rest, ok := strings.CutPrefix(line, "@every "); ok {
		return s, s.parseEvery(rest, seconds)
	}
	if err := plain(text, words); err != nil {
		return s, err
	}
	options := robfig.Minute | robfig.Hour | robfig.Dom | robfig.Month | robfig.Dow | robfig.Descriptor
	hour := 1
	if seconds {
		options |= robfig.Second
		hour = 2
	}
	parsed, err := robfig.NewParser(options).Parse(line)
	if err != nil {
		return s, fmt.Errorf("%q is no schedule such as 0 * * * *: %w", text, err)
	}
	spec, ok := parsed.(*robfig.SpecSchedule)
	if !ok {
		return s, fmt.Errorf("%q is no schedule such as 0 * * * *", text)
	}
	spec.Location = time.UTC
	s.spec = spec
	s.fixed = fixedHour(line, hour)
	if s.spec.Next(time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return s, fmt.Errorf("%q %w", text, errNever)
	}
	return s, nil
}

// plain refuses what robfig/cron panics at, takes without a word, or would print as it is: a zone; a field of commas
// alone, which it reads as "never" second by second for five years; control characters.
func plain(text string, words []string) error {
	if strings.Contains(text, "TZ=") {
		return fmt.Errorf("%q names a time zone: --time-zone is for that", text)
	}
	for _, word := range words {
		if strings.Trim(word, ",") == "" {
			return fmt.Errorf("%q has a field of nothing but commas", text)
		}
		if strings.ContainsFunc(word, func(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }) {
			return fmt.Errorf("%q holds a character that no schedule has", text)
		}
	}
	return nil
}

func (s *Schedule) parseEvery(text string, seconds bool) error {
	least := time.Minute
	if seconds {
		least = time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d%least != 0 || d > 366*24*time.Hour {
		return fmt.Errorf("%q is no whole number of %s up to 8784h, such as @every 90m", "@every "+text, map[bool]string{true: "seconds", false: "minutes"}[seconds])
	}
	s.every = d
	return nil
}

// fixedHour says whether the hour field holds neither * nor /. Of the names only @hourly has such an hour.
func fixedHour(text string, hour int) bool {
	if strings.HasPrefix(text, "@") {
		return text != "@hourly"
	}
	return !strings.ContainsAny(strings.Fields(text)[hour], "*/?")
}

// Fixed says whether the line has fixed hours.
func (s Schedule) Fixed() bool { return s.fixed }

// Next is the first slot after t, in the schedule's zone; zero where there is none for five years.
func (s Schedule) Next(t time.Time) time.Time {
	switch {
	case s.every > 0:
		return time.Unix(0, (t.UnixNano()/int64(s.every)+1)*int64(s.every)).In(s.zone)
	case s.fixed:
		return s.nextFixed(t)
	}
	return s.nextRead(t)
}

// nextFixed goes through the wall clock's slots and asks when each is. What the clock reads at t, and all before that,
// it has read by t for the first time.
func (s Schedule) nextFixed(t time.Time) time.Time {
	for wall := s.spec.Next(wallOf(t.In(s.zone))); !wall.IsZero(); wall = s.spec.Next(wall) {
		if at := s.instant(wall); at.After(t) {
			return at
		}
	}
	return time.Time{}
}

// nextRead looks for the next slot by the offset in force, and where that ends first, by the next one.
func (s Schedule) nextRead(t time.Time) time.Time {
	limit := t.Add(search)
	for in := t; in.Before(limit); {
		_, offset := in.In(s.zone).Zone()
		shift := time.Duration(offset) * time.Second
		wall := s.spec.Next(t.UTC().Add(shift))
		if wall.IsZero() {
			return wall
		}
		at := wall.Add(-shift).In(s.zone)
		_, end := in.In(s.zone).ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at
		}
		in, t = end, end.Add(-time.Nanosecond) // the slot may be at the very change
	}
	return time.Time{}
}

// wallOf is what the clock reads at t, as if that were UTC.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant is when the clock first reads wall; where it never does, the first instant after the gap.
func (s Schedule) instant(wall time.Time) time.Time {
	var found, into time.Time
	for _, near := range []time.Duration{-36 * time.Hour, 0, 36 * time.Hour} {
		_, offset := wall.Add(near).In(s.zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second).In(s.zone)
		switch {
		case wallOf(at).Equal(wall) && (found.IsZero() || at.Before(found)):
			found = at
		case into.IsZero() || at.Before(into):
			into = at // with the offset after the gap, it lies before it
		}
	}
	if !found.IsZero() {
		return found
	}
	_, end := into.ZoneBounds()
	return end
}

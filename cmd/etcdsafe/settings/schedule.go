package settings

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Schedule is one line of cron: which jobs, and when. What the file left out of the line is nil: the setting of the
// same name holds then.
type Schedule struct {
	Jobs              string // as typed: snapshot,verify
	Spec              string // 0 * * * *
	ConcurrencyPolicy *Choice
	StartingDeadline  *time.Duration
	Suspend           *bool
}

// Schedules are lines of cron, sorted by their jobs. None has the jobs of another.
type Schedules []Schedule

// String is the lines as a flag takes them.
func (s Schedules) String() string {
	var lines []string
	for _, l := range s {
		lines = append(lines, l.Jobs+"="+l.Spec)
	}
	return strings.Join(lines, "; ")
}

func parseSchedules(g given, before Schedules) (Schedules, error) {
	lines, err := schedulesOf(g)
	if err != nil {
		return nil, err
	}
	out := slices.Concat(before, lines)
	slices.SortFunc(out, func(a, b Schedule) int { return strings.Compare(a.Jobs, b.Jobs) })
	for i := 1; i < len(out); i++ {
		if out[i].Jobs == out[i-1].Jobs {
			return nil, fmt.Errorf("%s is there twice", out[i].Jobs)
		}
	}
	return out, nil
}

func schedulesOf(g given) (Schedules, error) {
	if g.form == mapping {
		return schedulesOfMapping(g.raw)
	}
	if g.form == list {
		return nil, errors.New("holds a list where a mapping of jobs to schedules is wanted")
	}
	s, err := g.single()
	if err != nil {
		return nil, err
	}
	var out Schedules
	for line := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ';' || r == '\n' }) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		at := strings.IndexAny(line, "=:")
		if at < 0 {
			return nil, fmt.Errorf("%q is not JOBS=SCHEDULE such as snapshot,verify=0 * * * *", strings.TrimSpace(line))
		}
		if quoted(strings.TrimSpace(line)) {
			return nil, quotesIn(strings.TrimSpace(line))
		}
		out = append(out, Schedule{Jobs: jobsOf(line[:at]), Spec: strings.TrimSpace(line[at+1:])})
	}
	return out, nil
}

// jobsOf drops the spaces that may stand around commas.
func jobsOf(list string) string {
	names := strings.Split(list, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return strings.Join(names, ",")
}

func schedulesOfMapping(raw []byte) (Schedules, error) {
	lines, err := object(raw)
	if err != nil {
		return nil, err
	}
	var out Schedules
	for _, jobs := range slices.Sorted(maps.Keys(lines)) {
		l, err := scheduleOf(lines[jobs])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", jobs, err)
		}
		l.Jobs = jobsOf(jobs)
		out = append(out, l)
	}
	return out, nil
}

// scheduleOf reads the value of one line: a text, or a mapping with the text under the key schedule.
func scheduleOf(raw []byte) (Schedule, error) {
	if g := fromJSON(raw); g.form != mapping {
		s, err := parseText(g)
		return Schedule{Spec: s}, err
	}
	keys, err := object(raw)
	if err != nil {
		return Schedule{}, err
	}
	var l Schedule
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if err := l.take(key, keys[key]); err != nil {
			return l, fmt.Errorf("%s: %w", key, err)
		}
	}
	if l.Spec == "" {
		return l, errors.New("has no schedule")
	}
	return l, nil
}

// take reads one key of a line by the rules of the setting that it stands in for.
func (l *Schedule) take(key string, raw json.RawMessage) error {
	g := fromJSON(raw)
	switch key {
	case "schedule":
		return read(&l.Spec, g, parseText)
	case "concurrencyPolicy":
		l.ConcurrencyPolicy = new(Choice)
		return read(l.ConcurrencyPolicy, g, func(g given) (Choice, error) { return parseChoice(g, []string{"allow", "forbid", "replace"}) })
	case "startingDeadline":
		l.StartingDeadline = new(time.Duration)
		return read(l.StartingDeadline, g, func(g given) (time.Duration, error) { return parseDuration(g, false) })
	case "suspend":
		l.Suspend = new(bool)
		return read(l.Suspend, g, parseBool)
	}
	return fmt.Errorf("is no setting of a line%s", DidYouMean(key, []string{"schedule", "concurrencyPolicy", "startingDeadline", "suspend"}))
}

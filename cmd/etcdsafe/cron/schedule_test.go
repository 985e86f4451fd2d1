package cron

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zoneOf(t interface{ Fatal(args ...any) }, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// changes are days at which clocks were or will be changed, by an hour, half an hour, a quarter, or a whole day.
var changes = map[string][]string{
	"UTC":                 {"2026-02-28"},
	"Europe/Berlin":       {"2026-03-29", "2026-10-25"},
	"America/New_York":    {"2026-03-08", "2026-11-01"},
	"Australia/Lord_Howe": {"2026-04-05", "2026-10-04"},
	"America/Sao_Paulo":   {"2018-02-18", "2018-11-04"}, // at midnight
	"Pacific/Apia":        {"2011-12-30"},               // which there was not
	"Asia/Kathmandu":      {"1986-01-01"},
	"Africa/Casablanca":   {"2026-02-15", "2026-03-22"},
}

// field is a field of a line, and what it means.
type field struct {
	text string
	star bool // which of day of the month and day of the week counts hangs on it
	has  [60]bool
}

// drawField makes one of min to max.
func drawField(t *rapid.T, name string, least, most int, kinds ...string) field {
	var f field
	step, from, to := 1, least, most
	switch kind := rapid.SampledFrom(kinds).Draw(t, name); kind {
	case "*", "?":
		f.text, f.star = kind, true
	case "*/n":
		step = rapid.IntRange(1, most).Draw(t, "step")
		f.text, f.star = fmt.Sprintf("*/%d", step), step == 1
	case "a/n":
		from, step = rapid.IntRange(least, most).Draw(t, "from"), rapid.IntRange(1, most).Draw(t, "step")
		f.text = fmt.Sprintf("%d/%d", from, step)
	case "a":
		from = rapid.IntRange(least, most).Draw(t, "from")
		to = from
		f.text = fmt.Sprint(from)
	case "a-b":
		from = rapid.IntRange(least, most).Draw(t, "from")
		to = rapid.IntRange(from, most).Draw(t, "to")
		f.text = fmt.Sprintf("%d-%d", from, to)
	case "a,b":
		a, b := drawField(t, "first", least, most, "a", "a-b"), drawField(t, "second", least, most, "a")
		f.text, f.has = a.text+","+b.text, a.has
		from, to = slices.Index(b.has[:], true), slices.Index(b.has[:], true)
	}
	for i := from; i <= to; i += step {
		f.has[i] = true
	}
	return f
}

// words is a line of five fields.
type words struct{ minute, hour, dom, month, dow field }

func drawLine(t *rapid.T) words {
	return words{
		minute: drawField(t, "minute", 0, 59, "*", "*/n", "a", "a-b", "a,b", "a/n"),
		hour:   drawField(t, "hour", 0, 23, "*", "?", "*/n", "a", "a", "a", "a-b", "a,b", "a/n"),
		dom:    drawField(t, "dom", 1, 31, "*", "*", "*", "?", "*/n", "a", "a-b"),
		month:  drawField(t, "month", 1, 12, "*", "*", "*", "*", "a-b", "a"),
		dow:    drawField(t, "dow", 0, 6, "*", "*", "*", "a", "a-b", "*/n"),
	}
}

func (w words) String() string {
	return strings.Join([]string{w.minute.text, w.hour.text, w.dom.text, w.month.text, w.dow.text}, " ")
}

func (w words) day(t time.Time) bool {
	dom, dow := w.dom.has[t.Day()], w.dow.has[t.Weekday()]
	if w.dom.star || w.dow.star {
		return w.month.has[t.Month()] && dom && dow
	}
	return w.month.has[t.Month()] && (dom || dow)
}

func (w words) match(t time.Time) bool {
	return w.minute.has[t.Minute()] && w.hour.has[t.Hour()] && w.day(t)
}

func (w words) fixed() bool { return !strings.ContainsAny(w.hour.text, "*?/") }

func (w words) comes() bool {
	for day := time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2028; day = day.AddDate(0, 0, 1) {
		if w.day(day) {
			return true
		}
	}
	return false
}

// minutes is what a clock read, minute by minute.
type minutes struct {
	begin time.Time
	reads []time.Time // as if in UTC
}

func readClock(begin time.Time, days int, zone *time.Location) minutes {
	m := minutes{begin: begin}
	for i := range days * 24 * 60 {
		at := begin.Add(time.Duration(i) * time.Minute).In(zone)
		m.reads = append(m.reads, time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC))
	}
	return m
}

// slots finds by hand those of a line: by what the clock reads; or, for fixed hours, at the first minute at which it
// reads as late as that or later.
func (m minutes) slots(w words) []time.Time {
	var out []time.Time
	high := m.reads[0]
	for i, reads := range m.reads {
		is := !w.fixed() && w.match(reads)
		for ; w.fixed() && high.Before(reads); high = high.Add(time.Minute) {
			is = is || w.match(high.Add(time.Minute))
		}
		if is {
			out = append(out, m.begin.Add(time.Duration(i)*time.Minute))
		}
	}
	return out
}

// TestNextIsWhatAScanOfEveryMinuteFinds for random lines where clocks change: no slot is left out, none comes twice, and
// lines that never come are refused.
func TestNextIsWhatAScanOfEveryMinuteFinds(t *testing.T) {
	for name, days := range changes {
		zone := zoneOf(t, name)
		for _, day := range days {
			middle, err := time.ParseInLocation(time.DateOnly, day, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			clock := readClock(middle.AddDate(0, 0, -3), 6, zone)
			t.Run(name+" "+day, func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) { againstClock(t, clock, zone) })
			})
		}
	}
}

func againstClock(t *rapid.T, clock minutes, zone *time.Location) {
	line := drawLine(t)
	s, err := ParseSchedule(line.String(), zone, false)
	if err != nil && (line.comes() || !errors.Is(err, errNever)) {
		t.Fatalf("ParseSchedule(%q): %v", line, err)
	}
	if err == nil && !line.comes() {
		t.Fatalf("ParseSchedule(%q) took what never comes", line)
	}
	if err != nil {
		return
	}
	from := clock.begin.Add(time.Duration(rapid.IntRange(36, 36+72).Draw(t, "hour"))*time.Hour +
		time.Duration(rapid.IntRange(0, 59).Draw(t, "minute"))*time.Minute + time.Duration(rapid.SampledFrom([]int{0, 1, 59e9}).Draw(t, "rest")))
	end := clock.begin.AddDate(0, 0, 5)
	var want, got []string
	for _, at := range clock.slots(line) {
		if at.After(from) && at.Before(end) {
			want = append(want, at.In(zone).Format(time.RFC3339Nano))
		}
	}
	for at := s.Next(from); !at.IsZero() && at.Before(end); at = s.Next(at) {
		if got = append(got, at.Format(time.RFC3339Nano)); len(got) > len(clock.reads) {
			t.Fatalf("%q does not go on after %s", line, at)
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%q after %s:\n got %q\nwant %q", line, from.In(zone), got, want)
	}
}

// TestStepsAndRangesAreOneSchedule is what the documentation of CronJob says of them.
func TestStepsAndRangesAreOneSchedule(t *testing.T) {
	at := time.Date(2026, 3, 28, 17, 3, 0, 0, time.UTC)
	berlin := zoneOf(t, "Europe/Berlin")
	other := at
	for range 24 {
		at, other = next(t, "0 0-23/2 * * *", berlin, at), next(t, "0 */2 * * *", berlin, other)
		if !at.Equal(other) {
			t.Fatalf("0-23/2 is at %s, */2 at %s", at, other)
		}
	}
}

func next(t *testing.T, text string, zone *time.Location, after time.Time) time.Time {
	t.Helper()
	s, err := ParseSchedule(text, zone, false)
	if err != nil {
		t.Fatal(err)
	}
	return s.Next(after)
}

// TestEveryCountsFromOneInstant so that all processes have the same slots, whenever they began.
func TestEveryCountsFromOneInstant(t *testing.T) {
	for text, want := range map[string]string{
		"@every 90m":  "2026-03-04T12:00:00Z",
		"@every  2h":  "2026-03-04T12:00:00Z",
		"@every 1h1m": "2026-03-04T11:03:00Z",
		"@hourly":     "2026-03-04T12:00:00Z",
		"@daily":      "2026-03-05T00:00:00Z",
		"@weekly":     "2026-03-08T00:00:00Z",
		"@monthly":    "2026-04-01T00:00:00Z",
		"@yearly":     "2027-01-01T00:00:00Z",
	} {
		after := time.Date(2026, 3, 4, 11, 0, 0, 0, time.UTC)
		if got := next(t, text, time.UTC, after).Format(time.RFC3339); got != want {
			t.Errorf("%s after 11:00: %s, want %s", text, got, want)
		}
	}
}

// TestOnlyHoursThatAreNamedAreFixed decides what clocks that are changed do to a line.
func TestOnlyHoursThatAreNamedAreFixed(t *testing.T) {
	for text, want := range map[string]bool{
		"0 2 * * *": true, "* 2 * * *": true, "*/5 1,2-4 * * *": true, "0 2 */2 * *": true, "@daily": true, "@weekly": true,
		"0 * * * *": false, "0 ? * * *": false, "0 */2 * * *": false, "0 1-23/2 * * *": false, "0 2/24 * * *": false, "@hourly": false,
		" @hourly\n": false, "@every 24h": false,
	} {
		if s, err := ParseSchedule(text, time.UTC, false); err != nil || s.Fixed() != want {
			t.Errorf("ParseSchedule(%q) is fixed: %v, want %v (%v)", text, s.Fixed(), want, err)
		}
		if s, err := ParseSchedule("30 "+text, time.UTC, true); !strings.Contains(text, "@") && (err != nil || s.Fixed() != want) {
			t.Errorf("with seconds, %q is fixed: %v, want %v (%v)", text, s.Fixed(), want, err)
		}
	}
}

// TestParseScheduleRefuses with one line that holds the text, at once.
func TestParseScheduleRefuses(t *testing.T) {
	begun := time.Now()
	for _, c := range []struct {
		text    string
		seconds bool
	}{
		{"", false}, {" ", false}, {"x", false}, {"* * * *", false}, {"0 0 * * * *", false}, {"0 * * * *", true},
		{"0 /6 * * *", false}, {"60 * * * *", false}, {"0 24 * * *", false}, {"0 0 0 * *", false}, {"0 0 * 13 *", false},
		{"0 0 * * 7", false}, {"5-1 * * * *", false}, {"*/0 * * * *", false}, {"-1 * * * *", false}, {"1-2-3 * * * *", false},
		{"@every -1h", false}, {"@every 0", false}, {"@every 1s", false}, {"@every 90s", false}, {"@every 1500ms", true},
		{"@every", false}, {"@every x", false}, {"@every 9000h", false}, {"@every 1h 2m", false},
		{"@reboot", false}, {"@hourly x", false}, {"@HOURLY", false}, {"@", false},
		{"TZ=x", false}, {"TZ=x 0 * * * *", false}, {"TZ=UTC 0 * * * *", false}, {"CRON_TZ=UTC 0 * * * *", false}, {"CRON_TZ=", false},
		{"0 , * * *", false}, {", * * * *", false}, {"0 0 , * *", false}, {"0 0 , * 1", false}, {"0 0 * , *", false}, {"0 0 1 * ,", false},
		{", * * * * *", true}, {"0 , * * * *", true},
		{"30 2 30 2 *", false}, {"0 0 31 2,4,6,9,11 *", false}, {"0 0 31 feb ?", false},
		{"@reboot\nx", false}, {"0 \x1b[2J * * *", false}, {"0 \xff * * *", false}, {"0 ٣ * * *", false},
	} {
		s, err := ParseSchedule(c.text, time.UTC, c.seconds)
		if err == nil {
			t.Errorf("ParseSchedule(%q, seconds %v) took it, and comes at %s", c.text, c.seconds, s.Next(time.Now()))
			continue
		}
		if text := err.Error(); strings.ContainsFunc(text, unprintable) || !strings.Contains(text, fmt.Sprintf("%q", c.text)) {
			t.Errorf("ParseSchedule(%q): %q, want one line that holds it", c.text, text)
		}
	}
	if took := time.Since(begun); took > 5*time.Second { // it was 13 s: robfig looks at each second of five years
		t.Errorf("it took %s", took)
	}
}

func unprintable(r rune) bool { return r < ' ' || r == 0xfffd }

// TestALineOfSecondsIsTolerable also where 7,200 of its slots lie in two hours of the night, and an hour of jitter has
// all of them looked at.
func TestALineOfSecondsIsTolerable(t *testing.T) {
	s, err := ParseSchedule("* * 2-3 * * *", zoneOf(t, "Europe/Berlin"), true)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	line := Line{Schedule: s, Jitter: time.Hour, Share: 0.5}
	now := time.Date(2026, 3, 28, 2, 30, 0, 0, time.UTC)
	verb, slot := line.Decide(now, now.Add(-2*time.Hour), false)
	if verb != Begin || !slot.At.Equal(now) {
		t.Errorf("at %s: %v of %s", now, verb, slot.At)
	}
	if at := s.Next(now.Add(-2 * time.Hour)); at.Format(time.TimeOnly) != "02:00:00" {
		t.Errorf("Next: %s", at)
	}
	if took := time.Since(begun); took > 5*time.Second { // it was minutes
		t.Errorf("it took %s", took)
	}
}

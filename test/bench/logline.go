package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// A logLine is one line of etcdsafe's log (slog) or of etcdctl's (zap), both JSON.
type logLine struct {
	Message string   `json:"msg"`
	Time    stamp    `json:"time"`
	TS      stamp    `json:"ts"`
	Took    duration `json:"took"`
}

func (l logLine) at() time.Time {
	if l.Time.IsZero() {
		return l.TS.Time
	}
	return l.Time.Time
}

// logLines leaves out what is no JSON object.
func logLines(text []byte) []logLine {
	var out []logLine
	for line := range bytes.Lines(text) {
		var l logLine
		if json.Unmarshal(line, &l) == nil {
			out = append(out, l)
		}
	}
	return out
}

// find returns the first line with that message.
func find(lines []logLine, message string) (logLine, error) {
	for _, l := range lines {
		if l.Message == message {
			return l, nil
		}
	}
	return logLine{}, fmt.Errorf("no log line %q", message)
}

// stamp is RFC 3339, or zap's form of it without a colon in the zone.
type stamp struct{ time.Time }

func (s *stamp) UnmarshalJSON(text []byte) (err error) {
	for _, layout := range []string{`"` + time.RFC3339Nano + `"`, `"2006-01-02T15:04:05.999999999Z0700"`} {
		if s.Time, err = time.Parse(layout, string(text)); err == nil {
			return nil
		}
	}
	return err
}

// duration is what time.Duration prints.
type duration struct{ time.Duration }

func (d *duration) UnmarshalJSON(text []byte) error {
	var s string
	err := json.Unmarshal(text, &s)
	if err == nil {
		d.Duration, err = time.ParseDuration(s)
	}
	return err
}

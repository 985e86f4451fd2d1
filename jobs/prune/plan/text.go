package plan

import (
	"strconv"
	"strings"
	"time"
)

// span is d as a person would type it: 30d, 1h, 1h30m.
func span(d time.Duration) string {
	if d > 0 && d%(24*time.Hour) == 0 {
		return number(d/(24*time.Hour)) + "d"
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func number[N ~int | ~int64](n N) string { return strconv.FormatInt(int64(n), 10) }

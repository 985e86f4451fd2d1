package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// table collects what a command prints for people: lines, and columns that line up.
type table struct {
	out bytes.Buffer
	tab *tabwriter.Writer
}

// row adds a line of columns.
func (t *table) row(columns ...any) {
	if t.tab == nil {
		t.tab = tabwriter.NewWriter(&t.out, 0, 0, 2, ' ', 0)
	}
	var cells []string
	for _, c := range columns {
		cells = append(cells, fmt.Sprint(c))
	}
	fmt.Fprintln(t.tab, strings.Join(cells, "\t"))
}

// line ends the columns so far and adds a line of its own.
func (t *table) line(format string, args ...any) {
	t.flush()
	fmt.Fprintf(&t.out, format+"\n", args...)
}

func (t *table) flush() {
	if t.tab != nil {
		t.tab.Flush() //nolint:errcheck // into a buffer
		t.tab = nil
	}
}

func (t *table) bytes() []byte {
	t.flush()
	return t.out.Bytes()
}

// size prints bytes as people read them.
func size(n int64) string {
	const step = 1024
	switch {
	case n < step:
		return fmt.Sprintf("%d B", n)
	case n < step*step:
		return fmt.Sprintf("%.1f KiB", float64(n)/step)
	case n < step*step*step:
		return fmt.Sprintf("%.1f MiB", float64(n)/step/step)
	}
	return fmt.Sprintf("%.2f GiB", float64(n)/step/step/step)
}

// keys prints a manifest's count.
func keys(n int64) string {
	if n < 0 {
		return "not known"
	}
	return strconv.FormatInt(n, 10)
}

// age prints a duration by its largest units.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + age(-max(d, -math.MaxInt64))
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", d/day)
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

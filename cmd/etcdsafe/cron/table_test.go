package cron

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write test/CRON.md")

const tableHead = `# Cron, and what a CronJob does

Made by ` + "`go test ./cmd/etcdsafe/cron -run Table -update`" + `, which also tests each row, with a clock that it turns.

A cell names slots, in the line's zone; ` + "`10:30 at 10:35`" + ` is the slot 10:30 whose run begins at 10:35. There is no jitter here. Runs
take a minute, and so does stopping one. "Ours" is the whole Scheduler. "CronJob" is what kube-controller-manager v1.37 does
by its source; where its documentation says otherwise, so does the cell. "Why" stands where the two differ.

The rows of policies and deadlines were also seen on the real controller, v1.37.2, a slot each minute: part kubecron of
test/soak/SUMMARY.md. Its Jobs were those of this column, also where the documentation says otherwise.

| case | line | zone | ours | CronJob | why they differ |
|---|---|---|---|---|---|
`

// TestTableOfCronJobs holds each cell of the table to what it says, ours and CronJob's, and test/CRON.md to the table.
func TestTableOfCronJobs(t *testing.T) {
	var text strings.Builder
	text.WriteString(tableHead)
	seen := map[string]bool{}
	for _, c := range append(policyCells(), clockCells()...) {
		if seen[c.name] {
			t.Errorf("two cells are named %q", c.name)
		}
		seen[c.name] = true
		t.Run(c.name, func(t *testing.T) { c.check(t) })
		cronJob := c.cronJob
		if c.documented != "" {
			cronJob += "; documented: " + c.documented
		}
		fmt.Fprintf(&text, "| %s | `%s` | %s | %s | %s | %s |\n", c.name, c.line, c.zone, c.want, cronJob, c.why)
	}
	const file = "../../../test/CRON.md"
	if *update {
		if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if is, err := os.ReadFile(file); err != nil || string(is) != text.String() {
		t.Errorf("test/CRON.md is another table (%v): go test ./cmd/etcdsafe/cron -run Table -update", err)
	}
}

func (c cell) check(t *testing.T) {
	zone := zoneOf(t, c.zone)
	if got := tell(c.ours(t, zone), c.from(zone)); got != c.want {
		t.Errorf("ours: %s, want %s", got, c.want)
	}
	if got := tell(c.cronJobs(t, zone), c.from(zone)); got != c.cronJob {
		t.Errorf("CronJob: %s, want %s", got, c.cronJob)
	}
	if (c.want != c.cronJob) != (c.why != "") {
		t.Errorf("ours is %s, CronJob's %s, and why is %q", c.want, c.cronJob, c.why)
	}
}

// tell writes runs down, with a time's day where it is not that of the time before.
func tell(runs []began, start time.Time) string {
	if len(runs) == 0 {
		return "none"
	}
	var out []string
	zone, day := start.Location(), start.Day()
	word := func(at time.Time) string {
		layout := "15:04"
		if at = at.In(zone); at.Day() != day {
			layout, day = "Jan 2 15:04", at.Day()
		}
		if again := at.Add(time.Hour).In(zone); again.Format("15:04") == at.Format("15:04") {
			layout += " MST"
		} else if before := at.Add(-time.Hour).In(zone); before.Format("15:04") == at.Format("15:04") {
			layout += " MST"
		}
		return at.Format(layout)
	}
	for _, r := range runs {
		text := word(r.slot)
		if !r.at.Truncate(time.Minute).Equal(r.slot) {
			text += " at " + word(r.at)
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// policyCells is policy × deadline × what hinders a run at its slot.
func policyCells() []cell {
	const waits = "a run that is replaced is stopped first, and the next begins when it has ended; the controller deletes its Job and does not wait for the Pod"
	minute := time.Minute
	outage := []event{{at: 5 * minute, does: "off"}, {at: 15 * minute, does: "on"}}
	long := []event{{at: 5 * minute, does: "off"}, {at: 34*time.Hour + 15*minute, does: "on"}}
	pause := []event{{at: 5 * minute, does: "suspend"}, {at: 15 * minute, does: "resume"}}
	var out []cell
	for _, policy := range []Policy{Allow, Forbid, Replace} {
		for _, d := range []struct {
			name  string
			limit time.Duration
		}{{"no deadline", 0}, {"deadline 10m", 10 * minute}, {"deadline 2m", 2 * minute}} {
			short, hundred := d.limit == 2*minute, ""
			if d.limit == 0 {
				hundred = "none, since more than 100 were missed"
			}
			add := func(c cell, late, never string) {
				c.name = fmt.Sprintf("%s, %s, %s", policy, d.name, c.name)
				c.line, c.zone, c.start, c.policy, c.deadline = "*/15 * * * *", "UTC", "2026-03-04 10:05", policy, d.limit
				if c.span == 0 {
					c.span = 45 * minute
				}
				c.want = late
				if short {
					c.want = never
				}
				c.cronJob = c.want
				if c.name == fmt.Sprintf("%s, %s, still running", Replace, d.name) {
					c.cronJob, c.why = "10:15, 10:30, 10:45", waits
				}
				out = append(out, c)
			}
			running := map[Policy][2]string{
				Allow:   {"10:15, 10:30, 10:45", "10:15, 10:30, 10:45"},
				Forbid:  {"10:15, 10:30 at 10:35, 10:45", "10:15, 10:45"},
				Replace: {"10:15, 10:30 at 10:31, 10:45", "10:15, 10:30 at 10:31, 10:45"},
			}[policy]
			add(cell{name: "still running", first: 20 * minute}, running[0], running[1])
			add(cell{name: "missed one", happens: outage}, "10:15 at 10:20, 10:30, 10:45", "10:30, 10:45")
			add(cell{name: "missed 136", happens: long, span: 34*time.Hour + 35*minute, documented: hundred},
				"Mar 5 20:15 at 20:20, 20:30", "Mar 5 20:30")
			add(cell{name: "suspended and resumed", happens: pause}, "10:15 at 10:20, 10:30, 10:45", "10:30, 10:45")
		}
	}
	return out
}

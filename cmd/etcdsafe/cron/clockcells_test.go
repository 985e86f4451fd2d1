package cron

import "time"

// clockCells is what happens to the clock × the kind of line × zone, and some more of which one zone is enough.
func clockCells() []cell {
	var out []cell
	for _, z := range []zoneCells{
		{"UTC", "2026-03-29 00:30", "2026-10-25 00:30", "30 2 * * *",
			[2]string{"02:30", "02:30"}, "01:00, 02:00, 03:00, 04:00, 05:00",
			[2]string{"02:30", "02:30"}, "01:00, 02:00, 03:00, 04:00, 05:00"},
		{"Europe/Berlin", "2026-03-29 00:30", "2026-10-25 00:30", "30 2 * * *",
			[2]string{"03:00", "none"}, "01:00, 03:00, 04:00, 05:00, 06:00",
			[2]string{"02:30 CEST", "02:30 CEST, 02:30 CET"}, "01:00, 02:00 CEST, 02:00 CET, 03:00, 04:00"},
		{"America/New_York", "2026-03-08 00:30", "2026-11-01 00:30", "30 1 * * *",
			[2]string{"03:00", "none"}, "01:00, 03:00, 04:00, 05:00, 06:00",
			[2]string{"01:30 EDT", "01:30 EDT, 01:30 EST"}, "01:00 EDT, 01:00 EST, 02:00, 03:00, 04:00"},
	} {
		out = append(out, z.changed()...)
		out = append(out, z.set()...)
	}
	return append(out, moreCells()...)
}

// zoneCells is what differs between zones: days at which clocks change in spring and in autumn, the fixed hour that comes
// twice, and what comes then: of a fixed hour ours and CronJob's, of an hourly line the same for both.
type zoneCells struct {
	zone, spring, autumn, twice string
	gapFixed                    [2]string
	gapHourly                   string
	foldFixed                   [2]string
	foldHourly                  string
}

func (z zoneCells) changed() []cell {
	gap, fold := "", ""
	if z.zone != "UTC" {
		gap = "a fixed hour that falls into the gap runs at its end: a day without a run is worse"
		fold = "a fixed hour runs once a day, at the first of the two"
	}
	same := func(both string) [2]string { return [2]string{both, both} }
	one := func(name, line, start string, want [2]string, why string) cell {
		return cell{name: z.zone + ": " + name, line: line, zone: z.zone, policy: Forbid, start: start, span: 5 * time.Hour,
			want: want[0], cronJob: want[1], why: why}
	}
	return []cell{
		one("spring, fixed hour", "30 2 * * *", z.spring, z.gapFixed, gap),
		one("spring, hourly", "0 * * * *", z.spring, same(z.gapHourly), ""),
		one("autumn, fixed hour", z.twice, z.autumn, z.foldFixed, fold),
		one("autumn, hourly", "0 * * * *", z.autumn, same(z.foldHourly), ""),
	}
}

// set is what does not hang on a zone's own changes, in each zone nevertheless.
func (z zoneCells) set() []cell {
	const (
		fixed, hourly = "30 9 * * *", "0 * * * *"
		again         = "the time passes once more, and runs with it; the controller waits until the clock has caught up, 3 hours without a run"
		soon          = "the clock is looked at every 10 s; the controller's queue sleeps on, by elapsed time"
	)
	minute := time.Minute
	back := []event{{at: 85 * minute, does: "set", by: -2 * time.Hour}}
	forward := []event{{at: 20 * minute, does: "set", by: 72 * time.Hour}}
	stopped := []event{{at: 20 * minute, does: "stop"}, {at: 80 * minute, does: "continue"}}
	one := func(name, line string, span time.Duration, happens []event, want, cronJob, why string) cell {
		return cell{name: z.zone + ": " + name, line: line, zone: z.zone, policy: Forbid, start: "2026-03-04 08:45", span: span,
			happens: happens, want: want, cronJob: cronJob, why: why}
	}
	return []cell{
		one("set back 2 h at 10:10, fixed hour", fixed, 215*minute, back, "09:30", "09:30", ""),
		one("set back 2 h at 10:10, hourly", hourly, 215*minute, back, "09:00, 10:00, 09:00, 10:00", "09:00, 10:00", again),
		one("set forward 3 days at 09:05, fixed hour", fixed, 95*minute, forward, "Mar 6 09:30 at Mar 7 09:05, 09:30", "Mar 7 09:30", soon),
		one("set forward 3 days at 09:05, hourly", hourly, 95*minute, forward, "09:00, Mar 7 09:00 at 09:05, 10:00", "09:00, Mar 7 10:00", soon),
		one("stopped from 09:05 to 10:05, fixed hour", fixed, 95*minute, stopped, "09:30 at 10:05", "09:30 at 10:05", ""),
		one("stopped from 09:05 to 10:05, hourly", hourly, 95*minute, stopped, "09:00, 10:00 at 10:05", "09:00, 10:00 at 10:05", ""),
	}
}

func moreCells() []cell {
	minute := time.Minute
	return []cell{
		{name: "set back 4 h at 10:10, fixed hour", line: "30 9 * * *", zone: "UTC", policy: Forbid, start: "2026-03-04 08:45", span: 335 * minute,
			happens: []event{{at: 85 * minute, does: "set", by: -4 * time.Hour}},
			want:    "09:30, 09:30", cronJob: "09:30", why: "set back by 3 hours or more, the clock was wrong before, and the day's own slot is yet to come"},
		{name: "set back 20 s at 10:00:05, hourly", line: "0 * * * *", zone: "UTC", policy: Forbid, start: "2026-03-04 09:45", span: 90 * minute,
			happens: []event{{at: 15*minute + 5*time.Second, does: "set", by: -20 * time.Second}},
			want:    "10:00, 11:00", cronJob: "10:00, 11:00"},
		{name: "uneven slots, missed from 08:30 to 20:00", line: "0 9,10 * * *", zone: "UTC", policy: Allow, start: "2026-03-04 08:15", span: 13 * time.Hour,
			happens: []event{{at: 15 * minute, does: "off"}, {at: 705 * minute, does: "on"}},
			want:    "10:00 at 20:00", cronJob: "none", documented: "at least one run",
			why: "the controller counts what was missed by the hour between the first two, and looks for the last one after 19:00"},
		{name: "every second hour, spring", line: "0 */2 * * *", zone: "Europe/Berlin", policy: Forbid, start: "2026-03-28 23:30", span: 6 * time.Hour,
			want: "Mar 29 00:00, 04:00, 06:00", cronJob: "Mar 29 00:00, 04:00, 06:00"},
		{name: "every second hour, autumn", line: "0 */2 * * *", zone: "Europe/Berlin", policy: Forbid, start: "2026-10-24 23:30", span: 6 * time.Hour,
			want: "Oct 25 00:00, 02:00 CEST, 02:00 CET, 04:00", cronJob: "Oct 25 00:00, 02:00 CEST, 02:00 CET, 04:00"},
		{name: "30 December 2011, which there was not", line: "0 9 * * *", zone: "Pacific/Apia", policy: Forbid, start: "2011-12-29 08:30", span: 26 * time.Hour,
			want: "09:00, Dec 31 00:00, 09:00", cronJob: "09:00, Dec 31 09:00", why: "a fixed hour that falls into the gap runs at its end"},
	}
}

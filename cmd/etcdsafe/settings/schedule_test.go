package settings

import (
	"fmt"
	"testing"
)

func TestSchedulesAsText(t *testing.T) {
	checkKind[Schedules](t, about{}, []kindCase{
		{"snapshot,verify=0 * * * *; prune: 30 3 * * *", "prune=30 3 * * *; snapshot,verify=0 * * * *", ""},
		{"snapshot , verify = 0 * * * *\n", "snapshot,verify=0 * * * *", ""},
		{"prune=0,30 3 * * *\ndefrag=@daily", "defrag=@daily; prune=0,30 3 * * *", ""},
		{"", "", ""},
		{"prune", "", `"prune" is not JOBS=SCHEDULE`},
		{"prune=1 1 * * *;prune=2 2 * * *", "", "prune is there twice"},
		{`"prune=1 1 * * *"`, "", "the quotes in"},
	})
}

func TestSchedulesInTheFile(t *testing.T) {
	for _, c := range []struct{ yaml, want, fault string }{
		{`{prune: "0 3 * * *", "snapshot,verify": {schedule: "@hourly", concurrencyPolicy: allow, startingDeadline: 1d, suspend: true}}`,
			"prune=0 3 * * * <nil> <nil> <nil>;snapshot,verify=@hourly allow 24h0m0s true;", ""},
		{`{prune: {concurrencyPolicy: allow}}`, "", "prune: has no schedule"},
		{`{prune: {schedule: "@daily", suspend: perhaps}}`, "", "prune: suspend: "},
		{`{prune: {schedule: "@daily", startingDeadline: -1s}}`, "", "prune: startingDeadline: "},
		{`{prune: {schedule: "@daily", concurrencyPolicy: Forbid}}`, "", `prune: concurrencyPolicy: "Forbid" is not one of`},
		{`{prune: {schedule: "@daily", zone: x}}`, "", "prune: zone: is no setting of a line"},
		{`{prune: 5}`, "", "prune: "},
		{`["prune=@daily"]`, "", "holds a list where a mapping"},
	} {
		s := load(t, input{file: "cron: {schedules: " + c.yaml + "}"})
		if c.fault != "" {
			wantFaults(t, faults(t, s), []string{"key cron.schedules in " + configFile + ": " + c.fault})
			continue
		}
		got := ""
		for _, l := range s.Cron.Schedules.Get() {
			got += fmt.Sprintf("%s=%s %v %v %v;", l.Jobs, l.Spec, shownOr(l.ConcurrencyPolicy), shownOr(l.StartingDeadline), shownOr(l.Suspend))
		}
		if got != c.want {
			t.Errorf("%s = %q, want %q", c.yaml, got, c.want)
		}
	}
}

func shownOr[T any](v *T) string {
	if v == nil {
		return "<nil>"
	}
	return fmt.Sprint(*v)
}

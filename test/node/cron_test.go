//go:build e2e

package node

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestCronKeepsTheClustersOwnEtcd installs the chart as processes that keep time themselves. A line for each minute has
// missed a slot when its process starts, so it makes up for that at once. Two lines of one slot want the lock: one waits.
func TestCronKeepsTheClustersOwnEtcd(t *testing.T) {
	r := newRelease(t, "cron")
	r.helm("install", `mode="cron"`, `config.ifLocked="wait"`, `cron.jitter="0s"`, `snapshot.schedule="* * * * *"`, `prune.schedule="* * * * *"`,
		`defrag.enabled=true`, `defrag.schedule="* * * * *"`, `config.defrag={"rule":"dbSize > 0","sustain":"0s","coolDown":"0s","allowSingle":true}`)
	eventually(t, "an archive with its receipt", func(context.Context) error {
		listed := r.list()
		if len(listed) == 0 || listed[0].Receipt == nil || listed[0].Receipt.Level != "content" {
			return fmt.Errorf("listed %+v", listed)
		}
		return nil
	})
	for _, run := range []struct{ deployment, line, report string }{
		{"snapshot", "defrag", `"verdict": "defragmented"`},
		{"prune", "prune", `"planHash": "`},
	} {
		ended := regexp.MustCompile(`"run ended",.*"line":"` + run.line + `",.*"exitCode":0,`)
		eventually(t, "a run of "+run.line, func(ctx context.Context) error {
			log, err := n.Kubectl(ctx, "", "-n", r.name, "logs", "deployment/etcdsafe-cron-"+run.deployment)
			if err == nil && (!ended.MatchString(log) || !strings.Contains(log, run.report)) {
				err = fmt.Errorf("not in its log:\n%s", log)
			}
			return err
		})
	}
	before := r.archives()
	r.helm("uninstall")
	if after := r.archives(); len(after) < len(before) {
		t.Errorf("archives after uninstall %q, before %q", after, before)
	}
}

package chart

import (
	"strings"
	"testing"
)

func TestSchemaRefusesWrongValues(t *testing.T) {
	for _, c := range []struct{ name, set, want string }{
		{"a key at the top", "snapshots.enabled=true", "'snapshots'"},
		{"a key of a job", "snapshot.shedule=@hourly", "'shedule'"},
		{"a setting that is none", "config.keepDaily=7", "'keepDaily'"},
		{"a setting of a job that is none", "config.prune.keepDayly=7", "'keepDayly'"},
		{"a path that the chart owns", "config.cacert=/ca.crt", "'cacert'"},
		{"a secret in the settings", "config.password=x", "'password'"},
		{"a preset", "preset=kops", "/preset"},
		{"a mode", "mode=daemon", "/mode"},
		{"four fields", "snapshot.schedule=0 * * *", "/snapshot/schedule"},
		{"six fields", "snapshot.schedule=0 0 * * * *", "/snapshot/schedule"},
		{"a schedule by interval, which CronJob lacks", "snapshot.schedule=@every 1h", "/snapshot/schedule"},
		{"a policy", "prune.concurrencyPolicy=forbid", "/prune/concurrencyPolicy"},
		{"another try of defrag", "defrag.backoffLimit=1", "'backoffLimit'"},
		{"a deadline without a unit", "snapshot.deadline=3600", "/snapshot/deadline"},
		{"a starting deadline that CronJob never keeps", "verify.startingDeadlineSeconds=5", "/verify/startingDeadlineSeconds"},
		{"a size", "spool.size=10GB", "/spool/size"},
		{"a digest that is a tag", "image.digest=v1.0.0", "/image/digest"},
		{"success of a probe by two", "cron.livenessProbe.successThreshold=2", "/cron/livenessProbe/successThreshold"},
		{"replicas", "cron.replicas=0", "/cron/replicas"},
		{"a port of root's", "cron.port=80", "/cron/port"},
		{"a time zone", "timeZone=+02:00", "/timeZone"},
		{"resources without a limit", "snapshot.resources.limits=null", "/snapshot/resources"},
		{"a toleration", "pod.tolerations[0].keys=a", "'keys'"},
		{"a variable without a name", "pod.extraEnv[0].value=a", "/pod/extraEnv/0"},
		{"an address in place of a net", "networkPolicy.etcd.cidrs={10.0.0.1}", "/networkPolicy/etcd/cidrs/0"},
		{"text for a number", "config.prune.keepDaily=many", "/config/prune/keepDaily"},
		{"text for a switch", "insecure=maybe", "/insecure"},
		{"a choice", "config.lock=zookeeper", "/config/lock"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, err := try(t, "helm", "helm", "template", chartDir, "--namespace", namespace, "--values", "values/external.yaml", "--set", c.set)
			if err == nil {
				t.Fatalf("--set %s was taken", c.set)
			}
			if !strings.Contains(out, "schema") || !strings.Contains(out, c.want) {
				t.Errorf("--set %s: %s\nwant the schema to name %s", c.set, out, c.want)
			}
		})
	}
}

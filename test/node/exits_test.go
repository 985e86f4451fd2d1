//go:build e2e

package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

const (
	policy  = batchv1.JobReasonPodFailurePolicy     // the code ended the Job at once
	counted = batchv1.JobReasonBackoffLimitExceeded // the code counted, as often as the Job was to be tried
)

// exit is a way in which a CronJob's Job ends.
type exit struct {
	name      string
	cronjob   string
	overrides []string
	during    func(*testing.T, release, string) // while the Pod of the Job named so runs, which then hangs at its store
	code      int32
	reason    string
	cause     string // of the report
	raw       bool   // the message is the log's end, not a report
}

// dead is an address at which nothing listens.
const dead = Address + ":1"

// exits are the codes by what really causes them. With backoffLimit 1 a code that counts is seen twice.
func exits(recipient, hanging string) []exit {
	again := `snapshot.backoffLimit=1`
	stores := func(urls ...string) string {
		return fmt.Sprintf("config.stores=[%s]", `"`+strings.Join(urls, `","`)+`"`)
	}
	gone := "s3://backups/exits?endpoint=http://" + dead + "&path_style=true&region=us-east-1"
	hangs := stores(strings.Replace(gone, dead, hanging, 1))
	return []exit{
		{name: "no-room", cronjob: "snapshot", overrides: []string{again, `config.spoolMaxBytes="1Ki"`}, code: 1, reason: counted},
		{name: "one-store-of-two", cronjob: "snapshot", overrides: []string{stores(fmt.Sprintf(store, "exits"), gone)}, code: 3, reason: policy, cause: "store"},
		{name: "bad-setting", cronjob: "snapshot", overrides: []string{stores("s3://backups/exits?color=red")}, code: 10, reason: policy},
		{name: "locked", cronjob: "snapshot", overrides: []string{`config.ifLocked="fail"`}, code: 11, reason: policy},
		{name: "other-key", cronjob: "verify", overrides: []string{`verify.enabled=true`, `identities.existingSecret="other"`}, code: 12, reason: policy},
		{name: "single-member", cronjob: "defrag", overrides: []string{`defrag.enabled=true`, `config.defrag={"rule":"dbSize > 0","sustain":"0s","coolDown":"0s"}`}, code: 13, reason: policy},
		{name: "no-etcd", cronjob: "snapshot", overrides: []string{again, `config.endpoints=["https://` + dead + `"]`}, code: 14, reason: counted},
		{name: "no-store", cronjob: "snapshot", overrides: []string{`snapshot.backoffLimit=0`, stores(gone)}, code: 15, reason: counted},
		{name: "too-late", cronjob: "snapshot", overrides: []string{hangs, `snapshot.deadline="10s"`}, code: 16, reason: policy},
		{name: "panic", cronjob: "snapshot", overrides: []string{hangs}, during: send(syscall.SIGQUIT), code: 2, reason: policy, raw: true},
		{name: "killed", cronjob: "snapshot", overrides: []string{hangs, `snapshot.backoffLimit=0`}, during: send(syscall.SIGKILL), code: 137, reason: counted, raw: true},
		{name: "stopped", cronjob: "snapshot", overrides: []string{hangs, `snapshot.backoffLimit=0`}, during: send(syscall.SIGTERM), code: 143, reason: counted},
	}
}

// TestExitCodesDecideOverJobs: each code by its real cause, seen through the chart's podFailurePolicy.
func TestExitCodesDecideOverJobs(t *testing.T) {
	r := newRelease(t, "exits")
	identity, _ := keys(t)
	r.kubectl("create", "secret", "generic", "other", "--from-file=identities.txt="+identity)
	r.helm("install")
	r.committed(r.trigger("snapshot", "first"))
	hanging := listen(t)
	for _, e := range exits(r.recipient(), hanging) {
		t.Run(e.name, func(t *testing.T) {
			r := r
			r.t, r.space.t = t, t
			r.helm("upgrade", e.overrides...)
			freeLock(t)
			if e.code == 11 {
				defer r.holdLock(hanging)()
			}
			r.kubectl("create", "job", "--from=cronjob/etcdsafe-"+e.cronjob, e.name)
			if e.during != nil {
				e.during(t, r, e.name)
			}
			e.check(t, r.ended(e.name))
		})
	}
}

func (e exit) check(t *testing.T, o outcome) {
	t.Helper()
	want := []int32{e.code}
	if e.reason == counted && !slices.Contains(e.overrides, `snapshot.backoffLimit=0`) {
		want = append(want, e.code)
	}
	if o.complete || o.reason != e.reason || !slices.Equal(o.exitCodes(), want) {
		t.Fatalf("complete %t, %s, exit codes %v; want %s, %v\n%s", o.complete, o.reason, o.exitCodes(), e.reason, want, o.log)
	}
	if e.raw {
		if e.code == 2 && !strings.Contains(o.message(), "goroutine") {
			t.Errorf("termination message %q, want the log's end", o.message())
		}
		return
	}
	if got := o.report(t); got.ExitCode != int(e.code) || got.Cause != e.cause {
		t.Errorf("report has exit code %d, cause %q; want %d, %q: %s", got.ExitCode, got.Cause, e.code, e.cause, o.message())
	}
}

// listen accepts connections on the node and never answers.
func listen(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", Address+":0")
	if err != nil {
		t.Fatal(err)
	}
	var open []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open = append(open, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range open {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

// holdLock runs a snapshot on the node whose store hangs, and returns once it has the lock; end ends it.
func (r release) holdLock(hanging string) (end func()) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = n.Run(ctx, "", "env", append(r.settings(), "etcdsafe", "snapshot", "--recipients", r.recipient(),
			"--stores", "s3://backups/exits?endpoint=http://"+hanging+"&path_style=true&region=us-east-1")...) // killed below
	}()
	eventually(r.t, "the lock", func(ctx context.Context) error {
		out, err := etcdctl(ctx, "get", "--keys-only", "/etcdsafe/lock")
		if err == nil && !strings.Contains(out, "/etcdsafe/lock") {
			err = errors.New("not held")
		}
		return err
	})
	return func() {
		stop()
		<-done
	}
}

// freeLock removes what a killed process left: its lease would hold the lock for a minute.
func freeLock(t *testing.T) {
	t.Helper()
	if _, err := etcdctl(t.Context(), "del", "/etcdsafe/lock"); err != nil {
		t.Fatal(err)
	}
}

func etcdctl(ctx context.Context, args ...string) (string, error) {
	reach := []string{"--endpoints=https://" + Address + ":2379", "--cacert=/etc/kubernetes/pki/etcd/ca.crt",
		"--cert=/etc/kubernetes/pki/etcd/healthcheck-client.crt", "--key=/etc/kubernetes/pki/etcd/healthcheck-client.key"}
	return n.Run(ctx, "", "etcdctl", append(reach, args...)...)
}

// send waits until a Job's process holds the lock, so that it hangs at its store, and sends it a signal.
func send(s syscall.Signal) func(*testing.T, release, string) {
	return func(t *testing.T, r release, job string) {
		t.Helper()
		eventually(t, "a process at its store", func(ctx context.Context) error {
			log, err := n.Kubectl(ctx, "", "-n", r.name, "logs", "job/"+job)
			if err != nil {
				return err
			}
			if !strings.Contains(log, "archive sealed") {
				return fmt.Errorf("its log: %s", log)
			}
			return nil
		})
		out, err := n.Run(t.Context(), "", "pgrep", "-f", "etcdsafe run snapshot,verify")
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(out))
		if err != nil {
			t.Fatalf("processes %q, want one", out)
		}
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEvictedDefragGetsNoSecondPod: another Pod might defragment beside a member that still works.
func TestEvictedDefragGetsNoSecondPod(t *testing.T) {
	r := newRelease(t, "evicted")
	r.helm("install", `defrag.enabled=true`, `config.defrag={"rule":"dbSize > 0","sustain":"30m","coolDown":"0s","allowSingle":true}`)
	r.kubectl("create", "job", "--from=cronjob/etcdsafe-defrag", "evicted")
	var pods corev1.PodList
	eventually(t, "a Pod that samples", func(ctx context.Context) error {
		if err := r.get(ctx, &pods, "pods", "-l", "job-name=evicted"); err != nil {
			return err
		}
		if len(pods.Items) != 1 || pods.Items[0].Status.Phase != corev1.PodRunning {
			return fmt.Errorf("%d Pods", len(pods.Items))
		}
		log, err := n.Kubectl(ctx, "", "-n", r.name, "logs", pods.Items[0].Name)
		if err == nil && log == "" {
			err = fmt.Errorf("no log yet")
		}
		return err
	})
	eviction := fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":%q,"namespace":%q}}`, pods.Items[0].Name, r.name)
	file := t.TempDir() + "/eviction.json"
	if err := os.WriteFile(file, []byte(eviction), 0o600); err != nil {
		t.Fatal(err)
	}
	r.kubectl("create", "--raw", "/api/v1/namespaces/"+r.name+"/pods/"+pods.Items[0].Name+"/eviction", "-f", file)
	if o := r.ended("evicted"); o.complete || o.reason != counted {
		t.Errorf("complete %t, reason %s, want %s", o.complete, o.reason, counted)
	}
	if err := r.get(t.Context(), &pods, "pods", "-l", "job-name=evicted"); err != nil || len(pods.Items) > 1 {
		t.Errorf("%d Pods, %v, want at most the one", len(pods.Items), err)
	}
	var events corev1.EventList
	if err := r.get(t.Context(), &events, "events", "--field-selector", "reason=SuccessfulCreate,involvedObject.name=evicted"); err != nil || len(events.Items) != 1 {
		t.Errorf("%d Pods were made, %v, want one", len(events.Items), err)
	}
}

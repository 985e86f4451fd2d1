package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// everyTwo seconds.
const everyTwo = "*/2 * * * * *"

// timekeeper is an operator whose schedule has seconds, and no jitter.
func timekeeper(t *testing.T, endpoints []string, env ...string) *user {
	t.Helper()
	return newOperator(t, endpoints).with(append([]string{"ETCDSAFE_CRON_SECONDS=true", "ETCDSAFE_CRON_JITTER=0s", "ETCDSAFE_OUTPUT=text", "TEST_LEASE=4s"}, env...)...)
}

// freeAddress is one that nobody listens at, as far as can be said.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// probe asks for a path and returns the status and the text.
func probe(t *testing.T, address, path string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: 2 * time.Second}
	r, err := client.Get("http://" + address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(text)
}

// slots are those of a line whose runs a log tells to have come to what.
func slots(r result, line, what string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?m)msg="`+what+`" .*line=`+line+` slot=(\S+)`).FindAllStringSubmatch(r.stderr, -1) {
		out = append(out, m[1])
	}
	return out
}

// TestCronDoesEachSlotOnceUntilItIsStopped: runs of two lines, probes, SIGTERM, and nothing left.
func TestCronDoesEachSlotOnceUntilItIsStopped(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	at := freeAddress(t)
	u := timekeeper(t, c.Endpoints(), "ETCDSAFE_PRUNE_KEEP_LAST=3", "ETCDSAFE_CRON_LISTEN="+at)
	r := u.start(t, "cron", "--schedules", "snapshot,verify="+everyTwo+"; prune=*/3 * * * * *")
	r.until(t, "lead taken", 1)
	r.until(t, "run ended", 5)
	for _, path := range []string{"/healthz", "/readyz"} {
		if code, text := probe(t, at, path); code != 200 || text != "ok\n" {
			t.Errorf("%s says %d %q", path, code, text)
		}
	}
	u.ok(t, "healthcheck")
	r.signal(t, syscall.SIGTERM)
	out := r.ends(t)
	if out.code != 0 || !strings.Contains(out.stderr, `msg=ended job=cron`) {
		t.Fatalf("a schedule that is stopped ends with 0\n%v", out)
	}
	taken := slots(out, "snapshot,verify", "run begun")
	if len(taken) < 2 || len(slices.Compact(slices.Sorted(slices.Values(taken)))) != len(taken) {
		t.Errorf("slots %q, want some, each once\n%v", taken, out)
	}
	if records := u.glob(t, "store/prod/runs/prune/*.json"); len(records) == 0 {
		t.Errorf("no run of prune is recorded\n%v", out)
	}
	if code, text := probe(t, at, "/healthz"); code != 0 {
		t.Errorf("something listens at %s yet: %s", at, text)
	}
	if r := u.run(t, "healthcheck"); r.code != 1 {
		t.Errorf("healthcheck of nobody\n%v", r)
	}
	if claims := u.glob(t, "store/prod/runs/claims/*"); claims != nil {
		t.Errorf("a leader needs no claims: %q", claims)
	}
}

// TestCronTakesOrRefusesAConfigurationWhole: half-written, wrong, removed, and by the link that a ConfigMap is.
func TestCronTakesOrRefusesAConfigurationWhole(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	at := freeAddress(t)
	u := timekeeper(t, c.Endpoints(), "ETCDSAFE_CRON_LISTEN="+at, "ETCDSAFE_LOG_FORMAT=text")
	const sound = "cron:\n  schedules:\n    snapshot: \"" + everyTwo + "\"\n"
	put := func(version, text string) {
		u.mkdir(t, version)
		u.write(t, version+"/config.yaml", text)
		if err := os.Symlink(version, u.path("..data_tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(u.path("..data_tmp"), u.path("..data")); err != nil {
			t.Fatal(err)
		}
	}
	put("..v1", sound)
	if err := os.Symlink("..data/config.yaml", u.path("config.yaml")); err != nil {
		t.Fatal(err)
	}
	r := u.start(t, "cron", "--config", u.path("config.yaml"))
	r.until(t, "run ended", 1)
	refused := func(what, text, why string) {
		t.Helper()
		if text == "" {
			if err := os.Remove(u.path("..data")); err != nil {
				t.Fatal(err)
			}
		} else {
			put("..v-"+what, text)
		}
		r.until(t, `msg="configuration refused"`, 1)
		if code, said := probe(t, at, "/readyz"); code != 503 || !strings.Contains(said, why) {
			t.Errorf("%s: /readyz says %d %q, want %q", what, code, said, why)
		}
		if code, _ := probe(t, at, "/healthz"); code != 200 {
			t.Errorf("%s: /healthz says %d", what, code)
		}
		r.until(t, "run ended", 1)
	}
	refused("wrong", strings.Replace(sound, "*/2", "/2", 1), "is no schedule such as")
	refused("half", sound+"plaintext: tr", "neither true nor false")
	refused("torn", "cron: {schedules: {", "is not YAML")
	refused("removed", "", "no such file")
	put("..v2", "cron:\n  schedules:\n    verify: \""+everyTwo+"\"\n")
	r.until(t, `msg="configuration taken"`, 1)
	r.until(t, "line=verify", 2)
	if code, text := probe(t, at, "/readyz"); code != 200 {
		t.Errorf("/readyz says %d %q", code, text)
	}
	r.signal(t, syscall.SIGTERM)
	out := r.ends(t)
	_, after, _ := strings.Cut(out.stderr, `msg="configuration taken"`)
	if strings.Contains(after, `msg="run begun" job=cron cluster=prod line=snapshot`) {
		t.Errorf("a line that is gone began a run\n%v", out)
	}
}

// children are the processes that a process has, by /proc.
func children(t *testing.T, of int) []int {
	t.Helper()
	var out []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if fields[1] == strconv.Itoa(of) && fields[0] != "Z" {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			out = append(out, pid)
		}
	}
	return out
}

// hanging is a schedule of which one line hangs, in a run that its store never answers.
func hanging(t *testing.T, args ...string) (*user, *running, string, []int) {
	t.Helper()
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	fill(t, c, 200, 20_000)
	at := freeAddress(t)
	u := timekeeper(t, c.Endpoints(), "ETCDSAFE_CRON_LISTEN="+at, "ETCDSAFE_SNAPSHOT_STREAM_FLOOR=0")
	c.Members[0].Proxy.Rate(50_000)
	r := u.start(t, append([]string{"cron", "--lock", "none"}, args...)...)
	r.until(t, "snapshot stream opened", 1)
	runs := children(t, r.cmd.Process.Pid)
	if len(runs) == 0 {
		t.Fatal("no run is a process of its own")
	}
	return u, r, at, runs
}

// gone waits until none of the processes is there.
func gone(t *testing.T, pids []int) {
	t.Helper()
	deadline := time.Now().Add(soon)
	for _, pid := range pids {
		for syscall.Kill(pid, 0) == nil {
			if time.Now().After(deadline) {
				t.Fatalf("process %d is still there", pid)
			}
			wait(t, 20*time.Millisecond)
		}
	}
}

// TestARunThatHangsOrCrashesLeavesTheScheduleRunning: the run is stopped by SIGSTOP, another by what a panic does.
func TestARunThatHangsOrCrashesLeavesTheScheduleRunning(t *testing.T) {
	t.Parallel()
	_, r, at, runs := hanging(t, "--schedules", "snapshot="+everyTwo+"; verify="+everyTwo)
	hung := runs[:1]
	for _, pid := range runs { // verify may be there too
		if text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(text), "\x00--slot-line\x00snapshot\x00") {
			hung = []int{pid}
		}
	}
	if err := syscall.Kill(hung[0], syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	r.until(t, "line=verify", 6) // which fails: there is no archive
	if code, text := probe(t, at, "/healthz"); code != 200 {
		t.Errorf("/healthz says %d %q", code, text)
	}
	for _, s := range []syscall.Signal{syscall.SIGCONT, syscall.SIGQUIT} { // the latter is how Go ends with 2, as in a panic
		if err := syscall.Kill(hung[0], s); err != nil {
			t.Fatal(err)
		}
	}
	r.until(t, "exitCode=2", 1)
	r.until(t, "snapshot stream opened", 1)
	if code, text := probe(t, at, "/healthz"); code != 200 {
		t.Errorf("/healthz says %d %q", code, text)
	}
	r.signal(t, syscall.SIGTERM)
	out := r.ends(t)
	if out.code != 0 || !strings.Contains(out.stderr, `msg="slot waits"`) {
		t.Errorf("want 0, and that slots waited for the run that hung\n%v", out)
	}
}

// TestRunsEndWithTheirSchedule: when it is told to stop, when it is killed, and when it kills what does not stop.
func TestRunsEndWithTheirSchedule(t *testing.T) {
	t.Parallel()
	for what, s := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGKILL": syscall.SIGKILL, "drain": syscall.SIGTERM} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, r, _, runs := hanging(t, "--schedules", "snapshot="+everyTwo, "--drain", "2s")
			if what == "drain" {
				if err := syscall.Kill(runs[0], syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
			}
			r.signal(t, s)
			out := r.wait(t)
			gone(t, runs)
			want := map[string]string{"SIGTERM": "exitCode=143", "drain": "exitCode=137"}[what]
			if !strings.Contains(out.stderr, want) {
				t.Errorf("no line says %q\n%v", want, out)
			}
		})
	}
}

// TestCronWaitsForEtcd: down at the start, it stays up, says which layer, and goes on when etcd comes, also with
// what could not begin without.
func TestCronWaitsForEtcd(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	c.Members[0].Proxy.Refuse()
	u := timekeeper(t, c.Endpoints(), "ETCDSAFE_PRUNE_KEEP_LAST=3")
	u.ok(t, "snapshot", "--endpoints", c.Members[0].ListenURL)
	once := time.Now().UTC().Add(time.Second).Format("5 4 15 * * *")
	r := u.start(t, "cron", "--schedules", "snapshot="+everyTwo+"; prune="+once, "--dial-timeout", "1s")
	r.until(t, "nobody can lead", 1)
	r.until(t, `msg="run not begun" job=cron cluster=prod line=prune`, 1)
	c.Members[0].Proxy.Heal(t)
	r.until(t, "lead taken", 1)
	r.until(t, `msg="run ended" job=cron cluster=prod line=prune`, 1)
	r.until(t, `msg="run ended" job=cron cluster=prod line=snapshot`, 1)
	r.signal(t, syscall.SIGTERM)
	out := r.ends(t)
	if told := slots(out, "prune", "run not begun"); len(told) != 1 {
		t.Errorf("that prune waits was told %d times, want once\n%v", len(told), out)
	}
	if !strings.Contains(out.stderr, "TCP") && !strings.Contains(out.stderr, "tcp") {
		t.Errorf("no line says that it was TCP\n%v", out)
	}
}

// TestAStoppedRunLeavesNoRecord: the next leader does its slot again.
func TestAStoppedRunLeavesNoRecord(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	for what, s := range map[string]syscall.Signal{"stopped": syscall.SIGTERM, "deadline": 0} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			// With sustain a defrag looks at its members for a minute.
			u := timekeeper(t, c.Endpoints(), "ETCDSAFE_LOCK=none", "ETCDSAFE_DEFRAG_RULE=dbSize > 0", "ETCDSAFE_DEFRAG_SUSTAIN=1m", "ETCDSAFE_DEFRAG_ALLOW_SINGLE=true")
			args := []string{"cron", "--schedules", "defrag=" + everyTwo}
			if s == 0 {
				args = append(args, "--deadline", "1s")
			}
			r := u.start(t, args...)
			if s == 0 {
				r.until(t, "exitCode=16", 1)
			} else {
				r.until(t, `msg="job begun" job=defrag`, 1)
			}
			r.signal(t, syscall.SIGTERM)
			out := r.ends(t)
			if n := len(u.glob(t, "store/prod/runs/defrag/*")); (n > 0) != (s == 0) {
				t.Errorf("%d records\n%v", n, out)
			}
		})
	}
}

// replicas are two processes of one schedule.
func replicas(t *testing.T, c *etcdtest.Cluster, args ...string) (*user, [2]*running) {
	t.Helper()
	u := timekeeper(t, c.Endpoints())
	var out [2]*running
	for i := range out {
		out[i] = u.start(t, append([]string{"cron", "--schedules", "snapshot=" + everyTwo}, args...)...)
		out[i].until(t, map[int]string{0: "lead taken", 1: "another leads"}[i], 1)
	}
	out[0].until(t, "run ended", 1)
	return u, out
}

// once wants that no slot was done twice, but for the next leader that asked the store and was told so.
func (u *user) once(t *testing.T, results ...result) {
	t.Helper()
	done := map[string]int{}
	for _, r := range results {
		for _, slot := range slots(r, "snapshot", "run ended") {
			if !strings.Contains(r.stderr, `msg="slot skipped" job=run cluster=prod slot=`+slot) {
				done[slot]++
			}
		}
	}
	for slot, n := range done {
		if n != 1 {
			t.Errorf("slot %s was done %d times\n%v", slot, n, results)
		}
	}
	if n := len(u.glob(t, "store/prod/manifests/*.json")); n < len(done) {
		t.Errorf("%d slots done, but %d archives", len(done), n)
	}
}

// TestTheNextReplicaTakesOver: of a leader that was killed, and of one that was stopped and comes
// back, which then begins nothing.
func TestTheNextReplicaTakesOver(t *testing.T) {
	t.Parallel()
	for what, s := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "frozen": syscall.SIGSTOP, "stopped": syscall.SIGTERM} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			u, r := replicas(t, etcdtest.Start(t, etcdtest.Options{}))
			r[0].signal(t, s)
			r[1].until(t, "lead taken", 1) // how soon is for test/soak
			r[1].until(t, "run ended", 2)
			if what == "frozen" {
				r[0].signal(t, syscall.SIGCONT)
				r[0].until(t, "another leads", 1)
				r[1].until(t, "run ended", 2)
				r[0].signal(t, syscall.SIGTERM)
			}
			r[1].signal(t, syscall.SIGTERM)
			u.once(t, r[0].wait(t), r[1].wait(t))
		})
	}
}

// TestATakeoverWaitsForADeadRunsLock: a run that died with its leader leaves its claim for a lease. The next leader's run
// of the same slot does not stand back from it.
func TestATakeoverWaitsForADeadRunsLock(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Proxied: true})
	fill(t, c, 200, 20_000)
	u := timekeeper(t, c.Endpoints(), "ETCDSAFE_SNAPSHOT_STREAM_FLOOR=0")
	c.Members[0].Proxy.Rate(50_000)
	dead := u.start(t, "snapshot")
	dead.until(t, "snapshot stream opened", 1)
	dead.signal(t, syscall.SIGKILL)
	dead.wait(t)
	c.Members[0].Proxy.Heal(t)
	r := u.start(t, "cron", "--schedules", "snapshot="+time.Now().UTC().Add(-time.Second).Format("5 4 15 * * *"))
	r.until(t, "snapshot skipped", 1)
	r.until(t, "archive committed", 1)
	r.until(t, "run ended", 1)
	r.signal(t, syscall.SIGTERM)
	if out := r.ends(t); len(u.glob(t, "store/prod/manifests/*.json")) != 1 {
		t.Errorf("want one archive\n%v", out)
	}
}

// TestSnapshotsGoOnWithoutAQuorum: the last leader goes on, the other one lets it, and the stores choose.
func TestSnapshotsGoOnWithoutAQuorum(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Members: 3})
	u, r := replicas(t, c, "--dial-timeout", "1s")
	c.Members[1].Kill(t)
	c.Members[2].Kill(t)
	r[0].until(t, "nobody can lead", 1)
	r[0].until(t, "archive committed", 2)
	r[0].signal(t, syscall.SIGKILL)
	r[1].until(t, "archive committed", 1)
	r[1].signal(t, syscall.SIGTERM)
	r[0].wait(t)
	out := r[1].wait(t)
	claims := u.glob(t, "store/prod/runs/claims/*")
	if len(claims) < 3 {
		t.Errorf("%d slots were claimed, want 3 at least\n%v", len(claims), out)
	}
}

// TestAPortThatIsTakenIsAFaultOfTheConfiguration names it, and begins nothing.
func TestAPortThatIsTakenIsAFaultOfTheConfiguration(t *testing.T) {
	t.Parallel()
	at := freeAddress(t)
	u := timekeeper(t, []string{"http://" + freeAddress(t)}, "ETCDSAFE_LOCK=none", "ETCDSAFE_CRON_LISTEN="+at)
	first := u.start(t, "cron", "--schedules", "snapshot=0 0 0 1 1 *")
	first.until(t, "probes served", 1)
	if r := u.run(t, "cron", "--schedules", "snapshot="+everyTwo); r.code != 10 || !strings.Contains(r.stderr, at) || strings.Contains(r.stderr, "run begun") {
		t.Errorf("want 10, and %s named\n%v", at, r)
	}
	u.ok(t, "healthcheck")
	first.signal(t, syscall.SIGTERM)
	first.ends(t)
}

// TestAVerifyLineGoesByItsOwnRuns: receipts of the fresh archive's own verification are not its work.
func TestAVerifyLineGoesByItsOwnRuns(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	u := timekeeper(t, c.Endpoints())
	r := u.start(t, "cron", "--schedules", "verify="+everyTwo) // no line needs etcd: the store chooses
	u.ok(t, "run", "snapshot,verify", "--lock", "none")
	r.until(t, "archive looked at", 2)
	r.signal(t, syscall.SIGTERM)
	out := r.ends(t)
	if strings.Contains(out.stderr, "done for this slot already") || len(u.glob(t, "store/prod/runs/verify/*.json")) < 2 {
		t.Errorf("want a record of each of its slots, and none skipped\n%v", out)
	}
}

// TestADryRunOfCronTakesNothingFromOthers: no lead, no claim, no record.
func TestADryRunOfCronTakesNothingFromOthers(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	u := timekeeper(t, c.Endpoints(), "ETCDSAFE_PRUNE_KEEP_LAST=1")
	u.ok(t, "snapshot")
	r := u.start(t, "cron", "--dry-run", "--schedules", "snapshot="+everyTwo+";prune="+everyTwo)
	prunes := u.start(t, "cron", "--dry-run", "--schedules", "prune="+everyTwo)
	r.until(t, "run ended", 4)
	prunes.until(t, "run ended", 2)
	real := u.start(t, "cron", "--schedules", "snapshot=0 0 0 29 2 *")
	real.until(t, "lead taken", 1)
	for _, r := range []*running{r, prunes, real} {
		r.signal(t, syscall.SIGTERM)
		r.ends(t)
	}
	if left := u.glob(t, "store/prod/runs/*/*"); left != nil || len(u.glob(t, "store/prod/manifests/*")) != 1 {
		t.Errorf("left in the store: %q", left)
	}
}

// TestAClaimOfADeadContainerIsItsSuccessors in the same Pod; those of other Pods hold.
func TestAClaimOfADeadContainerIsItsSuccessors(t *testing.T) {
	t.Parallel()
	u := newOperator(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()).with("ETCDSAFE_PRUNE_KEEP_LAST=1", "POD_NAMESPACE=backup")
	u.ok(t, "snapshot")
	in, hold, err := os.Pipe() // as of a schedule's process
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	slot := func(pod string) result {
		container := u.with("POD_NAME=" + pod)
		container.stdin = in
		r := container.start(t, append([]string{"cron", "--schedules", "prune=0 0 * * *"}, (&slotFlags{line: "prune", slot: "2026-01-02T00:00:00Z", mode: slotAlone}).args()...)...)
		return r.wait(t)
	}
	if r := slot("a"); r.code != 0 {
		t.Fatalf("the first claim\n%v", r)
	}
	for _, record := range u.glob(t, "store/prod/runs/prune/*") {
		if err := os.Remove(record); err != nil { // as if it had been killed
			t.Fatal(err)
		}
	}
	if r := slot("b"); !strings.Contains(r.printed(), "another process does this slot") {
		t.Errorf("another Pod took the slot\n%v", r)
	}
	if r := slot("a"); r.code != 0 || len(u.glob(t, "store/prod/runs/prune/*")) != 1 {
		t.Errorf("the same Pod did not\n%v", r)
	}
}

// TestCronOutlivesAConfigurationThatIsNoFile: a pipe is read once, and a FIFO in its place is refused, not waited for.
func TestCronOutlivesAConfigurationThatIsNoFile(t *testing.T) {
	t.Parallel()
	u := timekeeper(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints())
	text := "cron: {schedules: {snapshot: \"" + everyTwo + "\"}}\n"
	path := u.write(t, "config.yaml", text)
	r := u.start(t, "cron", "--config", path)
	r.until(t, "run ended", 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r.signal(t, syscall.SIGHUP)
	r.until(t, "is no plain file", 1)
	r.until(t, "run ended", 1)
	r.signal(t, syscall.SIGTERM)
	r.ends(t)

	go func() { _ = os.WriteFile(path, []byte(text), 0o600) }()
	r = u.start(t, "cron", "--config", path)
	r.until(t, "configuration not watched", 1)
	r.until(t, "run ended", 2)
	r.signal(t, syscall.SIGTERM)
	r.ends(t)
}

// TestHealthcheckGoesByTheProcessAlone: not by the configuration as it lies there, and not by whoever else answers.
func TestHealthcheckGoesByTheProcessAlone(t *testing.T) {
	t.Parallel()
	at := freeAddress(t)
	u := timekeeper(t, []string{"http://" + freeAddress(t)}, "ETCDSAFE_LOCK=none", "HTTP_PROXY=http://127.0.0.1:1")
	path := u.write(t, "config.yaml", "cron: {schedules: {snapshot: \"0 0 0 29 2 *\"}}\n")
	r := u.start(t, "cron", "--config", path, "--listen", at)
	r.until(t, "probes served", 1)
	u.write(t, "config.yaml", "cron: {")
	u.ok(t, "healthcheck", "--config", path, "--listen", at)
	u.exits(t, 10, "healthcheck", "--config", path)
	r.signal(t, syscall.SIGTERM)
	r.ends(t)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "\x1b[2Jwelcome") })}
	go func() { _ = other.Serve(l) }()
	defer other.Close()
	if r := u.exits(t, 1, "healthcheck", "--listen", l.Addr().String()); strings.Contains(r.printed(), "\x1b") {
		t.Errorf("what another server says was printed as it is\n%v", r)
	}
}

// TestALeadIsTakenAgainWithANewPassword: it is read anew, as runs read it.
func TestALeadIsTakenAgainWithANewPassword(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{Auth: true})
	path := "password.txt"
	u := timekeeper(t, c.Endpoints(), "ETCDSAFE_USER="+etcdtest.RootUser)
	u.env = append(u.env, "ETCDSAFE_PASSWORD_FILE="+u.write(t, path, etcdtest.RootPassword))
	r := u.start(t, "cron", "--schedules", "snapshot="+everyTwo)
	r.until(t, "run ended", 1)
	if _, err := c.Client(t).UserChangePassword(t.Context(), etcdtest.RootUser, "another"); err != nil {
		t.Fatal(err)
	}
	u.write(t, path, "another")
	r.until(t, "lead lost", 1)
	r.until(t, "lead taken", 1)
	r.until(t, "run ended", 1)
	r.signal(t, syscall.SIGTERM)
	r.ends(t)
}

// TestCronOutlivesAStoreThatIsGone for a while: runs fail, each says why, and the next one after its return is well.
func TestCronOutlivesAStoreThatIsGone(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{})
	at := freeAddress(t)
	u := timekeeper(t, c.Endpoints(), "ETCDSAFE_CRON_LISTEN="+at)
	r := u.start(t, "cron", "--schedules", "snapshot="+everyTwo)
	r.until(t, "run ended", 1)
	away := func(from, to string) {
		if err := os.Rename(u.path(from), u.path(to)); err != nil {
			t.Fatal(err)
		}
	}
	away("store", "gone")
	u.write(t, "store", "no folder")
	r.until(t, "exitCode=15", 2)
	if code, text := probe(t, at, "/healthz"); code != 200 {
		t.Errorf("/healthz says %d %q", code, text)
	}
	away("store", "file")
	away("gone", "store")
	r.until(t, "archive committed", 1)
	r.until(t, "run ended", 1)
	r.signal(t, syscall.SIGTERM)
	if out := r.ends(t); out.code != 0 {
		t.Errorf("want 0\n%v", out)
	}
}

// TestALeaderLetsTheClaimerOfASlotEnd: it may be at work without a lock, since nobody could lead when the slot came.
func TestALeaderLetsTheClaimerOfASlotEnd(t *testing.T) {
	t.Parallel()
	u := newOperator(t, etcdtest.Start(t, etcdtest.Options{}).Endpoints()).with("TEST_LEASE=20s")
	at := time.Now().UTC().Truncate(time.Second)
	store, err := bucket.OpenFile(u.path("store"), bucket.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := bucket.New(store, "file://"+u.path("store"), bucket.Kind{})
	defer b.Close()
	c, err := catalog.Open(b, "prod")
	if err != nil {
		t.Fatal(err)
	}
	if won, err := c.ClaimSlot(t.Context(), "snapshot", at, catalog.Run{Started: at, Runner: catalog.Runner{Host: "other"}, Holder: "h"}); !won || err != nil {
		t.Fatal(won, err)
	}
	in, hold, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	u.stdin = in
	f := &slotFlags{line: "snapshot", slot: at.Format(time.RFC3339), mode: slotFresh}
	r := u.start(t, append([]string{"cron", "--schedules", "snapshot=0 0 * * *"}, f.args()...)...)
	r.until(t, "started", 1)
	u.stdin = nil
	u.ok(t, "snapshot", "--lock", "none")
	if out := r.wait(t); out.code != 0 || !strings.Contains(out.stderr, "done for this slot already") {
		t.Errorf("want that it was left to the claimer\n%v", out)
	}
	if n := len(u.glob(t, "store/prod/manifests/*")); n != 1 {
		t.Errorf("%d archives, want 1", n)
	}
}

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/jobs/lock"
)

type scriptKey struct{}

// script is what the commands of one script share.
type script struct {
	tb      testing.TB
	cluster *etcdtest.Cluster // the one that was started last
	held    *lock.Held
}

func scriptOf(ts *testscript.TestScript) *script { return ts.Value(scriptKey{}).(*script) }

// scriptCommands are:
//
//	exits CODE PROGRAM ARGS…   runs it and wants that exit code
//	etcd [VERSION [MEMBERS]]   starts an etcd of one member or more, sets ENDPOINTS and DATADIR
//	serve DIR [VERSION]        starts an etcd on a folder that is there, sets ENDPOINTS
//	put PREFIX N [BYTES]       writes PREFIX0 = value-0 and so on to the etcd started last
//	down N                     kills a member of the etcd started last, counted from 0
//	hold-lock JOB [AGE [POD]]  a run of JOB takes the lock of the etcd started last, AGE ago
//	release-lock [WAIT]        and releases it, after WAIT in the background; TEST_LEASE is its lease as etcdsafe sees it
//	alarm KIND                 raises an alarm of the etcd started last, e.g. CORRUPT
//	[!] json FILE PATH [RE]    the value at a.b.0 must be there, and match RE as a whole
//	setenv NAME FILE PATH      sets a variable to that value
//	flip FILE                  turns over one bit in the middle of the only file that FILE globs
//	count GLOB N               N files match
//	mode PERM FILE…            permissions of files and folders
//	lines FILE LEAST MOST RE   so many lines match
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exits": cmdExits, "etcd": cmdEtcd, "serve": cmdServe, "put": cmdPut, "del": cmdDel, "down": cmdDown, "alarm": cmdAlarm, "json": cmdJSON,
		"hold-lock": cmdHoldLock, "release-lock": cmdReleaseLock,
		"setenv": cmdSetenv, "flip": cmdFlip, "count": cmdCount, "mode": cmdMode, "lines": cmdLines,
	}
}

// usage fails a script whose line has too few words, or a ! where none may stand.
func usage(ts *testscript.TestScript, neg bool, args []string, least int, text string) {
	if neg || len(args) < least {
		ts.Fatalf("usage: %s", text)
	}
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "exits CODE PROGRAM ARGS...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s exited with %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func cmdEtcd(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, "etcd [VERSION [MEMBERS]]")
	var o etcdtest.Options
	if len(args) > 0 {
		o.Version = args[0]
	}
	if len(args) > 1 {
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		o.Members = n
	}
	announce(ts, o)
}

func cmdServe(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "serve DIR [VERSION]")
	announce(ts, etcdtest.Options{DataDir: ts.MkAbs(args[0]), Version: strings.Join(args[1:], "")})
}

func announce(ts *testscript.TestScript, o etcdtest.Options) {
	s := scriptOf(ts)
	c := etcdtest.Start(s.tb, o)
	s.cluster = c
	ts.Setenv("ENDPOINTS", strings.Join(c.Endpoints(), ","))
	ts.Setenv("DATADIR", c.Members[0].DataDir)
}

func cmdPut(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "put PREFIX N [BYTES]")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	more := ""
	if len(args) > 2 {
		bytes, err := strconv.Atoi(args[2])
		ts.Check(err)
		more = " " + rand.Text() + strings.Repeat("x", bytes)
	}
	s := scriptOf(ts)
	s.cluster.Put(s.tb, func(yield func(string, []byte) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("%s%d", args[0], i), fmt.Appendf(nil, "value-%d%s", i, more)) {
				return
			}
		}
	})
}

// cmdDel deletes all keys under a prefix.
func cmdDel(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "del PREFIX")
	s := scriptOf(ts)
	_, err := s.cluster.Client(s.tb).Delete(s.tb.Context(), args[0], clientv3.WithPrefix())
	ts.Check(err)
}

func cmdDown(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "down N")
	s := scriptOf(ts)
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	s.cluster.Members[n].Kill(s.tb)
}

// cmdAlarm asks the member as etcd's own checker would: no client of etcd offers it.
func cmdAlarm(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "alarm KIND")
	s := scriptOf(ts)
	_, err := pb.NewMaintenanceClient(s.cluster.Client(s.tb).ActiveConnection()).Alarm(s.tb.Context(), &pb.AlarmRequest{
		Action: pb.AlarmRequest_ACTIVATE, MemberID: s.cluster.Members[0].ID, Alarm: pb.AlarmType(pb.AlarmType_value[args[0]]),
	})
	ts.Check(err)
}

func cmdHoldLock(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "hold-lock JOB [AGE [POD]]")
	s := scriptOf(ts)
	claim := lock.Claim{Holder: rand.Text(), Job: args[0], Cluster: "prod", Host: "node-1", Version: "v1", Started: time.Now().UTC()}
	if len(args) > 1 {
		age, err := time.ParseDuration(args[1])
		ts.Check(err)
		claim.Started = claim.Started.Add(-age)
	}
	if len(args) > 2 {
		claim.Pod = args[2]
	}
	held, err := lock.Etcd(etcd.Config{Endpoints: s.cluster.Endpoints()}, lock.Options{}).Take(s.tb.Context(), claim)
	ts.Check(err)
	s.held = held
	s.tb.Cleanup(func() { _ = held.Release(s.tb.Context()) })
}

func cmdReleaseLock(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 0, "release-lock [WAIT]")
	s := scriptOf(ts)
	held, ctx := s.held, context.WithoutCancel(s.tb.Context())
	if len(args) == 0 {
		ts.Check(held.Release(ctx))
		return
	}
	wait, err := time.ParseDuration(args[0])
	ts.Check(err)
	time.AfterFunc(wait, func() { _ = held.Release(ctx) })
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: [!] json FILE PATH [RE]")
	}
	got, err := at(ts.ReadFile(args[0]), args[1])
	if neg {
		if err == nil {
			ts.Fatalf("%s has %s: %s", args[0], args[1], got)
		}
		return
	}
	ts.Check(err)
	if len(args) == 3 && !regexp.MustCompile("^(?:"+args[2]+")$").MatchString(got) {
		ts.Fatalf("%s at %s is %q, want %q", args[0], args[1], got, args[2])
	}
}

func cmdSetenv(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 3, "setenv NAME FILE PATH")
	value, err := at(ts.ReadFile(args[1]), args[2])
	ts.Check(err)
	ts.Setenv(args[0], value)
}

// at is the value at a path such as archives.0.id, a string without its quotes. The document
// must be one and whole.
func at(text, path string) (string, error) {
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		return "", fmt.Errorf("not one JSON document: %w", err)
	}
	for _, step := range strings.Split(path, ".") {
		switch v := doc.(type) {
		case map[string]any:
			inner, ok := v[step]
			if !ok {
				return "", fmt.Errorf("no %q on the way to %s", step, path)
			}
			doc = inner
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return "", fmt.Errorf("no item %q of %d on the way to %s", step, len(v), path)
			}
			doc = v[i]
		default:
			return "", fmt.Errorf("nothing inside %v on the way to %s", v, path)
		}
	}
	if s, ok := doc.(string); ok {
		return s, nil
	}
	out, err := json.Marshal(doc)
	return string(out), err
}

func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 1, "flip FILE")
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(found) != 1 {
		ts.Fatalf("%s matches %d files, want 1", args[0], len(found))
	}
	raw, err := os.ReadFile(found[0])
	ts.Check(err)
	raw[len(raw)/2] ^= 1
	ts.Check(os.WriteFile(found[0], raw, 0o600))
}

func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "count GLOB N")
	found, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if strconv.Itoa(len(found)) != args[1] {
		ts.Fatalf("%s matches %d files, want %s: %q", args[0], len(found), args[1], found)
	}
}

func cmdMode(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 2, "mode PERM FILE...")
	for _, file := range args[1:] {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", file, got, args[0])
		}
	}
}

func cmdLines(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, args, 4, "lines FILE LEAST MOST RE")
	least, errLeast := strconv.Atoi(args[1])
	most, errMost := strconv.Atoi(args[2])
	ts.Check(errors.Join(errLeast, errMost))
	n := len(regexp.MustCompile("(?m)"+args[3]).FindAllString(ts.ReadFile(args[0]), -1))
	if n < least || n > most {
		ts.Fatalf("%d lines of %s match %q, want %d to %d", n, args[0], args[3], least, most)
	}
}

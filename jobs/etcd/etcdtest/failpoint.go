package etcdtest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Failpoint makes the member do what terms say whenever it passes the place in its code that
// has that name; without terms it passes there as ever again. The cluster has Options.Failpoints.
//
// Terms are gofail's: sleep(3000) of milliseconds, panic, return("text"), 2*sleep(50)->off. A
// sleep that has begun goes on to its end. Known are the failpoints of etcd's backend:
// defragBeforeCopy stands inside all locks of a defragmentation, defragBeforeRename before the
// new file takes the old one's place. What was set ends with the member's process.
func (m *Member) Failpoint(t testing.TB, name, terms string) {
	t.Helper()
	if m.fail == "" {
		t.Fatalf("failpoint of member %s: started without Options.Failpoints", m.Name)
	}
	if terms == "" {
		terms = "off"
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	if err := m.setFailpoint(ctx, name, terms); err != nil {
		t.Fatalf("failpoint %s of member %s: %v", name, m.Name, err)
	}
}

func (m *Member) setFailpoint(ctx context.Context, name, terms string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+m.fail+"/"+name, strings.NewReader(terms))
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		why, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%q: %s: %s", terms, resp.Status, strings.TrimSpace(string(why)))
	}
	return nil
}

// reserveFail takes a port for the member's failpoints. gofail listens without SO_REUSEPORT, so
// the port that we hold cannot be the one that it is given: it gets the same number on another
// address of loopback, where nothing else in these tests listens and nobody calls from.
func (m *Member) reserveFail(t testing.TB) {
	t.Helper()
	_, number, err := net.SplitHostPort(m.reserve(t))
	if err != nil {
		t.Fatalf("reserve a port: %v", err)
	}
	m.fail = net.JoinHostPort("127.0.0.2", number)
}

// binary is the server's name among the tools.
func (m *Member) binary() string {
	if m.fail != "" {
		return "etcd-" + m.Version + "-fail"
	}
	return "etcd-" + m.Version
}

func (m *Member) env() []string {
	if m.fail == "" {
		return m.c.o.Env
	}
	return append([]string{"GOFAIL_HTTP=" + m.fail}, m.c.o.Env...)
}

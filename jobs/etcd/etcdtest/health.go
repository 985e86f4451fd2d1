package etcdtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// WaitHealthy waits until every member is.
func (c *Cluster) WaitHealthy(t testing.TB) {
	t.Helper()
	for _, m := range c.Members {
		m.WaitHealthy(t)
	}
}

// WaitHealthy waits until the member serves clients, knows a leader, and a read through the
// quorum comes back; alarms do not count. It fails the test when the process ends instead.
func (m *Member) WaitHealthy(t testing.TB) {
	t.Helper()
	m.await(t, "is healthy", m.healthy)
}

// Metric is one sample of the member's /metrics, by its name and labels as written there.
func (m *Member) Metric(t testing.TB, sample string) float64 {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	v, err := m.metric(ctx, sample)
	if err != nil {
		t.Fatalf("metric of member %s: %v", m.Name, err)
	}
	return v
}

func (m *Member) await(t testing.TB, what string, ready func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), startWait)
	defer stop()
	m.mu.Lock()
	proc := m.proc
	m.mu.Unlock()
	if proc == nil {
		t.Fatalf("member %s does not run", m.Name)
	}
	if err := proc.Await(ctx, ready); err != nil {
		if proc.Ended() {
			t.Fatalf("member %s ended by itself and wrote:\n%s", m.Name, m.excerpt())
		}
		t.Fatalf("wait until member %s %s: %v", m.Name, what, err)
	}
}

// alive asks for no more than that the process answers.
func (m *Member) alive(ctx context.Context) error {
	_, err := m.get(ctx, m.MetricsURL+"/metrics")
	return err
}

// healthy asks the client port first: it is served only once the member has joined, and a
// request waits there for it, so that polling does not fill the log.
func (m *Member) healthy(ctx context.Context) error {
	if _, err := m.get(ctx, m.ListenURL+"/version"); err != nil {
		return err
	}
	answer, err := m.get(ctx, m.MetricsURL+"/health?exclude=NOSPACE&exclude=CORRUPT")
	if err != nil {
		return err
	}
	var health struct{ Health, Reason string }
	if err := json.Unmarshal(answer, &health); err != nil {
		return fmt.Errorf("parse health %q: %w", answer, err)
	}
	if health.Health != "true" {
		return fmt.Errorf("health of %s: %s", m.Name, health.Reason)
	}
	return m.readID(ctx)
}

// readID takes the member's id from where no login is needed.
func (m *Member) readID(ctx context.Context) error {
	text, err := m.get(ctx, m.MetricsURL+"/metrics")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(text), "\netcd_server_id{server_id=\"")
	id, _, _ := strings.Cut(rest, "\"")
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return fmt.Errorf("id of member %s: %w", m.Name, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ID = n
	return nil
}

func (m *Member) metric(ctx context.Context, sample string) (float64, error) {
	text, err := m.get(ctx, m.MetricsURL+"/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), sample+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no sample %q", sample)
}

func (m *Member) get(ctx context.Context, url string) ([]byte, error) {
	config, err := m.c.tlsConfig()
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: %s: %s", url, resp.Status, strings.TrimSpace(string(body)))
	}
	return body, nil
}

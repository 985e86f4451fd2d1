package storetest

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/test/child"
)

// A ToxicProxy stands before one store, and passes bytes on until it is told to fail. Faults
// add up, and hold for connections from then on; an open one may meet them or not.
type ToxicProxy struct {
	Endpoint string // http://host:port
	api      string // of toxiproxy, for this one proxy
}

// A Way is a direction in which bytes go.
type Way string

// Up goes to the store, Down to the client.
const (
	Up   Way = "upstream"
	Down Way = "downstream"
)

// Toxi runs toxiproxy before a store's endpoint until the test ends, on the store's own
// address as Liar does.
func Toxi(t testing.TB, endpoint string) *ToxicProxy {
	t.Helper()
	addr := freeAddr(t)
	ip, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	start(t, "toxiproxy", addr, "/version", []string{
		child.Tool(t, "toxiproxy", "toxiproxy-server"), "-host", ip, "-port", port,
	}, nil)
	listen, _, err := net.SplitHostPort(host(endpoint))
	if err != nil {
		t.Fatalf("toxi: %v", err)
	}
	p := &ToxicProxy{api: "http://" + addr + "/proxies"}
	var made struct{ Listen string }
	answer := p.call(t, http.MethodPost, "", map[string]any{
		"name": "store", "listen": listen + ":0", "upstream": host(endpoint), "enabled": true,
	})
	if err := json.Unmarshal(answer, &made); err != nil {
		t.Fatalf("toxi: %v in %q", err, answer)
	}
	p.Endpoint, p.api = "http://"+made.Listen, p.api+"/store"
	return p
}

// Latency makes each request and its answer come d later, half of it each way.
func (p *ToxicProxy) Latency(t testing.TB, d time.Duration) {
	t.Helper()
	for _, way := range []Way{Up, Down} {
		p.toxic(t, way, "latency", map[string]any{"latency": d.Milliseconds() / 2})
	}
}

// Bandwidth limits what goes one way, in units of 1000 bytes a second.
func (p *ToxicProxy) Bandwidth(t testing.TB, way Way, kilobytes int) {
	t.Helper()
	p.toxic(t, way, "bandwidth", map[string]any{"rate": kilobytes})
}

// End ends each connection in an orderly way once n bytes went one way.
func (p *ToxicProxy) End(t testing.TB, way Way, n int64) {
	t.Helper()
	p.toxic(t, way, "limit_data", map[string]any{"bytes": n})
}

// Reset resets each connection once n bytes went one way; the last of these may be lost.
func (p *ToxicProxy) Reset(t testing.TB, way Way, n int64) {
	t.Helper()
	// A reset_peer that comes to no connection still makes each end of it a reset.
	p.add(t, map[string]any{
		"type": "reset_peer", "stream": way, "toxicity": 0, "attributes": map[string]any{"timeout": 0},
	})
	p.End(t, way, n)
}

// LoseAnswers lets the store hear and do all, and the client hear nothing; its connections
// end after d, with 0 never.
func (p *ToxicProxy) LoseAnswers(t testing.TB, d time.Duration) {
	t.Helper()
	p.toxic(t, Down, "timeout", map[string]any{"timeout": d.Milliseconds()})
}

// Silence lets nothing through to the store; connections end after d, with 0 never.
func (p *ToxicProxy) Silence(t testing.TB, d time.Duration) {
	t.Helper()
	p.toxic(t, Up, "timeout", map[string]any{"timeout": d.Milliseconds()})
}

// Refuse ends all connections and takes no new ones.
func (p *ToxicProxy) Refuse(t testing.TB) {
	t.Helper()
	p.call(t, http.MethodPost, "", map[string]any{"enabled": false})
}

// Heal ends all faults, at the same endpoint.
func (p *ToxicProxy) Heal(t testing.TB) {
	t.Helper()
	var toxics []struct{ Name string }
	answer := p.call(t, http.MethodGet, "/toxics", nil)
	if err := json.Unmarshal(answer, &toxics); err != nil {
		t.Fatalf("toxi: %v in %q", err, answer)
	}
	for _, toxic := range toxics {
		p.call(t, http.MethodDelete, "/toxics/"+toxic.Name, nil)
	}
	p.call(t, http.MethodPost, "", map[string]any{"enabled": true})
}

func (p *ToxicProxy) toxic(t testing.TB, way Way, kind string, attributes map[string]any) {
	t.Helper()
	p.add(t, map[string]any{"type": kind, "stream": way, "attributes": attributes})
}

// add gives a toxic a name of its own: by the one that toxiproxy gives, two alike would clash.
func (p *ToxicProxy) add(t testing.TB, toxic map[string]any) {
	t.Helper()
	toxic["name"] = randomName("toxic")
	p.call(t, http.MethodPost, "/toxics", toxic)
}

// call asks toxiproxy itself.
func (p *ToxicProxy) call(t testing.TB, method, path string, in map[string]any) []byte {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, p.api+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := httpClient(t).Do(req)
	if err != nil {
		t.Fatalf("toxi: %v", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("toxi: %s %s %s: %s, %v: %s", method, path, body, resp.Status, err, answer)
	}
	return answer
}

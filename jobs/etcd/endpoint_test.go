package etcd

import (
	"errors"
	"strings"
	"testing"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

func TestEndpointsAreReadAsURLs(t *testing.T) {
	for _, c := range []struct {
		text     string
		tlsFiles bool
		want     string
	}{
		{"10.0.0.1:2379", false, "http://10.0.0.1:2379"},
		{"10.0.0.1:2379", true, "https://10.0.0.1:2379"},
		{"http://10.0.0.1:2379", true, "http://10.0.0.1:2379"},
		{"https://10.0.0.1:2379", false, "https://10.0.0.1:2379"},
		{"https://10.0.0.1:2379/", false, "https://10.0.0.1:2379"},
		{"etcd-0.etcd.svc:2379", false, "http://etcd-0.etcd.svc:2379"},
		{"localhost:2379", true, "https://localhost:2379"},
		{"[::1]:2379", false, "http://[::1]:2379"},
		{"https://[fd00::1]:2379", false, "https://[fd00::1]:2379"},
		{"http://[fe80::1%25eth0]:2379", false, "http://[fe80::1%eth0]:2379"},
	} {
		got, err := parseEndpoint(c.text, c.tlsFiles)
		if err != nil || got.String() != c.want {
			t.Errorf("parseEndpoint(%q, %v) = %q, %v; want %q", c.text, c.tlsFiles, got, err, c.want)
		}
		if err := CheckEndpoint(c.text); err != nil {
			t.Errorf("CheckEndpoint(%q): %v, want nil", c.text, err)
		}
	}
}

func TestCheckEndpointRefusesWhatIsNone(t *testing.T) {
	for _, text := range []string{
		"", " ", "etcd", "10.0.0.1", ":2379", "http://", "https://:2379", "http://etcd", "[::1]", "::1:2379", "fd00::1:2379",
		"10.0.0.1:", "10.0.0.1:port", "10.0.0.1:65536", "10.0.0.1:0", "10.0.0.1:-1", "10.0.0.1:2379 ", " 10.0.0.1:2379", "10.0.0. 1:2379",
		"ftp://10.0.0.1:2379", "HTTP//10.0.0.1:2379", "unix:///run/etcd.sock", "http://10.0.0.1:2379/v3", "10.0.0.1:2379/v3",
		"http://10.0.0.1:2379?x=1", "http://10.0.0.1:2379#x", "http://http://10.0.0.1:2379", "10.0.0.1:2379,10.0.0.2:2379",
		"http://10.0.0.1:2379,http://10.0.0.2:2379", "10.0.0.1:23\n79", "http://10.0.0.1:2379\x00",
	} {
		err := CheckEndpoint(text)
		if !errors.Is(err, ErrBadEndpoint) {
			t.Errorf("CheckEndpoint(%q) = %v, want ErrBadEndpoint", text, err)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("CheckEndpoint(%q) = %q, want one line", text, err)
		}
	}
}

func TestCheckEndpointShowsNoPassword(t *testing.T) {
	const secret = "canary-5e1f"
	for _, text := range []string{
		"http://root:" + secret + "@10.0.0.1:2379", "root:" + secret + "@10.0.0.1:2379", secret + "@10.0.0.1:2379",
		"http://root:" + secret + "@10.0.0.1", "http://root:" + secret + "@/x y", "http://root:" + secret + "@[::1", "ftp://root:" + secret + "@10.0.0.1:2379",
		"root:" + secret + "@", "http://root:" + secret + "%zz@10.0.0.1:2379",
	} {
		err := CheckEndpoint(text)
		if !errors.Is(err, ErrBadEndpoint) || strings.Contains(err.Error(), secret) {
			t.Errorf("CheckEndpoint(%q) = %v, want ErrBadEndpoint without the password", text, err)
		}
	}
}

func TestABadEndpointIsRefusedBeforeOthersAreAsked(t *testing.T) {
	t.Parallel()
	p := etcdtest.NewProxy(t, silent(t))
	_, err := Discover(t.Context(), Config{Endpoints: []string{p.Addr, "10.0.0.1"}})
	if !errors.Is(err, ErrBadEndpoint) || p.Connections() != 0 {
		t.Errorf("Discover with a bad endpoint = %v after %d connections, want ErrBadEndpoint and none", err, p.Connections())
	}
}

// TestEveryFormOfEndpointReachesItsMember uses real servers, one in the clear and one with TLS.
func TestEveryFormOfEndpointReachesItsMember(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		c := etcdtest.Start(t, etcdtest.Options{TLS: secure})
		scheme, ipv4, _ := strings.Cut(c.Members[0].ListenURL, "://")
		_, port, _ := strings.Cut(ipv4, ":")
		ipv6 := balancer(t, "tcp6", "[::1]:0", ipv4)
		for _, at := range []string{ipv4, "localhost:" + port, ipv6} {
			for _, endpoint := range []string{at, scheme + "://" + at, scheme + "://" + at + "/"} {
				cfg := configOf(c)
				cfg.Endpoints = []string{endpoint}
				got, err := Discover(t.Context(), cfg)
				if err != nil {
					t.Errorf("Discover(%q): %v", endpoint, err)
					continue
				}
				want := scheme + "://" + at
				if m := member(t, got, c.Members[0].ID); m.Endpoint() != want || len(got.Faults) != 0 {
					t.Errorf("Discover(%q) reached %q with faults %v, want %q and none", endpoint, m.Endpoint(), got.Faults, want)
				}
			}
		}
	}
}

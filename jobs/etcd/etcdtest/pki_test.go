package etcdtest

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// trusting is a TLS configuration as the code under test would have it, with some certificate
// or none.
func trusting(t *testing.T, c *Cluster, p Pair) *tls.Config {
	t.Helper()
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if pem, err := os.ReadFile(c.CA); err != nil || !config.RootCAs.AppendCertsFromPEM(pem) {
		t.Fatalf("read %s: %v", c.CA, err)
	}
	if p == (Pair{}) {
		return config
	}
	pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		t.Fatalf("load pair: %v", err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config
}

// ask gets a member's version, over a connection of its own.
func ask(t *testing.T, c *Cluster, p Pair) error {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: trusting(t, c, p), DisableKeepAlives: true}
	client := http.Client{Transport: transport, Timeout: callWait}
	resp, err := client.Get(c.Endpoints()[0] + "/version")
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func TestSickClientCertificatesAreRefused(t *testing.T) {
	c := Start(t, Options{TLS: true})
	for name, good := range map[string]Pair{
		"client": c.PKI.Client,
		"named":  c.PKI.ClientNamed(t, "someone"),
		"ending": c.PKI.ClientUntil(t, time.Now().Add(time.Hour)),
		"server": c.PKI.Server,
	} {
		if err := ask(t, c, good); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, sick := range []struct {
		name string
		pair Pair
		why  string // as Go's server tells it to its log
	}{
		{"none", Pair{}, "client didn't provide a certificate"},
		{"expired", c.PKI.Expired(t), "certificate has expired"},
		{"wrong authority", c.PKI.WrongCA(t), "certificate signed by unknown authority"},
		{"no client auth", c.PKI.NoClientAuth(t), "certificate specifies an incompatible key usage"},
	} {
		if err := ask(t, c, sick.pair); err == nil {
			t.Errorf("%s: the server took it", sick.name)
		}
		waitFor(t, "log of "+sick.why, func() bool { return strings.Contains(c.Members[0].Log(), sick.why) })
	}
}

func TestWrongHostIsForOthersToFind(t *testing.T) {
	pki := NewPKI(t)
	c := Start(t, Options{TLS: true, PKI: pki, ServerCert: pki.WrongHost(t)})
	checkReachesAll(t, c) // the test's own look is not in the way
	err := ask(t, c, c.PKI.Client)
	var wrong x509.HostnameError
	if !errors.As(err, &wrong) {
		t.Errorf("get: %v, want a host name error", err)
	}
}

func TestServerCertificateFitsItsNames(t *testing.T) {
	pki := NewPKI(t)
	pair, err := tls.LoadX509KeyPair(pki.Server.Cert, pki.Server.Key)
	if err != nil {
		t.Fatalf("load pair: %v", err)
	}
	for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	if err := pair.Leaf.VerifyHostname("127.0.0.2"); err == nil {
		t.Error("the certificate fits 127.0.0.2 too")
	}
}

func TestCommonNameIsTheUserWithAuth(t *testing.T) {
	for _, version := range Versions {
		c := Start(t, Options{Version: version, TLS: true, Auth: true})
		hashKV := func(name string) error {
			client, err := clientv3.New(clientv3.Config{
				Endpoints: c.Endpoints(), TLS: trusting(t, c, c.PKI.ClientNamed(t, name)), Logger: zap.NewNop(),
			})
			if err != nil {
				t.Fatalf("client: %v", err)
			}
			defer client.Close()
			_, err = client.HashKV(t.Context(), c.Endpoints()[0], 0)
			return err
		}
		if err := hashKV(RootUser); err != nil {
			t.Errorf("%s: HashKV as root by certificate: %v", version, err)
		}
		for name, why := range map[string]string{ReaderUser: "permission denied", "stranger": "not found"} {
			if err := hashKV(name); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s: HashKV as %s by certificate: %v, want %s", version, name, err, why)
			}
		}
	}
}

package etcd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
)

// wantFault checks what an operator gets: one line that names the layer, marked as etcd's
// fault, with no password in it.
func wantFault(t *testing.T, err error, hint string) {
	t.Helper()
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v, want ErrUnavailable", err)
	}
	text := err.Error()
	if !strings.Contains(text, hint) {
		t.Errorf("got %q, want %q in it", text, hint)
	}
	for _, secret := range []string{etcdtest.RootPassword, etcdtest.ReaderPassword, wrongPassword} {
		if strings.Contains(text, secret) {
			t.Errorf("got %q, with a password in it", text)
		}
	}
}

const wrongPassword = "canary-wrong-password-77d0"

// use does all that a snapshot asks of one endpoint, and returns the first fault.
func use(t *testing.T, cfg Config) error {
	t.Helper()
	c, err := Discover(t.Context(), cfg)
	if err != nil {
		return err
	}
	conn, err := c.Connect(t.Context(), c.Members[0])
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.HashKV(t.Context(), 1); err != nil {
		return err
	}
	return conn.Snapshot(t.Context(), Stream{To: &sink{}})
}

// TestEachFaultIsToldApart breaks one thing at a time between us and real servers.
func TestEachFaultIsToldApart(t *testing.T) {
	t.Parallel()
	secure := etcdtest.Start(t, etcdtest.Options{TLS: true, Auth: true})
	plain := etcdtest.Start(t, etcdtest.Options{Auth: true})
	elsewhere := etcdtest.Start(t, etcdtest.Options{TLS: true, PKI: secure.PKI, ServerCert: secure.PKI.WrongHost(t)})
	pki := secure.PKI
	for _, c := range []struct {
		name string
		of   *etcdtest.Cluster
		sick func(cfg *Config)
		hint string
	}{
		{"wrong CA", secure, func(cfg *Config) { cfg.CACert = etcdtest.NewPKI(t).CA }, "not signed by the CA given (--cacert)"},
		{"no CA", secure, func(cfg *Config) { cfg.CACert = "" }, "not signed by the CA given (--cacert)"},
		{"CA file missing", secure, func(cfg *Config) { cfg.CACert = "/nowhere/ca.crt" }, "/nowhere/ca.crt"},
		{"CA file of something else", secure, func(cfg *Config) { cfg.CACert = pki.Client.Key }, "no certificate in it"},
		{"key of another certificate", secure, func(cfg *Config) { cfg.Key = pki.Server.Key }, "private key does not match"},
		{"key missing", secure, func(cfg *Config) { cfg.Key = "" }, "read client certificate"},
		{"wrong host name", elsewhere, func(*Config) {}, "another host name (--server-name)"},
		{"wrong server name", secure, func(cfg *Config) { cfg.ServerName = "elsewhere.example" }, "another host name (--server-name)"},
		{"expired client certificate", secure, func(cfg *Config) { p := pki.Expired(t); cfg.Cert, cfg.Key = p.Cert, p.Key }, "our client certificate expired at 2"},
		{"certificate without clientAuth", secure, func(cfg *Config) { p := pki.NoClientAuth(t); cfg.Cert, cfg.Key = p.Cert, p.Key }, "lacks the usage clientAuth"},
		{"client certificate of another CA", secure, func(cfg *Config) { p := pki.WrongCA(t); cfg.Cert, cfg.Key = p.Cert, p.Key }, "does not trust our client certificate"},
		{"no client certificate", secure, func(cfg *Config) { cfg.Cert, cfg.Key = "", "" }, "wants a client certificate (--cert, --key)"},
		{"wrong password", secure, func(cfg *Config) { cfg.Password = wrongPassword }, "wrong user or password"},
		{"wrong password, in the clear", plain, func(cfg *Config) { cfg.Password = wrongPassword }, "wrong user or password"},
		{"no such user", plain, func(cfg *Config) { cfg.User = "nobody" }, "wrong user or password"},
		{"user without root's rights", plain, func(cfg *Config) { cfg.User, cfg.Password = etcdtest.ReaderUser, etcdtest.ReaderPassword }, "the user lacks the right"},
		{"auth on and no login", plain, func(cfg *Config) { cfg.User, cfg.Password = "", "" }, "wants a login (--user, --password-file)"},
		{"http to a TLS port", secure, func(cfg *Config) { cfg.Endpoints = []string{strings.Replace(cfg.Endpoints[0], "https", "http", 1)} }, "https"},
		{"https to a plain port", plain, func(cfg *Config) { cfg.Endpoints = []string{strings.Replace(cfg.Endpoints[0], "http", "https", 1)} }, "http instead of https"},
		{"nothing listens", plain, func(cfg *Config) { cfg.Endpoints = []string{deadPort(t)} }, "nothing listens there"},
		{"a name that does not resolve", plain, func(cfg *Config) { cfg.Endpoints = []string{"no-such-host.invalid:2379"} }, "the name does not resolve"},
		{"a port that never answers", plain, func(cfg *Config) { cfg.Endpoints = []string{silent(t)}; cfg.Timeout = time.Second }, "no answer in time"},
		{"a TLS port that never answers", secure, func(cfg *Config) { cfg.Endpoints = []string{silent(t)}; cfg.Timeout = time.Second }, "no answer in time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := configOf(c.of)
			c.sick(&cfg)
			within(t, 8*time.Second, "the fault", func() { wantFault(t, use(t, cfg), c.hint) })
		})
	}
	t.Run("nothing is wrong", func(t *testing.T) {
		for _, c := range []*etcdtest.Cluster{secure, plain} {
			if err := use(t, configOf(c)); err != nil {
				t.Errorf("with nothing sick: %v", err)
			}
		}
	})
	t.Run("a server name cures the wrong host name", func(t *testing.T) {
		cfg := configOf(elsewhere)
		cfg.ServerName = "elsewhere.example"
		if err := use(t, cfg); err != nil {
			t.Errorf("with ServerName: %v", err)
		}
	})
}

// TestAnErrorIsOneLine looks at what Discover says when it has several faults to tell of.
func TestAnErrorIsOneLine(t *testing.T) {
	t.Parallel()
	_, err := Discover(t.Context(), Config{Endpoints: []string{deadPort(t), "no-such-host.invalid:2379"}})
	wantFault(t, err, "nothing listens there")
	wantFault(t, err, "the name does not resolve")
}

func TestAnExpiredServerCertificateIsNamed(t *testing.T) {
	t.Parallel()
	pair, ca := selfSigned(t, time.Now().Add(-time.Minute))
	hostPort := listen(t, "tcp4", "127.0.0.1:0", func(c net.Conn, _ int) {
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
	})
	_, err := Discover(t.Context(), Config{Endpoints: []string{"https://" + hostPort}, CACert: ca})
	wantFault(t, err, "the member's certificate has expired")
}

// selfSigned makes a server certificate that is its own authority, and the PEM file of that.
func selfSigned(t *testing.T, notAfter time.Time) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "expired"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca
}

func TestKeyFilesAreReadAgainAtEachConnection(t *testing.T) {
	t.Parallel()
	c := etcdtest.Start(t, etcdtest.Options{TLS: true})
	dir := t.TempDir()
	cfg := configOf(c)
	cfg.CACert, cfg.Cert, cfg.Key = filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	lay := func(ca string, pair etcdtest.Pair) {
		t.Helper()
		for to, from := range map[string]string{cfg.CACert: ca, cfg.Cert: pair.Cert, cfg.Key: pair.Key} {
			text, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	lay(c.CA, c.PKI.Client)
	known := discover(t, cfg)
	connect := func() error {
		conn, err := known.Connect(t.Context(), known.Members[0])
		if err != nil {
			return err
		}
		return conn.Close()
	}
	if err := connect(); err != nil {
		t.Fatalf("Connect with good files: %v", err)
	}
	lay(c.CA, c.PKI.Expired(t))
	wantFault(t, connect(), "our client certificate expired")
	lay(etcdtest.NewPKI(t).CA, c.PKI.Client)
	wantFault(t, connect(), "not signed by the CA given")
	lay(c.CA, c.PKI.ClientNamed(t, "renewed"))
	if err := connect(); err != nil {
		t.Errorf("Connect with renewed files: %v", err)
	}
}

// TestACallersOwnEndIsNotEtcdsFault cancels and times out the caller's context.
func TestACallersOwnEndIsNotEtcdsFault(t *testing.T) {
	t.Parallel()
	mine := errors.New("stopped by hand")
	ctx, stop := context.WithCancelCause(t.Context())
	stopped := time.AfterFunc(100*time.Millisecond, func() { stop(mine) })
	defer stopped.Stop()
	within(t, 3*time.Second, "Discover", func() {
		_, err := Discover(ctx, Config{Endpoints: []string{silent(t)}})
		if !errors.Is(err, mine) {
			t.Errorf("Discover after a cancel = %v, want the context's cause", err)
		}
	})
}

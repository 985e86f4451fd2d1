package etcdtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A Pair is a certificate and its key, as paths of PEM files.
type Pair struct{ Cert, Key string }

// A PKI is a certificate authority with what it signed, as PEM files in a folder of the
// test's own. All authorities made here bear the same name, so that a client offers a
// certificate of the wrong one instead of none.
type PKI struct {
	CA     string // the authority's certificate
	Server Pair   // for 127.0.0.1, ::1 and localhost; also a client certificate, since members are each other's clients
	Client Pair   // clientAuth alone, common name "etcdtest"

	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewPKI makes an authority, a server and a client certificate, all good for a day.
func NewPKI(t testing.TB) *PKI {
	t.Helper()
	p := &PKI{dir: t.TempDir(), key: newKey(t)}
	p.cert = &x509.Certificate{
		SerialNumber: newSerial(t), Subject: pkix.Name{CommonName: "etcdtest CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, p.cert, p.cert, &p.key.PublicKey, p.key)
	if err != nil {
		t.Fatalf("sign the authority: %v", err)
	}
	// Parsed again, for the key id that signing put into it.
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatalf("parse the authority: %v", err)
	}
	p.CA = writePEM(t, filepath.Join(p.dir, "ca.crt"), "CERTIFICATE", der)
	p.Server = p.issue(t, "server", func(c *x509.Certificate) {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
		c.DNSNames = []string{"localhost"}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	})
	p.Client = p.ClientNamed(t, "etcdtest")
	return p
}

// ClientNamed makes a good client certificate; with auth enabled, etcd takes its common name
// for the user where no password came. Kubernetes takes its organizations for groups.
func (p *PKI) ClientNamed(t testing.TB, name string, groups ...string) Pair {
	t.Helper()
	return p.issue(t, name, func(c *x509.Certificate) { c.Subject.Organization = groups })
}

// ClientUntil makes a client certificate that ends at notAfter.
func (p *PKI) ClientUntil(t testing.TB, notAfter time.Time) Pair {
	t.Helper()
	return p.issue(t, "ending", func(c *x509.Certificate) { c.NotAfter = notAfter })
}

// Expired makes a client certificate that ended a minute ago.
func (p *PKI) Expired(t testing.TB) Pair {
	t.Helper()
	return p.ClientUntil(t, time.Now().Add(-time.Minute))
}

// WrongCA makes a client certificate of another authority of the same name.
func (p *PKI) WrongCA(t testing.TB) Pair {
	t.Helper()
	return NewPKI(t).Client
}

// NoClientAuth makes a certificate that may serve but not call.
func (p *PKI) NoClientAuth(t testing.TB) Pair {
	t.Helper()
	return p.issue(t, "server-only", func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	})
}

// WrongHost makes a server certificate for another host, for Options.ServerCert.
func (p *PKI) WrongHost(t testing.TB) Pair {
	t.Helper()
	return p.issue(t, "elsewhere", func(c *x509.Certificate) {
		c.DNSNames = []string{"elsewhere.example"}
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	})
}

// issue signs a client certificate of that name, after change had its way with it.
func (p *PKI) issue(t testing.TB, name string, change func(*x509.Certificate)) Pair {
	t.Helper()
	key := newKey(t)
	c := &x509.Certificate{
		SerialNumber: newSerial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(c)
	cert, err := x509.CreateCertificate(rand.Reader, c, p.cert, &key.PublicKey, p.key)
	if err != nil {
		t.Fatalf("sign certificate %q: %v", name, err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatalf("encode key of %q: %v", name, err)
	}
	base := filepath.Join(p.dir, fmt.Sprintf("%s-%x", name, c.SerialNumber))
	return Pair{
		Cert: writePEM(t, base+".crt", "CERTIFICATE", cert),
		Key:  writePEM(t, base+".key", "EC PRIVATE KEY", secret),
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("make key: %v", err)
	}
	return key
}

func newSerial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatalf("make serial number: %v", err)
	}
	return n
}

func writePEM(t testing.TB, path, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatalf("write certificate: %v", err)
	}
	return path
}

package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A pair is a certificate with its key, files PATH.crt and PATH.key.
type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// leaf says what a certificate is to be.
type leaf struct {
	path         string // under the folder, without ending
	signer       string // the path of the authority
	name         string
	organization string
	hosts        []string // where given, a server's
}

// leaves are those that kubeadm makes, with their names and organizations.
var leaves = []leaf{
	{"etcd/server", "etcd/ca", "node1", "", []string{"localhost", "node1", "127.0.0.1", "::1", Address}},
	{"etcd/peer", "etcd/ca", "node1", "", []string{"localhost", "node1", "127.0.0.1", "::1", Address}},
	{"etcd/healthcheck-client", "etcd/ca", "kube-etcd-healthcheck-client", "", nil},
	{"apiserver-etcd-client", "etcd/ca", "kube-apiserver-etcd-client", "", nil},
	{"apiserver", "ca", "kube-apiserver", "", []string{"node1", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc.cluster.local", "localhost", "127.0.0.1", "10.96.0.1", Address}},
	{"apiserver-kubelet-client", "ca", "kube-apiserver-kubelet-client", "system:masters", nil},
	{"kubelet", "ca", "system:node:node1", "system:nodes", []string{"node1", Address}},
	{"admin", "ca", "kubernetes-admin", "system:masters", nil},
	{"controller-manager", "ca", "system:kube-controller-manager", "", nil},
	{"scheduler", "ca", "system:kube-scheduler", "", nil},
	{"proxy", "ca", "system:kube-proxy", "", nil},
}

// writePKI makes authorities, certificates and the key of service accounts in a folder.
func writePKI(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "etcd"), 0o755); err != nil {
		return err
	}
	authorities := map[string]pair{}
	for path, name := range map[string]string{"ca": "kubernetes", "etcd/ca": "etcd-ca"} {
		made, err := authority(name)
		if err != nil {
			return fmt.Errorf("make authority %s: %w", name, err)
		}
		if err := made.write(filepath.Join(dir, path)); err != nil {
			return err
		}
		authorities[path] = made
	}
	for _, l := range leaves {
		made, err := l.make(authorities[l.signer])
		if err != nil {
			return fmt.Errorf("make certificate %s: %w", l.path, err)
		}
		if err := made.write(filepath.Join(dir, l.path)); err != nil {
			return err
		}
	}
	return writeAccountKey(dir)
}

func authority(name string) (pair, error) {
	template := template(name, "")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	return sign(template, pair{})
}

func (l leaf) make(signer pair) (pair, error) {
	template := template(l.name, l.organization)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(l.hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range l.hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return sign(template, signer)
}

func template(name, organization string) *x509.Certificate {
	subject := pkix.Name{CommonName: name}
	if organization != "" {
		subject.Organization = []string{organization}
	}
	now := time.Now()
	return &x509.Certificate{Subject: subject, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour)}
}

// sign gives the template a serial number, a key and a signature: its own where the signer is empty.
func sign(template *x509.Certificate, signer pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return pair{}, err
	}
	if signer.key == nil {
		signer = pair{certificate: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.certificate, key.Public(), signer.key)
	if err != nil {
		return pair{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return pair{certificate: certificate, key: key}, err
}

func (p pair) write(path string) error {
	key, err := x509.MarshalECPrivateKey(p.key)
	if err != nil {
		return err
	}
	if err := writePEM(path+".key", "EC PRIVATE KEY", key, 0o600); err != nil {
		return err
	}
	return writePEM(path+".crt", "CERTIFICATE", p.certificate.Raw, 0o644)
}

// writeAccountKey makes what signs the tokens of service accounts, and what checks them.
func writeAccountKey(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, "sa.key"), "EC PRIVATE KEY", private, 0o600); err != nil {
		return err
	}
	return writePEM(filepath.Join(dir, "sa.pub"), "PUBLIC KEY", public, 0o644)
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

// kubeconfig is the file by which a program reaches the API server as the owner of a certificate.
const kubeconfig = `apiVersion: v1
kind: Config
current-context: node1
clusters:
- {name: node1, cluster: {server: "https://` + Address + `:6443", certificate-authority-data: %s}}
users:
- {name: user, user: {client-certificate-data: %s, client-key-data: %s}}
contexts:
- {name: node1, context: {cluster: node1, user: user}}
`

// writeKubeconfigs makes NAME.conf of certificates in the folder pki beside them, which they contain.
func writeKubeconfigs(dir string) error {
	for _, name := range []string{"admin", "kubelet", "controller-manager", "scheduler", "proxy"} {
		var contents []any
		for _, file := range []string{"ca.crt", name + ".crt", name + ".key"} {
			text, err := os.ReadFile(filepath.Join(dir, "pki", file))
			if err != nil {
				return err
			}
			contents = append(contents, base64.StdEncoding.EncodeToString(text))
		}
		if err := os.WriteFile(filepath.Join(dir, name+".conf"), fmt.Appendf(nil, kubeconfig, contents...), 0o600); err != nil {
			return err
		}
	}
	return nil
}

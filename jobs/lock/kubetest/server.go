package kubetest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/etcdtest"
	"github.com/etcdsafe/etcdsafe/test/child"
)

// startWait is how long the server may take on a busy machine; a quiet one takes 4 s.
const startWait = 2 * time.Minute

// A Server is one kube-apiserver.
type Server struct {
	URL string // https://127.0.0.1:PORT
	CA  string // file of the certificate that signed the server's

	admin *rest.Config
	log   string
}

// Start runs a server that keeps its objects in etcd. When it returns the server is ready; it
// ends with the test, before etcd does.
func Start(t testing.TB, etcd *etcdtest.Cluster) *Server {
	t.Helper()
	if etcd.User != "" {
		t.Fatalf("kube-apiserver has no password for etcd: start it without Auth")
	}
	pki := etcdtest.NewPKI(t)
	addr := etcdtest.ReservePort(t)
	s := &Server{URL: "https://" + addr, CA: pki.CA, log: filepath.Join(t.TempDir(), "kube-apiserver.log")}
	admin := pki.ClientNamed(t, "admin", "system:masters")
	s.admin = s.config()
	s.admin.CertData, s.admin.KeyData = read(t, admin.Cert), read(t, admin.Key)
	s.run(t, append(flags(t, pki, addr), etcdFlags(etcd)...))
	return s
}

// Admin may do everything. Each call gives a copy.
func (s *Server) Admin() *rest.Config { return rest.CopyConfig(s.admin) }

// read reads a certificate or a key. Given as files, client-go watches them with goroutines that
// end when the garbage collector finds the client gone, and goleak may look before.
func read(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("read certificate: %v", err)
	}
	return text
}

// config is for a client that nobody knows yet.
func (s *Server) config() *rest.Config {
	return &rest.Config{Host: s.URL, TLSClientConfig: rest.TLSClientConfig{CAFile: s.CA}, QPS: -1}
}

func flags(t testing.TB, pki *etcdtest.PKI, addr string) []string {
	return []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + addr[strings.LastIndex(addr, ":")+1:],
		"--permit-port-sharing", // the port is held for the server: see etcdtest.ReservePort
		"--advertise-address=127.0.0.1",
		"--endpoint-reconciler-type=none", // nobody may be sent to a loopback address
		"--service-cluster-ip-range=10.96.0.0/24",
		"--cert-dir=" + t.TempDir(),
		"--tls-cert-file=" + pki.Server.Cert, "--tls-private-key-file=" + pki.Server.Key,
		"--client-ca-file=" + pki.CA,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + pki.Server.Key, "--service-account-signing-key-file=" + pki.Server.Key,
		"--authorization-mode=RBAC",
		"--profiling=false",
	}
}

func etcdFlags(etcd *etcdtest.Cluster) []string {
	flags := []string{"--etcd-servers=" + strings.Join(etcd.Endpoints(), ",")}
	if etcd.CA == "" {
		return flags
	}
	return append(flags, "--etcd-cafile="+etcd.CA, "--etcd-certfile="+etcd.ClientCert, "--etcd-keyfile="+etcd.ClientKey)
}

// run starts the process and waits until it is ready.
func (s *Server) run(t testing.TB, flags []string) {
	t.Helper()
	log, err := os.Create(s.log)
	if err != nil {
		t.Fatalf("make the log of kube-apiserver: %v", err)
	}
	defer log.Close() // the process has its own copy
	proc, err := child.Start(child.Tool(t, "kube", "kube-apiserver"), flags, nil, log)
	if err != nil {
		t.Fatalf("kube-apiserver: %v", err)
	}
	t.Cleanup(func() {
		if err := proc.End(syscall.SIGKILL, 10*time.Second); err != nil {
			t.Errorf("end kube-apiserver: %v", err)
		}
		if t.Failed() {
			t.Logf("kube-apiserver wrote:\n%s", s.excerpt())
		}
	})
	ctx, stop := context.WithTimeout(t.Context(), startWait)
	defer stop()
	err = proc.Await(ctx, s.ready)
	if proc.Ended() {
		t.Fatalf("kube-apiserver ended by itself and wrote:\n%s", s.excerpt())
	}
	if err != nil {
		t.Fatalf("wait until kube-apiserver is ready: %v", err)
	}
}

func (s *Server) excerpt() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return child.Excerpt(string(text))
}

// ready asks for the server's own word, which comes once roles and namespaces are there.
func (s *Server) ready(ctx context.Context) error {
	client, err := rest.HTTPClientFor(s.admin)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/readyz?verbose", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	why, _ := io.ReadAll(resp.Body)
	return fmt.Errorf("%s: %s", resp.Status, why)
}

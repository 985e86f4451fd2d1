package etcdtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
)

// Versions are the etcd minors under test; one etcd, etcdctl and etcdutl of each is pinned.
var Versions = [...]string{"3.5", "3.6", "3.7"}

// The users of a cluster with auth. Passwords are long and odd, so that a test can search
// all output for them.
const (
	RootUser       = "root"
	RootPassword   = "etcdtest-root-password-5e1f"
	ReaderUser     = "reader"
	ReaderPassword = "etcdtest-reader-password-91c3"
)

// Options say what to start; the zero value is one member of 3.6 in the clear.
type Options struct {
	Version    string   // of Versions; "3.6" when empty
	Members    int      // voters; 1 when zero
	TLS        bool     // mutual TLS for clients and peers
	PKI        *PKI     // with TLS: whose certificates; a new one when nil
	ServerCert Pair     // with TLS: what clients see in place of PKI.Server, e.g. PKI.WrongHost
	Auth       bool     // auth enabled, with RootUser and with ReaderUser, who may read all keys and no more
	Proxied    bool     // each member behind a Proxy, whose address is the one that it advertises
	Failpoints bool     // servers with gofail, for Member.Failpoint; otherwise as the others
	QuotaBytes int64    // etcd's default when zero
	Args       []string // further flags of every member; the last of two wins
	Env        []string // the members' whole environment
	DataDir    string   // of the one member, where something lies already, such as a restored folder
}

// A Cluster is some members that know each other. Its methods are for the test's goroutine;
// those of its members may be called from others too, as long as these may fail the test.
type Cluster struct {
	Members                   []*Member
	PKI                       *PKI // nil without TLS
	CA, ClientCert, ClientKey string
	User, Password            string // root's; set them when a restored folder brings users along

	o   Options
	dir string
	all []*Member // also those that a test took out of Members
}

// Start runs a cluster. When it returns all members are healthy and there is a leader; they
// are stopped, and their folders removed, when the test ends.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	c := New(t, o)
	c.Run(t)
	return c
}

// StartOnDataDir runs one member of that version on a folder that was restored or left behind.
func StartOnDataDir(t testing.TB, version, dataDir string, extra ...string) *Cluster {
	t.Helper()
	return Start(t, Options{Version: version, DataDir: dataDir, Args: extra})
}

// New settles names, URLs and folders, and runs nothing yet: so that a restore can make the
// members' folders before Run.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	if o.Version == "" {
		o.Version = "3.6"
	}
	if o.Members == 0 {
		o.Members = 1
	}
	if o.DataDir != "" && o.Members != 1 {
		t.Fatalf("a data folder belongs to one member, not %d; make theirs between New and Run", o.Members)
	}
	c := &Cluster{o: o, dir: t.TempDir()}
	if o.TLS {
		c.secure(t)
	}
	t.Cleanup(func() { c.cleanup(t) })
	for i := range o.Members {
		c.add(t, fmt.Sprintf("m%d", i))
	}
	if o.DataDir != "" {
		c.Members[0].DataDir = o.DataDir
	}
	for _, m := range c.Members {
		m.join = []string{"--initial-cluster=" + c.InitialCluster(), "--initial-cluster-state=new"}
	}
	return c
}

func (c *Cluster) secure(t testing.TB) {
	t.Helper()
	if c.o.PKI == nil {
		c.o.PKI = NewPKI(t)
	}
	if c.o.ServerCert == (Pair{}) {
		c.o.ServerCert = c.o.PKI.Server
	}
	c.PKI = c.o.PKI
	c.CA, c.ClientCert, c.ClientKey = c.PKI.CA, c.PKI.Client.Cert, c.PKI.Client.Key
}

// add makes a member that is known here and to no server.
func (c *Cluster) add(t testing.TB, name string) *Member {
	t.Helper()
	m := &Member{Name: name, Version: c.o.Version, DataDir: filepath.Join(c.dir, name), c: c}
	c.all = append(c.all, m)
	scheme := "http://"
	if c.o.TLS {
		scheme = "https://"
	}
	m.ListenURL = scheme + m.reserve(t)
	m.ClientURL = m.ListenURL
	m.PeerURL = scheme + m.reserve(t)
	m.MetricsURL = "http://" + m.reserve(t)
	if c.o.Failpoints {
		m.reserveFail(t)
	}
	if c.o.Proxied {
		m.Proxy = NewProxy(t, m.ListenURL)
		m.ClientURL = scheme + m.Proxy.Addr
	}
	c.Members = append(c.Members, m)
	return m
}

// Run starts the members that New settled, and waits until all are healthy.
func (c *Cluster) Run(t testing.TB) {
	t.Helper()
	for _, m := range c.Members {
		m.start(t)
	}
	c.WaitHealthy(t)
	if c.o.Auth {
		c.enableAuth(t)
	}
}

// Endpoints are the client URLs that members advertise: what the code under test is given.
func (c *Cluster) Endpoints() []string {
	var urls []string
	for _, m := range c.Members {
		urls = append(urls, m.ClientURL)
	}
	return urls
}

// InitialCluster is --initial-cluster for all members, as restore wants it too.
func (c *Cluster) InitialCluster() string {
	var pairs []string
	for _, m := range c.Members {
		pairs = append(pairs, m.Name+"="+m.PeerURL)
	}
	return strings.Join(pairs, ",")
}

// tlsConfig is the test's own: it looks away where the servers show a strange certificate.
func (c *Cluster) tlsConfig() (*tls.Config, error) {
	if !c.o.TLS {
		return nil, nil
	}
	info := transport.TLSInfo{CertFile: c.ClientCert, KeyFile: c.ClientKey, TrustedCAFile: c.CA}
	config, err := info.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load the client's certificate: %w", err)
	}
	config.InsecureSkipVerify = c.o.ServerCert != c.PKI.Server
	return config, nil
}

// flags are a member's, its own last.
func (c *Cluster) flags(m *Member) []string {
	flags := []string{
		"--name=" + m.Name,
		"--data-dir=" + m.DataDir,
		"--listen-client-urls=" + m.ListenURL,
		"--advertise-client-urls=" + m.ClientURL,
		"--listen-peer-urls=" + m.PeerURL,
		"--initial-advertise-peer-urls=" + m.PeerURL,
		"--listen-metrics-urls=" + m.MetricsURL,
		"--socket-reuse-port", // the ports are held for the member: see port
		// No test pulls the plug: what a process wrote survives its being killed. Syncing
		// costs 10 ms and more for each write on a busy disk.
		"--unsafe-no-fsync",
		// Else a member is added only after all have been connected for five seconds.
		"--strict-reconfig-check=false",
		"--logger=zap", "--log-level=info", "--log-outputs=stderr",
	}
	flags = append(flags, m.join...)
	if c.o.Members == 1 {
		// A single voter has nobody to lose an election to, however busy the machine, and
		// leads after 0.2 s instead of 1 s.
		flags = append(flags, "--heartbeat-interval=20", "--election-timeout=200")
	}
	if c.o.TLS {
		flags = append(flags,
			"--client-cert-auth", "--trusted-ca-file="+c.CA,
			"--cert-file="+c.o.ServerCert.Cert, "--key-file="+c.o.ServerCert.Key,
			"--peer-client-cert-auth", "--peer-trusted-ca-file="+c.CA,
			"--peer-cert-file="+c.PKI.Server.Cert, "--peer-key-file="+c.PKI.Server.Key)
	}
	if c.o.Auth {
		flags = append(flags, "--bcrypt-cost=4") // the default takes 60 ms of CPU for each login
	}
	if c.o.QuotaBytes != 0 {
		flags = append(flags, fmt.Sprintf("--quota-backend-bytes=%d", c.o.QuotaBytes))
	}
	return append(append(flags, c.o.Args...), m.Args...)
}

// cleanup ends all members ever started, and gives their ports back.
func (c *Cluster) cleanup(t testing.TB) {
	for _, m := range c.all {
		if err := m.end(syscall.SIGKILL, 10*time.Second); err != nil {
			t.Errorf("end member %s: %v", m.Name, err)
		}
		if t.Failed() {
			t.Logf("member %s wrote:\n%s", m.Name, m.excerpt())
		}
		var errs []error
		for _, p := range m.ports {
			errs = append(errs, p.release())
		}
		if err := errors.Join(errs...); err != nil {
			t.Errorf("release ports of member %s: %v", m.Name, err)
		}
	}
}

package etcd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// ErrBadEndpoint marks text that is no endpoint.
var ErrBadEndpoint = errors.New("not an endpoint")

// Config says how members are reached. The zero value but for Endpoints means plain TCP
// without a login.
type Config struct {
	Endpoints  []string
	CACert     string // PEM file; the system's roots where empty
	Cert, Key  string // PEM files, read again at each connection
	ServerName string // expected in the server's certificate, instead of the host
	Insecure   bool   // do not verify the server's certificate
	User       string
	Password   Password
	Timeout    time.Duration // of one connection, login or short call; 5 s where 0

	// MetricsEndpoints are where members serve /metrics (etcd's --listen-metrics-urls), in any
	// order and without a scheme by http; each page says whose it is. None: at the client URLs.
	MetricsEndpoints []string
}

// Password is a text that nothing prints.
type Password string

// String serves fmt and slog.
func (Password) String() string { return "[redacted]" }

// GoString serves %#v.
func (Password) GoString() string { return "[redacted]" }

// MarshalText serves JSON.
func (Password) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

func (c Config) timeout() time.Duration {
	if c.Timeout <= 0 {
		return 5 * time.Second
	}
	return c.Timeout
}

func (c Config) hasTLS() bool { return c.CACert != "" || c.Cert != "" || c.Key != "" }

// address is where one endpoint is dialled.
type address struct {
	hostPort string
	secure   bool
}

// String is the endpoint as a URL, without a user part.
func (a address) String() string {
	if a.secure {
		return "https://" + a.hostPort
	}
	return "http://" + a.hostPort
}

// CheckEndpoint says whether s is an endpoint: host:port, with http, https or no scheme, IPv6
// in brackets. The error wraps ErrBadEndpoint.
func CheckEndpoint(s string) error {
	_, err := parseEndpoint(s, false)
	return err
}

// parseEndpoint reads s; without a scheme it is secure where TLS files are configured.
func parseEndpoint(s string, tlsFiles bool) (address, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "", s
	}
	rest = strings.ReplaceAll(rest, "%25", "%") // an IPv6 zone, as URLs write it
	host, port, err := net.SplitHostPort(strings.TrimSuffix(rest, "/"))
	number, portErr := strconv.ParseUint(port, 10, 16)
	switch {
	case scheme != "" && scheme != "http" && scheme != "https":
		return address{}, fmt.Errorf("endpoint %q: scheme %q: %w: want http or https", redactEndpoint(s), scheme, ErrBadEndpoint)
	case strings.Contains(rest, "@"):
		return address{}, fmt.Errorf("endpoint %q has a user part: %w: use --user", redactEndpoint(s), ErrBadEndpoint)
	case err != nil:
		return address{}, fmt.Errorf("endpoint %q: %w: want host:port, IPv6 in brackets", s, ErrBadEndpoint)
	case portErr != nil || number == 0:
		return address{}, fmt.Errorf("endpoint %q: port %q: %w: want 1 to 65535", s, port, ErrBadEndpoint)
	case host == "" || strings.ContainsAny(host, "/?#, \t\r\n"):
		return address{}, fmt.Errorf("endpoint %q: host %q: %w: want host:port and no more", s, host, ErrBadEndpoint)
	}
	return address{hostPort: net.JoinHostPort(host, port), secure: scheme == "https" || scheme == "" && tlsFiles}, nil
}

// redactEndpoint drops what stands before the last @: it may be a password.
func redactEndpoint(s string) string {
	if i := strings.LastIndex(s, "@"); i >= 0 {
		return "…" + s[i:]
	}
	return s
}

// ErrBadFiles marks TLS files that are not there, or hold something else.
var ErrBadFiles = errors.New("TLS files are of no use")

// CheckFiles reads the TLS files once, to tell before anything is dialled that they are missing or
// do not go together. The error wraps ErrBadFiles.
func (c Config) CheckFiles() error {
	if _, err := c.tls(""); err != nil {
		return fmt.Errorf("%w: %w", err, ErrBadFiles)
	}
	return nil
}

// tls reads the key files and returns the configuration for one connection to host.
func (c Config) tls(host string) (*tls.Config, error) {
	out := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2"},
		ServerName:         host,
		InsecureSkipVerify: c.Insecure, //nolint:gosec // only by an explicit flag that is warned of
	}
	if c.ServerName != "" {
		out.ServerName = c.ServerName
	}
	if c.CACert != "" {
		pem, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, fmt.Errorf("read CA: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("read CA %q: no certificate in it", c.CACert)
		}
	}
	if c.Cert != "" || c.Key != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
		if err != nil {
			return nil, fmt.Errorf("read client certificate %q with key %q: %w", c.Cert, c.Key, err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrUnavailable marks a cluster or member that cannot be reached, refuses us, or is not
// healthy enough for what was asked of it.
var ErrUnavailable = errors.New("etcd is not available")

// explain turns an error of a connection or call into one line that says what to mend. It
// wraps ErrUnavailable, except where the caller's own context ended: then its cause.
func (c Config) explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, context.Cause(ctx))
	}
	if hint := c.hint(err); hint != "" {
		return fmt.Errorf("%s: %s: %w: %w", what, hint, oneLine{err}, ErrUnavailable)
	}
	return fmt.Errorf("%s: %w: %w", what, oneLine{err}, ErrUnavailable)
}

// hint names the layer that failed.
func (c Config) hint(err error) string {
	if h := hintCertificate(err); h != "" {
		return h
	}
	var alert tls.AlertError
	var header tls.RecordHeaderError
	var dns *net.DNSError
	var first firstContact
	text := err.Error()
	switch {
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls:"):
		return c.hintOwnCertificate()
	case errors.As(err, &header):
		return "the member does not speak TLS (http instead of https?)"
	case errors.As(err, &first) && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return "the member closed the connection (http instead of https, or the reverse?)"
	case errors.As(err, &dns):
		return "the name does not resolve"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		return "no answer in time"
	}
	return hintAuth(text)
}

func hintCertificate(err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return "the member's certificate is not signed by the CA given (--cacert)"
	case errors.As(err, &host):
		return "the member's certificate is for another host name (--server-name)"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the member's certificate has expired or is not valid yet"
	case errors.As(err, &invalid):
		return "the member's certificate is not valid"
	}
	return ""
}

// hintOwnCertificate says why a member may have refused ours: its alert tells little.
func (c Config) hintOwnCertificate() string {
	if c.Cert == "" {
		return "the member wants a client certificate (--cert, --key)"
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return "the member refuses our client certificate"
	}
	leaf := pair.Leaf
	switch {
	case time.Now().After(leaf.NotAfter):
		return "our client certificate expired at " + leaf.NotAfter.UTC().Format(time.RFC3339)
	case len(leaf.ExtKeyUsage) > 0 && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return "our client certificate lacks the usage clientAuth"
	}
	return "the member does not trust our client certificate"
}

// hintAuth knows etcd's own refusals by their text: they come as gRPC codes that several share,
// and from 3.5 as code Unknown with "auth:" before the text instead of "etcdserver:".
func hintAuth(text string) string {
	for _, h := range []struct {
		err  error
		hint string
	}{
		{rpctypes.ErrAuthFailed, "wrong user or password"},
		{rpctypes.ErrPermissionDenied, "the user lacks the right; snapshot, HashKV and defragment need the role root"},
		{rpctypes.ErrUserNotFound, "the cluster has no such user"},
		{rpctypes.ErrUserEmpty, "the cluster wants a login (--user, --password-file)"},
		{rpctypes.ErrNoLeader, "the cluster has no leader"},
	} {
		if strings.Contains(text, strings.TrimPrefix(h.err.Error(), "etcdserver: ")) {
			return h.hint
		}
	}
	return ""
}

// oneLine prints an error on one line; some of gRPC's have several.
type oneLine struct{ error }

func (o oneLine) Error() string { return strings.Join(strings.Fields(o.error.Error()), " ") }

func (o oneLine) Unwrap() error { return o.error }

// ErrFuture marks a question about a revision that the member has not reached yet.
var ErrFuture = errors.New("revision is not reached yet")

package stores

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// tune sets up how each cloud's client reaches its store: through the environment's proxy, if any,
// and giving up a host that does not pick up.
func tune(t *http.Transport) {
	t.Proxy = http.ProxyFromEnvironment
	t.DialContext = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext
	t.TLSHandshakeTimeout = 10 * time.Second
	t.ResponseHeaderTimeout = time.Minute
	t.ExpectContinueTimeout = 5 * time.Second // a store that refuses hangs up on who does not wait
	t.IdleConnTimeout = 30 * time.Second
	t.MaxIdleConnsPerHost = 32
	t.ForceAttemptHTTP2 = true
}

// stay keeps a client from following a redirect. By one a PUT becomes a GET, whose success says
// nothing of the object, and a signature is good for one host alone.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// transport is a tuned one, with the store's own CA where one is named.
func (p place) transport() (*http.Transport, error) {
	t := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	tune(t)
	pem, err := p.ca()
	if pem == nil || err != nil {
		return t, err
	}
	t.TLSClientConfig.RootCAs = x509.NewCertPool()
	t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem)
	return t, nil
}

// ca reads the store's own CA; nil where none is named.
func (p place) ca() ([]byte, error) {
	file := p.query.Get("ca")
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read CA: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read CA %q: no certificate in it", file)
	}
	return pem, nil
}

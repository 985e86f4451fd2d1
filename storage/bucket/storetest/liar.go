package storetest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A LyingProxy stands before one store and passes all on as it came, signatures and all,
// until it is told a Lie. All methods may be called at any time, from any goroutine.
type LyingProxy struct {
	Endpoint string // http://host:port

	upstream *url.URL
	through  *http.Transport

	mu    sync.Mutex
	rules []*rule
	seen  []Request
}

// A Request is what a client asked for, as it came.
type Request struct {
	Method, Host, URI string // Host is what the client took the proxy for
}

// An Ask picks requests: by method, and by what their path or query contains, either as sent
// or in the clear. An empty field fits all. Ask{"POST", "uploadId="} is the end of an upload to
// S3 in parts.
type Ask struct{ Method, URI string }

// A rule is a lie and how often it was due.
type rule struct {
	fits  func(*http.Request) bool
	nth   int
	lie   Lie
	count int
}

// Liar stands before a store's endpoint until the test ends. It listens at the store's own
// address, on another port: fake-gcs-server answers to one name alone.
func Liar(t testing.TB, endpoint string) *LyingProxy {
	t.Helper()
	return liar(t, endpoint, (*httptest.Server).Start)
}

func liar(t testing.TB, endpoint string, start func(*httptest.Server)) *LyingProxy {
	t.Helper()
	upstream, err := url.Parse(endpoint)
	if err != nil {
		t.Fatalf("liar: %v", err)
	}
	var c net.ListenConfig
	ln, err := c.Listen(t.Context(), "tcp", net.JoinHostPort(upstream.Hostname(), "0"))
	if err != nil {
		t.Fatalf("liar: %v", err)
	}
	l := &LyingProxy{
		Endpoint: "http://" + ln.Addr().String(), upstream: upstream,
		// Else a request may meet a connection that the store is just closing.
		through: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	server := &httptest.Server{Listener: ln, Config: &http.Server{
		Handler: l, ErrorLog: silent(), BaseContext: func(net.Listener) context.Context { return ctx },
	}}
	start(server)
	t.Cleanup(func() {
		stop() // ends stalls, for which Close would wait
		server.Close()
	})
	return l
}

// Lie makes the n-th request that fits ask, counted from now, have its answer changed; with
// n = 0 each. Of several lies that are due for a request the one told first is taken.
func (l *LyingProxy) Lie(ask Ask, n int, lie Lie) {
	l.LieWhen(func(r *http.Request) bool { return ask.fits(request(r)) }, n, lie)
}

// LieWhen is Lie for what an Ask cannot tell, such as a header. Only one call to fits is made at a
// time, none after the test, and fits leaves the body alone.
func (l *LyingProxy) LieWhen(fits func(*http.Request) bool, n int, lie Lie) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules = append(l.rules, &rule{fits: fits, nth: n, lie: lie})
}

// Honest ends all lies.
func (l *LyingProxy) Honest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rules = nil
}

// Requests are all that fit, in the order in which they came.
func (l *LyingProxy) Requests(ask Ask) []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.seen), func(r Request) bool { return !ask.fits(r) })
}

// Hosts are those that clients took the proxy for, in order and each once.
func (l *LyingProxy) Hosts() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var hosts []string
	for _, r := range l.seen {
		hosts = append(hosts, r.Host)
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// ServeHTTP is for net/http.
func (l *LyingProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	lie := l.note(r)
	if lie.instead != nil {
		_, _ = io.Copy(io.Discard, r.Body) // else the client may not listen yet, and its going away is not seen
		lie.instead(w, r)
		return
	}
	l.forward(lie).ServeHTTP(w, r)
}

// note records a request and says which lie is due: the zero one for none.
func (l *LyingProxy) note(r *http.Request) Lie {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen = append(l.seen, request(r))
	var due Lie
	for _, rule := range slices.Backward(l.rules) { // the first is looked at last, and stays
		if !rule.fits(r) {
			continue
		}
		if rule.count++; rule.nth == 0 || rule.nth == rule.count {
			due = rule.lie
		}
	}
	return due
}

func request(r *http.Request) Request { return Request{r.Method, r.Host, r.RequestURI} }

func (a Ask) fits(r Request) bool {
	if a.Method != "" && a.Method != r.Method {
		return false
	}
	plain, err := url.PathUnescape(r.URI)
	return strings.Contains(r.URI, a.URI) || err == nil && strings.Contains(plain, a.URI)
}

// forward asks the store, by the host that the client signed, and lets lie change its answer.
func (l *LyingProxy) forward(lie Lie) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(l.upstream)
			r.Out.Host = r.In.Host
		},
		Transport: l.through, FlushInterval: -1, ErrorLog: silent(),
		ModifyResponse: func(resp *http.Response) error {
			if lie.change == nil {
				return nil
			}
			return lie.change(resp)
		},
		// The store was reached or not: the client sees a connection that broke.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
}

// silent is for what net/http says about connections that broke on purpose.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }

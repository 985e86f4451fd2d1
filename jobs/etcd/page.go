package etcd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxPage bounds what is read of a page of metrics; etcd's is about 170 KiB.
const maxPage = 8 << 20

// page is a page of metrics: the value of each series, which is named as it stands there, with
// its labels.
type page map[string]float64

// page fetches the page at a member's address.
func (c Config) page(ctx context.Context, at address) (page, error) {
	res, err := c.get(ctx, at, "/metrics")
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, maxPage+1))
	err = errors.Join(err, res.Body.Close())
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("the page was cut after %d bytes", len(text))
	case err != nil:
		return nil, err
	}
	return parsePage(text)
}

// get asks by HTTP, as a client with the same certificates and without a proxy. The caller closes
// the body of an answer, which is always 200.
func (c Config) get(ctx context.Context, at address, path string) (*http.Response, error) {
	transport := &http.Transport{
		DisableKeepAlives: true, // Proxy stays nil: etcd traffic never takes one
		DialContext:       (&net.Dialer{}).DialContext,
	}
	if at.secure {
		host, _, err := net.SplitHostPort(at.hostPort)
		if err != nil {
			return nil, err
		}
		if transport.TLSClientConfig, err = c.tls(host); err != nil {
			return nil, err
		}
		transport.TLSClientConfig.NextProtos = nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String()+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return nil, wrapped.Err // the caller says what was asked
	}
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("answer %s", res.Status), res.Body.Close())
	}
	return res, nil
}

// parsePage reads Prometheus' text format, version 0.0.4, as far as etcd writes it: no
// timestamps. A page that does not end in a newline was cut.
func parsePage(text []byte) (page, error) {
	switch trimmed := bytes.TrimSpace(text); {
	case len(text) > maxPage:
		return nil, fmt.Errorf("the page is longer than %d bytes", maxPage)
	case len(trimmed) == 0:
		return nil, errors.New("the page is empty")
	case trimmed[0] == '<':
		return nil, errors.New("the page is HTML, not metrics")
	case text[len(text)-1] != '\n':
		return nil, fmt.Errorf("the page was cut after %d bytes", len(text))
	}
	p, n := page{}, 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[end+1:], 64)
		if end < 0 || err != nil {
			return nil, fmt.Errorf("line %d of the page is no metric", n)
		}
		p[line[:end]] = value
	}
	return p, nil
}

// reading takes values from a page, and keeps the names of what is not there or no number.
type reading struct {
	page
	missing []string
}

// value is that of a series without labels.
func (r *reading) value(name string) float64 {
	v, ok := r.page[name]
	if !ok || math.IsNaN(v) || math.IsInf(v, 0) {
		r.missing = append(r.missing, name)
		return 0
	}
	return v
}

// member is whose page it is, by the label of the one series that has it.
func (r *reading) member() uint64 {
	const name = "etcd_server_id"
	for series, v := range r.page {
		label, ok := strings.CutPrefix(series, name+`{server_id="`)
		id, err := strconv.ParseUint(strings.TrimSuffix(label, `"}`), 16, 64)
		if ok && err == nil && v == 1 {
			return id
		}
	}
	r.missing = append(r.missing, name)
	return 0
}

// inFlight is how many calls of a maintenance method the server has begun and not ended, by
// whatever code. A handler that ignores its client's end, as Defragment's does, has not ended.
func (r *reading) inFlight(method string) int64 {
	begun, ended := r.sum("grpc_server_started_total", method), r.sum("grpc_server_handled_total", method)
	return max(0, int64(begun-ended)) // begun is read before ended: a call that came between would make it -1
}

// sum adds what all series of that name tell of a maintenance method.
func (r *reading) sum(name, method string) float64 {
	total, told := 0.0, false
	for series, v := range r.page {
		labels, ok := strings.CutPrefix(series, name+"{")
		if ok && strings.Contains(labels, `grpc_service="etcdserverpb.Maintenance"`) && strings.Contains(labels, `grpc_method="`+method+`"`) {
			total, told = total+v, true
		}
	}
	if !told {
		r.missing = append(r.missing, fmt.Sprintf("%s of %s", name, method))
	}
	return total
}

package etcd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// maxMetrics bounds what is read of a metrics page; etcd's is about 150 KiB.
const maxMetrics = 8 << 20

// Defragmenting says whether m has a defragmentation in flight, by its own metrics: Status
// hangs meanwhile, /metrics answers. An error means that it is not known.
func (c *Cluster) Defragmenting(ctx context.Context, m Member) (bool, error) {
	if m.at.hostPort == "" {
		return false, fmt.Errorf("metrics of member %s: never reached: %w", HexID(m.ID), ErrUnavailable)
	}
	inner, stop := context.WithTimeout(ctx, c.cfg.timeout())
	defer stop()
	page, err := c.metrics(inner, m.at)
	if err != nil {
		return false, c.cfg.explain(ctx, fmt.Sprintf("metrics of %s", m.at), err)
	}
	defer page.Close() //nolint:errcheck // a reader's Close
	busy, err := defragmenting(page, HexID(m.ID))
	if err != nil {
		return false, c.cfg.explain(ctx, fmt.Sprintf("metrics of %s", m.at), err)
	}
	return busy, nil
}

// defragmenting reads a page of metrics, which must be that of the member: behind a load
// balancer it may be another's.
func defragmenting(page io.Reader, member string) (busy bool, err error) {
	whose, value := "", ""
	lines := bufio.NewScanner(io.LimitReader(page, maxMetrics))
	for lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), `etcd_server_id{server_id="`); ok {
			whose, _, _ = strings.Cut(id, `"`)
		}
		if v, ok := strings.CutPrefix(lines.Text(), "etcd_disk_defrag_inflight "); ok {
			value = v
		}
	}
	if err := lines.Err(); err != nil {
		return false, err
	}
	if whose != member {
		return false, fmt.Errorf("they are those of member %q, not of %s", whose, member)
	}
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return false, fmt.Errorf("they do not tell of defragmentation: %w", err)
	}
	return n != 0, nil
}

func (c *Cluster) metrics(ctx context.Context, at address) (io.ReadCloser, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, // Proxy stays nil: etcd traffic never takes one
		DialContext:       (&net.Dialer{}).DialContext,
	}}
	if at.secure {
		host, _, err := net.SplitHostPort(at.hostPort)
		if err != nil {
			return nil, err
		}
		settings, err := c.cfg.tls(host)
		if err != nil {
			return nil, err
		}
		settings.NextProtos = nil
		client.Transport.(*http.Transport).TLSClientConfig = settings
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String()+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("answer %s", res.Status), res.Body.Close())
	}
	return res.Body, nil
}

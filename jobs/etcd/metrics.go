package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Metrics is what a member tells of itself on its own /metrics. It answers there while it
// defragments, when all else hangs.
type Metrics struct {
	Member              uint64    // etcd_server_id
	Defragmenting       bool      // etcd_disk_defrag_inflight; see InDefrag
	Defragmentations    int64     // that ended well since Started: etcd_disk_backend_defrag_duration_seconds_count
	DefragCalls         int64     // Defragment calls that the server has begun and not ended, whether or not their client waits
	SnapshotStreams     int64     // likewise of Snapshot
	Quota               int64     // bytes, etcd_server_quota_backend_bytes; below 0: the member has none
	DBBytes, InUseBytes int64     // etcd_mvcc_db_total_size_in_bytes, …_in_use_in_bytes
	Started             time.Time // of the member's process
}

// InDefrag says whether a defragmentation is in flight or waits for one that is. The gauge alone
// does not: of two calls the first to end sets it to 0 while the second begins
// (server/storage/backend, defrag: Set(1) stands before the locks, Set(0) after).
func (m Metrics) InDefrag() bool { return m.Defragmenting || m.DefragCalls > 0 }

// Metrics asks m for its page: by the URL that reached it and by its own, or on the
// configuration's MetricsEndpoints where it has any. A page must say that it is m's: behind a
// load balancer it may be another's. An error means that nothing is known; it names each page
// that was tried.
func (c *Cluster) Metrics(ctx context.Context, m Member) (Metrics, error) {
	likely, others := c.pages(m)
	got, faults := c.readPages(ctx, m, likely)
	if got == nil {
		var more []error
		got, more = c.readPages(ctx, m, others)
		faults = append(faults, more...)
	}
	switch {
	case got != nil:
		return *got, nil
	case len(faults) == 0:
		return Metrics{}, fmt.Errorf("metrics of member %s: no URL of it is known: %w", HexID(m.ID), ErrUnavailable)
	}
	return Metrics{}, errors.Join(faults...)
}

// pages are where m's metrics may be: where they most likely are, and where else. A member whose
// Status hangs was reached by no endpoint, yet may be behind one: so those that failed are asked.
func (c *Cluster) pages(m Member) (likely, others []address) {
	if at, ok := c.found.Load(m.ID); ok {
		likely = append(likely, at.(address))
	} else if len(c.cfg.MetricsEndpoints) == 0 && m.at.hostPort != "" {
		likely = append(likely, m.at)
	}
	add := func(at address, err error) {
		if err == nil && !slices.Contains(likely, at) && !slices.Contains(others, at) {
			others = append(others, at)
		}
	}
	for _, text := range c.cfg.MetricsEndpoints {
		add(parseEndpoint(text, false))
	}
	if len(c.cfg.MetricsEndpoints) > 0 {
		return likely, others
	}
	for _, text := range m.ClientURLs {
		add(parseEndpoint(text, c.cfg.hasTLS()))
	}
	for at := range c.tried {
		if m.Err != nil {
			add(at, nil)
		}
	}
	return likely, others
}

// readPages reads all pages at once, and remembers whose each is. It returns m's, or why each is
// not.
func (c *Cluster) readPages(ctx context.Context, m Member, pages []address) (*Metrics, []error) {
	found := make([]Metrics, len(pages))
	faults := make([]error, len(pages))
	var wait sync.WaitGroup
	for i, at := range pages {
		wait.Go(func() { found[i], faults[i] = c.readPage(ctx, at) })
	}
	wait.Wait()
	var own *Metrics
	for i, at := range pages {
		if faults[i] != nil {
			continue
		}
		c.found.Store(found[i].Member, at)
		if found[i].Member == m.ID {
			own = &found[i]
		}
		faults[i] = fmt.Errorf("metrics of %s: they are those of member %s, not of %s: %w", at, HexID(found[i].Member), HexID(m.ID), ErrUnavailable)
	}
	return own, faults
}

// readPage reads one page within the configuration's timeout.
func (c *Cluster) readPage(ctx context.Context, at address) (Metrics, error) {
	inner, stop := context.WithTimeout(ctx, c.cfg.timeout())
	defer stop()
	told, err := c.cfg.page(inner, at)
	if err == nil {
		var m Metrics
		if m, err = told.metrics(); err == nil {
			return m, nil
		}
	}
	return Metrics{}, c.cfg.explain(ctx, fmt.Sprintf("metrics of %s", at), err)
}

// metrics takes from a page what Metrics holds. All of it stands on the pages of etcd 3.5.35,
// 3.6.16 and 3.7.3 from the first moment on, with or without --metrics=extensive; so what is
// missing is an error that names it.
func (p page) metrics() (Metrics, error) {
	r := reading{page: p}
	m := Metrics{
		Member:           r.member(),
		Defragmenting:    r.value("etcd_disk_defrag_inflight") != 0,
		Defragmentations: int64(r.value("etcd_disk_backend_defrag_duration_seconds_count")),
		DefragCalls:      r.inFlight("Defragment"),
		SnapshotStreams:  r.inFlight("Snapshot"),
		Quota:            int64(r.value("etcd_server_quota_backend_bytes")),
		DBBytes:          int64(r.value("etcd_mvcc_db_total_size_in_bytes")),
		InUseBytes:       int64(r.value("etcd_mvcc_db_total_size_in_use_in_bytes")),
		Started:          time.UnixMilli(int64(1000 * r.value("process_start_time_seconds"))).UTC(),
	}
	if len(r.missing) > 0 {
		return Metrics{}, fmt.Errorf("the page lacks %s", strings.Join(r.missing, ", "))
	}
	return m, nil
}

package etcd

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
)

// Fill writes pairs to a cluster: for demonstrations and drills, on one that is thrown away.
// Several go at once, so their revisions are in no order.
func Fill(ctx context.Context, cfg Config, pairs iter.Seq2[string, []byte]) error {
	at, err := parseEndpoint(cfg.Endpoints[0], cfg.hasTLS())
	if err != nil {
		return err
	}
	conn, err := connect(ctx, cfg, at)
	if err != nil {
		return err
	}
	err = conn.put(ctx, pairs)
	return errors.Join(err, conn.Close())
}

// put keeps some writes in flight: each waits for a commit, which they share.
func (c *Conn) put(ctx context.Context, pairs iter.Seq2[string, []byte]) error {
	const inFlight = 64
	ctx, stop := c.bound(ctx)
	defer stop()
	var wait sync.WaitGroup
	var mu sync.Mutex
	var fault error
	free := make(chan struct{}, inFlight)
	for key, value := range pairs {
		free <- struct{}{}
		wait.Go(func() {
			defer func() { <-free }()
			if _, err := c.client.Put(ctx, key, string(value)); err != nil {
				mu.Lock()
				fault = fmt.Errorf("put to %s: %w", c.addr, err)
				mu.Unlock()
			}
		})
		if ctx.Err() != nil {
			break
		}
	}
	wait.Wait()
	return fault
}

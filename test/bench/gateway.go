package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// What a gateway of ours takes: it lives for this run alone, on loopback.
const (
	gatewayKey    = "bench"
	gatewaySecret = "bench-versitygw-secret"
	gatewayRegion = "us-east-1"
	gatewayBucket = "bench"
)

// A gateway is a versitygw on loopback, its objects on the local disk. Stop it.
type gateway struct {
	endpoint string
	cmd      *exec.Cmd
	log      *os.File
	ended    chan error
}

// startGateway returns when it answers.
func (b *bench) startGateway(ctx context.Context) (*gateway, error) {
	if err := b.fresh("gateway"); err != nil {
		return nil, err
	}
	endpoint, _, err := twoURLs()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(b.path("gateway.log"))
	if err != nil {
		return nil, err
	}
	g := &gateway{endpoint: endpoint, log: log, ended: make(chan error, 1)}
	g.cmd = b.command(context.WithoutCancel(ctx), b.tool("versitygw"), "--port", endpoint[len("http://"):], "--region", gatewayRegion,
		"--health", "/healthz", "--quiet", "posix", b.path("gateway"))
	g.cmd.Env = append(g.cmd.Env, "ROOT_ACCESS_KEY="+gatewayKey, "ROOT_SECRET_KEY="+gatewaySecret)
	g.cmd.Stdout, g.cmd.Stderr = log, log
	if err := g.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() { g.ended <- g.cmd.Wait() }()
	if err := g.answers(ctx); err != nil {
		said, _ := os.ReadFile(log.Name())
		return nil, errors.Join(fmt.Errorf("start versitygw: %w: %s", err, lastLine(said)), g.stop())
	}
	return g, nil
}

// answers asks until it does, for 30 seconds.
func (g *gateway) answers(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.endpoint+"/healthz", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			return resp.Body.Close()
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case err := <-g.ended:
			g.ended <- err
			return fmt.Errorf("it ended: %w", err)
		case <-tick.C:
		}
	}
}

// url is how etcdsafe names its bucket.
func (g *gateway) url() string {
	return "s3://" + gatewayBucket + "?" + url.Values{"endpoint": {g.endpoint}, "path_style": {"true"}}.Encode()
}

// environ is what a client's process reads its credentials from.
func (g *gateway) environ() []string {
	return []string{"AWS_REGION=" + gatewayRegion, "AWS_ACCESS_KEY_ID=" + gatewayKey, "AWS_SECRET_ACCESS_KEY=" + gatewaySecret,
		"AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null"}
}

// stop ends it and removes its objects.
func (g *gateway) stop() error {
	_ = g.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-g.ended:
	case <-time.After(30 * time.Second):
		_ = g.cmd.Process.Kill()
		<-g.ended
	}
	return errors.Join(g.log.Close(), os.RemoveAll(g.cmd.Args[len(g.cmd.Args)-1]))
}

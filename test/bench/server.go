package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// A server is one etcd of one member on loopback. Stop it.
type server struct {
	endpoint string
	dir      string
	cmd      *exec.Cmd
	log      *os.File
	ended    chan error
}

// startServer starts an etcd with default settings, but for room of 8 GiB, and returns when it
// answers.
func (b *bench) startServer(ctx context.Context) (*server, error) {
	dir := b.path("etcd")
	if err := b.fresh("etcd"); err != nil {
		return nil, err
	}
	client, peer, err := twoURLs()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(b.path("etcd.log"))
	if err != nil {
		return nil, err
	}
	s := &server{endpoint: client, dir: dir, log: log, ended: make(chan error, 1)}
	s.cmd = b.command(context.WithoutCancel(ctx), b.tool("etcd"), "--name", "bench", "--data-dir", dir,
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "bench="+peer,
		"--quota-backend-bytes", strconv.Itoa(8<<30), "--log-level", "warn")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() { s.ended <- s.cmd.Wait() }()
	if err := s.answers(ctx); err != nil {
		said, _ := os.ReadFile(log.Name())
		return nil, errors.Join(fmt.Errorf("start etcd: %w: %s", err, lastLine(said)), s.stop())
	}
	return s, nil
}

// twoURLs are of ports that were free just now.
func twoURLs() (client, peer string, err error) {
	var urls [2]string
	var listen net.ListenConfig
	for i := range urls {
		l, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		defer l.Close() // both are held until both are known
		urls[i] = "http://" + l.Addr().String()
	}
	return urls[0], urls[1], nil
}

func (s *server) answers(ctx context.Context) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	answered := make(chan error, 1)
	go func() {
		_, err := client.Get(ctx, "x")
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case err := <-s.ended:
		s.ended <- err
		return fmt.Errorf("it ended: %w", err)
	}
}

func (s *server) client() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{s.endpoint}, Logger: zap.NewNop()})
}

// stop ends the server and removes its data. It may be called twice.
func (s *server) stop() error {
	if s.log == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	err := errors.Join(s.log.Close(), os.RemoveAll(s.dir))
	s.log = nil
	return err
}

// cpu is what the member has used so far.
func (s *server) cpu() (time.Duration, error) { return cpuOf(s.cmd.Process.Pid) }

// cpuOf is what a process has used so far.
func cpuOf(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, err
	}
	// Fields 14 and 15, counted behind the name, which may hold blanks: user and system, in
	// hundredths of a second on every Linux that Go runs on.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("read stat of process %d: %q", pid, stat)
	}
	user, errUser := strconv.ParseInt(fields[11], 10, 64)
	system, errSystem := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(errUser, errSystem)
}

// A database is what a server holds, as test/data/fill tells it.
type database struct {
	Objects     int   `json:"objects"`
	Updates     int   `json:"updates"`
	Revision    int64 `json:"revision"`
	DBSize      int64 `json:"dbSize"`
	DBSizeInUse int64 `json:"dbSizeInUse"`
}

// fill writes objects of a kind until the file has the size, compacts, and writes a fiftieth
// more: a control plane between two compactions. Without the last, no member could be asked
// for HashKV at the snapshot's revision.
func (b *bench) fill(ctx context.Context, s *server, kind string, megabytes int) (database, error) {
	first, err := b.fillOnce(ctx, s, "-kind", kind, "-bytes", fmt.Sprintf("%dM", megabytes), "-compact")
	if err != nil {
		return database{}, err
	}
	more := strconv.Itoa(max(1, first.Objects/50))
	second, err := b.fillOnce(ctx, s, "-kind", kind, "-objects", more, "-seed", "2")
	second.Objects += first.Objects
	second.Updates += first.Updates
	return second, err
}

func (b *bench) fillOnce(ctx context.Context, s *server, args ...string) (database, error) {
	var db database
	o, err := b.run(ctx, filepath.Join(b.bin, "fill"), append([]string{"-endpoint", s.endpoint}, args...)...)
	if err != nil {
		return db, err
	}
	return db, json.Unmarshal(o.stdout, &db)
}

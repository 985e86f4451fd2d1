package dbfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// BootConfig says on which data folder a server is started.
type BootConfig struct {
	DataDir string // made where it does not exist
	Name    string
}

// Server is an etcd of one member on loopback, in a child process. Stop it.
type Server struct {
	Endpoint string

	stop  func() error
	ended chan error
	kill  context.CancelFunc
}

// Boot starts a server on a folder and returns when it answers. It trades durability for
// speed: for demonstrations and drills, on data that is thrown away.
func (c Child) Boot(ctx context.Context, cfg BootConfig) (*Server, error) {
	in, err := json.Marshal(request{Boot: &cfg})
	if err != nil {
		return nil, fmt.Errorf("boot etcd on %q: %w", cfg.DataDir, err)
	}
	life, kill := context.WithCancel(context.WithoutCancel(ctx))
	cmd := c.command(life)
	said := &tail{}
	cmd.Stderr = said
	stdin, errIn := cmd.StdinPipe()
	// No StdoutPipe: Wait, which runs all the while, would close it before its last words.
	stdout, answers, errOut := os.Pipe()
	if err := errors.Join(errIn, errOut); err != nil {
		kill()
		return nil, fmt.Errorf("boot etcd on %q: %w", cfg.DataDir, err)
	}
	cmd.Stdout = answers
	s := &Server{stop: sync.OnceValue(stdin.Close), ended: make(chan error, 1), kill: kill}
	started := make(chan error, 1)
	go s.own(cmd, started)
	err = <-started
	err = errors.Join(err, answers.Close())
	if err == nil {
		err = s.hello(ctx, in, stdin, stdout)
	}
	err = errors.Join(err, stdout.Close())
	if err != nil {
		kill()
		ended := <-s.ended
		return nil, fmt.Errorf("boot etcd on %q: %w: %s", cfg.DataDir, errors.Join(err, ended), said.line())
	}
	return s, nil
}

// own starts the child and stays on its thread until it ends: Pdeathsig follows the thread.
func (s *Server) own(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	err := cmd.Start()
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrChild, err)
	}
	started <- err
	if err == nil {
		err = cmd.Wait()
	}
	s.ended <- err
}

func (s *Server) hello(ctx context.Context, in []byte, stdin io.Writer, stdout io.Reader) error {
	if _, err := stdin.Write(append(in, '\n')); err != nil {
		return fmt.Errorf("%w: %w", ErrChild, err)
	}
	answered := make(chan reply, 1)
	go func() {
		var r reply
		if err := json.NewDecoder(stdout).Decode(&r); err != nil {
			r = reply{Error: "it ended before it served"}
		}
		answered <- r
	}()
	select {
	case r := <-answered:
		s.Endpoint = r.Endpoint
		return r.err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stop ends the server and waits for it. It may be called twice.
func (s *Server) Stop() error {
	err := s.stop()
	timer := time.AfterFunc(10*time.Second, s.kill)
	defer timer.Stop()
	ended := <-s.ended
	s.ended <- ended
	s.kill()
	return errors.Join(err, ended)
}

// serveBoot runs in the child until its stdin ends.
func serveBoot(cfg BootConfig, stdin io.Reader, answer func(reply) int) int {
	server, err := embed.StartEtcd(bootConfig(cfg))
	if err != nil {
		return answer(failed(err))
	}
	defer server.Close()
	return serveUntil(stdin, server, answer)
}

func serveUntil(stdin io.Reader, server *embed.Etcd, answer func(reply) int) int {
	select {
	case <-server.Server.ReadyNotify():
	case err := <-server.Err():
		return answer(failed(err))
	}
	if code := answer(reply{Endpoint: "http://" + server.Clients[0].Addr().String()}); code != 0 {
		return code
	}
	if _, err := io.Copy(io.Discard, stdin); err != nil {
		return 1
	}
	return 0
}

func bootConfig(cfg BootConfig) *embed.Config {
	anywhere := url.URL{Scheme: "http", Host: "127.0.0.1:0"}
	peer := url.URL{Scheme: "http", Host: "127.0.0.1:2380"} // a name; a single member dials nobody
	out := embed.NewConfig()
	out.Name, out.Dir = cfg.Name, cfg.DataDir
	out.ListenClientUrls, out.AdvertiseClientUrls = []url.URL{anywhere}, []url.URL{anywhere}
	out.ListenPeerUrls, out.AdvertisePeerUrls = []url.URL{anywhere}, []url.URL{peer}
	out.InitialCluster = cfg.Name + "=" + peer.String()
	out.UnsafeNoFsync = true
	out.LogLevel = "error"
	out.ZapLoggerBuilder = embed.NewZapLoggerBuilder(errorsOnly())
	return out
}

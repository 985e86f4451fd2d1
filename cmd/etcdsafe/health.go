package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/cron"
	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/jobs"
)

// listenIsAddress is told before anything begins.
func listenIsAddress(s *settings.Settings) error {
	at := s.Cron.Listen.Get()
	if at == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(at); err != nil {
		return s.Cron.Listen.Errorf("%q is no address such as 127.0.0.1:8080", at)
	}
	return nil
}

// listen opens the address of the probes and returns what serves there until its context ends.
func (d *daemon) listen() (func(context.Context), error) {
	at := d.set.Cron.Listen.Get()
	if at == "" {
		return func(context.Context) {}, nil
	}
	l, err := net.Listen("tcp", at) //nolint:noctx // at once, or not at all
	if err != nil {
		return nil, d.set.Cron.Listen.Errorf("%w", err)
	}
	d.log.Info("probes served", "address", l.Addr().String())
	const patience = 5 * time.Second
	server := &http.Server{Handler: d.probes(), ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelWarn), ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: time.Minute}
	return func(ctx context.Context) {
		stop := context.AfterFunc(ctx, func() { _ = server.Close() })
		defer stop()
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("probes ended", "err", err.Error())
		}
	}, nil
}

func (d *daemon) probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", answer(d.healthy))
	mux.HandleFunc("GET /readyz", answer(d.ready))
	return mux
}

// healthText is all that a healthy process says.
const healthText = "ok\n"

func answer(ask func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text := healthText
		if err := ask(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			text = settings.Mask(jobs.OneLine(err)) + "\n"
		}
		_, _ = io.WriteString(w, text) // whoever asked may have gone
	}
}

var errHealth = errors.New("not healthy")

// healthy says whether the schedule goes on. A run that fails, hangs or panics does not change that.
func (d *daemon) healthy() error {
	if since := d.schedule.Looked(); since > 3*cron.Tick {
		return fmt.Errorf("%w: the schedule stands still for %s", errHealth, since.Round(time.Second))
	}
	return nil
}

// ready says whether the schedule is armed, and by the configuration as it lies there.
func (d *daemon) ready() error {
	if d.schedule.Looked() < 0 {
		return fmt.Errorf("%w: the schedule is not armed yet", errHealth)
	}
	if err := d.config.fault(); err != nil {
		return fmt.Errorf("%w: configuration refused, the one before is in force: %w", errHealth, err)
	}
	if err := d.lead.fault(); err != nil {
		return fmt.Errorf("%w: nobody can lead: %w", errHealth, err)
	}
	return d.healthy()
}

func (c *cli) healthcheckCommand() *cobra.Command {
	s := c.set
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "ask the cron process at --listen whether its schedule goes on; for probes that run a command",
		Args:  args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Nothing else of the configuration matters: the process goes on by one that was sound.
			if err := c.load(settings.Need(&s.Cron.Listen), listenIsAddress); err != nil && (s.Cron.Listen.Get() == "" || listenIsAddress(s) != nil) {
				return err
			}
			return c.healthcheck(cmd.Context(), s.Cron.Listen.Get())
		},
	}
	s.Flags(cmd.Flags(), &s.Common)
	s.Flag(cmd.Flags(), &s.Cron.Listen)
	return cmd
}

// probeTime is what Kubernetes gives a probe by default.
const probeTime = time.Second

func (c *cli) healthcheck(ctx context.Context, listen string) error {
	ctx, stop := context.WithTimeout(ctx, probeTime)
	defer stop()
	host, port, _ := net.SplitHostPort(listen) // checked
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return usageError(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := client.Do(req) // of that process, by no proxy
	if err != nil {
		return fmt.Errorf("%w: %w", errHealth, err)
	}
	defer r.Body.Close() //nolint:errcheck // read to its end, or of no use
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	if err != nil {
		return fmt.Errorf("%w: %w", errHealth, err)
	}
	if r.StatusCode != http.StatusOK || string(text) != healthText {
		return fmt.Errorf("%w: %s: %q", errHealth, r.Status, strings.TrimSpace(string(text)))
	}
	_, err = c.stdout.Write(text)
	return err
}

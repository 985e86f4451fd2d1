package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/etcdsafe/etcdsafe/jobs/demo"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// demoKeys is how many keys the demonstration is shown on.
const demoKeys = 20_000

func (c *cli) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "all of it on an etcd of its own and a folder, with no set-up; leaves nothing behind",
		Args:  args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "etcdsafe-demo-")
			if err != nil {
				return fmt.Errorf("make a folder for the demonstration: %w", err)
			}
			d := &demonstration{cli: c, dir: dir}
			err = d.run(cmd.Context())
			return stopped(cmd.Context(), errors.Join(err, d.stop(), os.RemoveAll(dir)))
		},
	}
}

// demonstration is one run of demo, in a folder of its own.
type demonstration struct {
	*cli
	dir    string
	server *dbfile.Server
	said   string // what the last command printed
}

func (d *demonstration) stop() error {
	if d.server == nil {
		return nil
	}
	err := d.server.Stop()
	d.server = nil
	return err
}

// run is the demonstration, a step a line.
func (d *demonstration) run(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		d.startEtcd, d.keygen, d.snapshot, d.list, d.verify, d.flip, d.verifyFlipped, d.flip, d.lose, d.restore, d.compare,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	d.say("Done: the same keys at the same revision, from the archive alone. Nothing is left behind.")
	return nil
}

func (d *demonstration) path(name string) string { return filepath.Join(d.dir, name) }

func (d *demonstration) say(format string, args ...any) {
	fmt.Fprintf(d.stdout, "\n# "+format+"\n", args...)
}

func (d *demonstration) startEtcd(ctx context.Context) error {
	var err error
	if d.server, err = demo.Start(ctx, d.child, d.path("etcd")); err != nil {
		return err
	}
	d.say("An etcd of its own at %s, with %d keys shaped like Kubernetes objects", d.server.Endpoint, demoKeys)
	return demo.Fill(ctx, d.server.Endpoint, demoKeys)
}

// command runs one command line as a user would, prints both, and expects an exit code.
func (d *demonstration) command(ctx context.Context, want int, args ...string) error {
	fmt.Fprintf(d.stdout, "$ etcdsafe %s\n", strings.Join(args, " "))
	var said strings.Builder
	p := d.process
	p.args, p.env, p.stdout = args, nil, &said
	code := run(ctx, p)
	d.said = said.String()
	fmt.Fprint(d.stdout, d.said)
	if code != want {
		return fmt.Errorf("demo: %q ended with exit code %d, want %d", args[0], code, want)
	}
	fmt.Fprintf(d.stdout, "exit code %d\n", code)
	return nil
}

func (d *demonstration) keygen(ctx context.Context) error {
	d.say("A key: the identity opens archives, the recipient seals them")
	if err := d.command(ctx, exitOK, "keygen", d.path("identity.txt")); err != nil {
		return err
	}
	return os.WriteFile(d.path("recipients.txt"), []byte(d.said), 0o600)
}

func (d *demonstration) store() []string {
	return []string{"--cluster", "demo", "--stores", "file://" + d.path("store") + "?create_dir=true", "--log-level", "warn"}
}

func (d *demonstration) snapshot(ctx context.Context) error {
	d.say("A snapshot: proven against the live member, sealed, stored, read back, committed")
	return d.command(ctx, exitOK, append([]string{"snapshot", "--lock", "none", "--endpoints", d.server.Endpoint, "--recipients-file", d.path("recipients.txt")}, d.store()...)...)
}

func (d *demonstration) list(ctx context.Context) error {
	d.say("What is in the store")
	return d.command(ctx, exitOK, append([]string{"list", "--long"}, d.store()...)...)
}

func (d *demonstration) verifyWith(ctx context.Context, want int) error {
	return d.command(ctx, want, append([]string{"verify", "latest", "--identities-file", d.path("identity.txt")}, d.store()...)...)
}

func (d *demonstration) verify(ctx context.Context) error {
	d.say("The archive opened again: digest, keys, revision and HashKV are those of the manifest")
	return d.verifyWith(ctx, exitOK)
}

func (d *demonstration) verifyFlipped(ctx context.Context) error {
	return d.verifyWith(ctx, exitIntegrity)
}

// flip turns one bit of the archive over; a second time turns it back.
func (d *demonstration) flip(context.Context) error {
	found, err := filepath.Glob(d.path("store/demo/archives/*.age"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("demo: %d archives in the store, want 1: %w", len(found), err)
	}
	d.say("One bit of it turned over: %s", filepath.Base(found[0]))
	raw, err := os.ReadFile(found[0])
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	raw[len(raw)/2] ^= 1
	return os.WriteFile(found[0], raw, 0o600)
}

func (d *demonstration) lose(context.Context) error {
	d.say("The worst day: etcd stops and its data folder is gone")
	return errors.Join(d.stop(), os.RemoveAll(d.path("etcd")))
}

func (d *demonstration) restore(ctx context.Context) error {
	d.say("The way back")
	// Without a bump HashKV can be compared; with one the old revisions count as compacted.
	return d.command(ctx, exitOK, append([]string{"restore", "latest", "--data-dir", d.path("etcd"), "--bump-revision", "0",
		"--name", "demo", "--identities-file", d.path("identity.txt")}, d.store()...)...)
}

// compare asks the restored etcd for its HashKV and finds it in the manifest.
func (d *demonstration) compare(ctx context.Context) error {
	d.say("etcd up again on the restored folder; its HashKV against the manifest's")
	var err error
	if d.server, err = demo.Start(ctx, d.child, d.path("etcd")); err != nil {
		return err
	}
	m, err := d.manifest(ctx)
	if err != nil {
		return err
	}
	h := m.HashKV
	live, err := demo.HashKV(ctx, d.server.Endpoint, h.Revision)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.stdout, "manifest: HashKV %d at revision %d\netcd:     HashKV %d\n", h.Hash, h.Revision, live)
	if live != h.Hash {
		return errors.New("demo: the restored etcd has another HashKV")
	}
	return nil
}

// manifest is what show prints of the archive.
func (d *demonstration) manifest(ctx context.Context) (catalog.Manifest, error) {
	var out strings.Builder
	p := d.process
	p.args, p.env, p.stdout = append([]string{"show", "latest", "--output", "json"}, d.store()...), nil, &out
	if code := run(ctx, p); code != exitOK {
		return catalog.Manifest{}, fmt.Errorf("demo: show ended with exit code %d", code)
	}
	var s shown
	if err := json.Unmarshal([]byte(out.String()), &s); err != nil {
		return catalog.Manifest{}, fmt.Errorf("demo: %w", err)
	}
	return s.Manifest, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/stores"
	"github.com/etcdsafe/etcdsafe/jobs/prune/plan"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// many is how many archives are listed and planned over; growth begins at half of it.
const many = 10_000

// A reading is what one command does beside what a bare client would do for it.
type reading struct {
	id   string
	args []string
	bare func(ctx context.Context, c bare) error
}

func (r reading) text() string { return strings.Join(r.args[:min(2, len(r.args))], " ") }

// measureStores measures etcdsafe beside the SDK over one versitygw.
func (b *bench) measureStores(ctx context.Context, r *results) (err error) {
	g, err := b.startGateway(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	b.environ = g.environ()
	theirs := g.bare()
	if err := theirs.makeBucket(ctx); err != nil {
		return err
	}
	for _, pair := range b.environ { // the SDK's own chain reads them, in this process too
		name, value, _ := strings.Cut(pair, "=")
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	ours, err := stores.Open(ctx, g.url(), noVariable, 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.Close()) }()
	r.stores = &dataset{kind: "stores"}
	if err := b.uploads(ctx, ours, theirs, r.stores); err != nil {
		return err
	}
	if err := b.listings(ctx, g, ours, r); err != nil {
		return err
	}
	return planFunction(r.stores)
}

func (b *bench) uploads(ctx context.Context, ours *bucket.Bucket, theirs bare, d *dataset) error {
	f, err := b.blob()
	if err != nil {
		return err
	}
	defer f.Close()
	for i := range b.rounds + 1 {
		b.say("upload, round %d of %d", i, b.rounds)
		to := d
		if i == 0 { // warms up
			to = &dataset{}
		}
		if err := b.measureUpload(ctx, ours, theirs, f, i, to); err != nil {
			return err
		}
	}
	return os.Remove(f.Name())
}

// listings measures the commands that read many archives, at half of them and at all.
func (b *bench) listings(ctx context.Context, g *gateway, ours *bucket.Bucket, r *results) error {
	cat, err := catalog.Open(ours, "bench")
	if err != nil {
		return err
	}
	newest := time.Now().Truncate(time.Second)
	if err := b.seed(ctx, cat, newest, 0, many/2); err != nil {
		return err
	}
	half := &dataset{}
	if err := b.readings(ctx, g, half); err != nil {
		return err
	}
	if err := b.seed(ctx, cat, newest, many/2, many); err != nil {
		return err
	}
	if err := b.readings(ctx, g, r.stores); err != nil {
		return err
	}
	for _, id := range []string{"list-long", "plan"} {
		s, whole := r.stores.of(id), r.stores.of(id+"-whole")
		whole.ours = s.ours
		for i, v := range s.theirs {
			whole.addTheirs(r.stores.of("list").theirs[i] + v)
		}
	}
	for _, id := range []string{"list", "list-long", "plan"} {
		grown := r.stores.of(id + "-growth")
		grown.ours, grown.theirs = r.stores.of(id).ours, half.of(id).ours
	}
	return b.storeHeaps(ctx, g, r)
}

// readings are rounds of all commands, ours and theirs in turn.
func (b *bench) readings(ctx context.Context, g *gateway, d *dataset) error {
	theirs := g.bare()
	manifests, err := theirs.list(ctx, "bench/manifests/", "bench/receipts/")
	if err != nil {
		return err
	}
	holds, err := theirs.list(ctx, "bench/holds/")
	if err != nil {
		return err
	}
	documents := slices.Concat(manifests, holds)
	for i := range b.rounds + 1 {
		b.say("list, list --long and plan of %d objects, round %d of %d", len(documents), i, b.rounds)
		to := d
		if i == 0 {
			to = &dataset{}
		}
		for _, read := range readingsOf(documents) {
			o, took, err := b.oneReading(ctx, g, theirs, read, i%2 == 0)
			if err != nil {
				return err
			}
			if n := strings.Count(string(o.stdout), `"id": "`); n < len(manifests)/2 {
				return fmt.Errorf("etcdsafe %q told of %d archives of %d", read.args, n, len(manifests)/2)
			}
			to.of(read.id).addOurs(o.wall.Seconds())
			to.of(read.id).addTheirs(took.Seconds())
		}
	}
	return nil
}

// oneReading runs both sides, ours first or last in turn: whoever follows the other finds the gateway
// at its garbage.
func (b *bench) oneReading(ctx context.Context, g *gateway, c bare, read reading, last bool) (o outcome, took time.Duration, err error) {
	ours := func() (err error) {
		o, err = b.run(ctx, b.etcdsafe(), b.storeArgs(g, read.args...)...)
		return err
	}
	theirs := func() (err error) {
		took, err = b.took(func() error { return read.bare(ctx, c) })
		return err
	}
	if last {
		ours, theirs = theirs, ours
	}
	if err := ours(); err != nil {
		return o, took, err
	}
	return o, took, theirs()
}

func readingsOf(documents []string) []reading {
	get := func(ctx context.Context, c bare) error { return c.get(ctx, documents) }
	return []reading{
		{"list", []string{"list"}, func(ctx context.Context, c bare) error {
			_, err := c.list(ctx, "bench/manifests/", "bench/receipts/", "bench/holds/")
			return err
		}},
		{"list-long", []string{"list", "--long"}, get},
		{"plan", []string{"prune", "--dry-run", "--keep-within", "69d", "--log-level", "warn"}, get},
	}
}

func (b *bench) storeArgs(g *gateway, args ...string) []string {
	return append(args, "--cluster", "bench", "--stores", g.url(), "--output", "json")
}

// planFunction times the decision alone, over ten times as many archives.
func planFunction(d *dataset) error {
	in := plan.Input{Now: time.Now(), StoreNow: time.Now(), ListsAgree: true, Policy: plan.Policy{KeepLast: 24, KeepHourly: 48, KeepDaily: 30, KeepWeekly: 10,
		KeepMonthly: 24, KeepYearly: 5, KeepMin: 3, MaxCount: 5000, MaxRemoved: -1, CountLevel: catalog.Content, Location: time.UTC}}
	for i := range 10 * many {
		at := in.Now.Add(-time.Duration(i) * 10 * time.Minute)
		m, err := manifest("bench", at, i, nil)
		if err != nil {
			return err
		}
		in.Archives = append(in.Archives, plan.Archive{ID: m.ID, Cluster: "c", Time: at, Written: at, Bytes: 1, Keys: 1, Trust: plan.Trusted, Stored: at, Content: at})
	}
	for range 5 {
		before := cpu()
		p, err := plan.Make(in)
		took := cpu() - before
		if err != nil || len(p.Archives) != len(in.Archives) {
			return fmt.Errorf("plan over %d archives has %d: %w", len(in.Archives), len(p.Archives), err)
		}
		d.of("plan-function").addOurs(took.Seconds())
		d.of("plan-function").addTheirs(1)
	}
	return nil
}

// cpu is what this process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/settings"
	"github.com/etcdsafe/etcdsafe/cmd/etcdsafe/stores"
	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/storage/archive"
	"github.com/etcdsafe/etcdsafe/storage/archive/spool"
	"github.com/etcdsafe/etcdsafe/storage/bucket"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// openStores opens the catalogue of the cluster in every store. One that does not answer is not an
// error here, unless none does: each call to it is. The caller closes them by the returned
// function, which may be called with an error too.
func (c *cli) openStores(ctx context.Context) (catalog.Stores, func() error, error) {
	return c.openEach(ctx, c.set.Stores.Get(), c.set.Stores.Errorf)
}

// openEach is openStores of other URLs, with faults told by errorf.
func (c *cli) openEach(ctx context.Context, urls settings.URLs, errorf func(string, ...any) error) (catalog.Stores, func() error, error) {
	var open []*bucket.Bucket
	shut := func() error {
		var faults []error
		for _, b := range open {
			faults = append(faults, b.Close())
		}
		return errors.Join(faults...)
	}
	var out catalog.Stores
	var faults []error
	for _, u := range urls {
		store, err := c.openStore(ctx, u.Full(), len(urls))
		if errors.Is(err, bucket.ErrUnavailable) {
			faults = append(faults, err)
			store, err = bucket.Broken(u.Full(), err), nil
		}
		if err != nil {
			return nil, shut, errorf("%w", err)
		}
		c.tellOfSilence(store)
		open = append(open, store)
		cat, err := catalog.Open(store, c.set.Cluster.Get())
		if err != nil {
			return nil, shut, err
		}
		cat.Now = c.now
		out = append(out, cat)
	}
	if len(faults) > 0 && len(faults) == len(out) {
		return nil, shut, errors.Join(faults...)
	}
	return out, shut, nil
}

// silence is for how long a store may be silent until that is told: it is given up much later.
const silence = 10 * time.Second

// tellOfSilence has the log tell where a command hangs.
func (c *cli) tellOfSilence(store *bucket.Bucket) {
	log := c.log
	if log == nil { // of a command that is no job
		log = c.logger(c.stderr)
	}
	after := cmp.Or(c.silence, silence)
	store.WhenSilent(after, func() { log.Warn("store did not answer so far", "store", store.URL(), "took", after.String()) })
}

// openStore opens it as it was, where somebody asks for that.
func (c *cli) openStore(ctx context.Context, rawURL string, beside int) (*bucket.Bucket, error) {
	if c.set.At.IsSet() {
		return stores.OpenAt(ctx, rawURL, c.set.At.Get())
	}
	return stores.Open(ctx, rawURL, c.getenv, beside)
}

// getenv looks into the environment that main gave.
func (c *cli) getenv(name string) string {
	for _, pair := range c.env {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// clusterIsValid and storesAreKnown are faults of the configuration: told before anything is
// reached.
func clusterIsValid(s *settings.Settings) error {
	if name := s.Cluster.Get(); name != "" {
		if err := catalog.CheckCluster(name); err != nil {
			return s.Cluster.Errorf("%w", err)
		}
	}
	return nil
}

func storesAreKnown(s *settings.Settings) error { return knownStores(&s.Stores) }

func knownStores(set *settings.Set[settings.URLs]) error {
	var faults []error
	for i, text := range set.Get() {
		if err := stores.Check(text.Full()); err != nil {
			faults = append(faults, set.Errorf("%w", err))
		}
		if j := slices.IndexFunc(set.Get()[:i], func(before settings.URL) bool { return stores.Same(before.Full(), text.Full()) }); j >= 0 {
			faults = append(faults, set.Errorf("%s is the same store as %s: it would count as two", text, set.Get()[j]))
		}
	}
	return errors.Join(faults...)
}

// endpointsAreKnown asks the one who will dial them.
func endpointsAreKnown(s *settings.Settings) error {
	var faults []error
	for _, set := range []*settings.Set[settings.Endpoints]{&s.Endpoints, &s.MetricsEndpoints} {
		for _, e := range set.Get() {
			if err := etcd.CheckEndpoint(e); err != nil {
				faults = append(faults, set.Errorf("%w", err))
			}
		}
	}
	return errors.Join(faults...)
}

// etcdConfig reads the password and returns how members are reached.
func (c *cli) etcdConfig() (etcd.Config, error) {
	s := c.set
	password, err := s.ReadPassword(c.readFile)
	if err != nil {
		return etcd.Config{}, err
	}
	cfg := etcd.Config{
		Endpoints: s.Endpoints.Get(),
		CACert:    string(s.Cacert.Get()), Cert: string(s.Cert.Get()), Key: string(s.Key.Get()), ServerName: s.ServerName.Get(),
		Insecure: s.InsecureSkipVerify.Get(), User: string(s.User.Get()), Password: etcd.Password(password.Reveal()), Timeout: s.DialTimeout.Get(),
		MetricsEndpoints: s.MetricsEndpoints.Get(),
	}
	return cfg, cfg.CheckFiles()
}

// recipients reads to whom archives are sealed.
func (c *cli) recipients() (archive.Recipients, error) {
	s := c.set
	if s.Plaintext.Get() {
		return archive.Plaintext(), nil
	}
	texts := slices.Clone(s.Recipients.Get())
	if path := s.RecipientsFile.Get(); path != "" {
		raw, err := c.readFile(string(path))
		if err != nil {
			return archive.Recipients{}, s.RecipientsFile.Errorf("%w", err)
		}
		lines := archive.RecipientLines(raw)
		if _, err := archive.ParseRecipients(lines); err != nil {
			return archive.Recipients{}, s.RecipientsFile.Errorf("%q: %w", path, err)
		}
		texts = append(texts, lines...)
	}
	rec, err := archive.ParseRecipients(texts)
	if err != nil {
		return rec, s.Recipients.Errorf("%w", err)
	}
	return rec, nil
}

// identities reads what opens archives; none where no file is named.
func (c *cli) identities() (archive.Identities, error) {
	path := c.set.IdentitiesFile.Get()
	if path == "" {
		return archive.Identities{}, nil
	}
	raw, err := c.readFile(string(path))
	if err != nil {
		return archive.Identities{}, c.set.IdentitiesFile.Errorf("%w", err)
	}
	ids, err := archive.ParseIdentities(raw)
	if err != nil {
		return ids, c.set.IdentitiesFile.Errorf("%q: %w", path, err)
	}
	return ids, nil
}

func (c *cli) place() spool.Place {
	return spool.Place{Dir: string(c.set.SpoolDir.Get()), Kind: spool.Kind(c.set.Spool.Spool.Get()), MaxBytes: int64(c.set.SpoolMaxBytes.Get())}
}

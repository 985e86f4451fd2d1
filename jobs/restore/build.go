package restore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
	"github.com/etcdsafe/etcdsafe/storage/catalog"
)

// build makes the data folder beside its final name, checks it, and renames it. Whatever goes
// wrong before the rename, what was built is removed.
func (r *run) build(ctx context.Context, src *source, raw *unsealed) (err error) {
	t, err := openTarget(r.DataDir, r.MoveAside)
	if err != nil {
		return err
	}
	if err := t.room(raw.Size()); err != nil {
		return err
	}
	suffix, err := r.draw()
	if err != nil {
		return err
	}
	scratch, err := t.scratch(suffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(scratch))
		}
	}()
	if err := r.fill(ctx, src, raw, scratch); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	// Somebody may have filled the folder, or started etcd in it, meanwhile.
	again, err := openTarget(r.DataDir, r.MoveAside)
	if err != nil {
		return err
	}
	if again.inside() != t.inside() {
		return fmt.Errorf("data folder %q changed meanwhile: %w", r.DataDir, ErrRefused)
	}
	if t = again; t.inside() {
		if err := r.Owner.give(r.DataDir); err != nil { // what is renamed has its owner already
			return err
		}
	}
	if r.report.MovedAside, err = t.take(scratch, r.Now()); err != nil {
		return err
	}
	r.report.DataDir = r.DataDir
	r.Log.Info("data folder restored", "revision", src.facts.Revision, "stage", "rename", "reason", r.report.BumpReason)
	return nil
}

// fill runs etcd's restore into scratch, then checks and syncs what it made.
func (r *run) fill(ctx context.Context, src *source, raw *unsealed, scratch string) error {
	b, err := r.Bump.resolve(src.facts.Kubernetes)
	if err != nil {
		return err
	}
	r.report.BumpedBy, r.report.BumpReason = b.by, b.why
	p, err := r.Peers.resolve(r.Name)
	if err != nil {
		return err
	}
	cfg := dbfile.RestoreConfig{DataDir: scratch, Name: r.Name, InitialCluster: p.cluster, Token: r.token(src),
		PeerURLs: p.advertise, BumpRevision: b.by}
	r.Log.Info("data folder begun", "revision", src.facts.Revision, "stage", "build")
	err = r.Child.Restore(ctx, raw.File(), cfg)
	if bad := raw.proven(); bad != nil {
		return bad // whatever the library said follows from it
	}
	if err != nil {
		return fmt.Errorf("data folder %q: %w", r.DataDir, err)
	}
	r.Log.Debug("data folder built", "stage", "check")
	if err := r.checkFolder(ctx, src, scratch, b); err != nil {
		return err
	}
	r.Log.Debug("data folder checked", "stage", "sync")
	r.report.Start = startLines(p, cfg.Token, r.DataDir)
	return syncTree(scratch, r.Owner.give)
}

// token is the archive's own unless told otherwise: with etcd's default, members of two
// archives of one cluster would join each other.
func (r *run) token(src *source) string {
	switch {
	case r.Peers.Token != "":
		return r.Peers.Token
	case src.manifest != nil:
		return "etcdsafe-" + string(src.manifest.ID)
	}
	name, _, _ := strings.Cut(filepath.Base(src.file), ".")
	if id, err := catalog.ParseID(name); err == nil { // fetched by --fetch-only
		return "etcdsafe-" + string(id)
	}
	return fmt.Sprintf("etcdsafe-%x-%08x", src.facts.Revision, src.facts.HashKV)
}

// checkFolder opens the new database and holds it to the archive: keys, HashKV at the
// archive's revision, and the last revision after the bump.
func (r *run) checkFolder(ctx context.Context, src *source, scratch string, b bump) error {
	db, err := os.Open(filepath.Join(scratch, "member", "snap", "db"))
	if err != nil {
		return fmt.Errorf("check restored folder: %w: %w", bare(err), ErrMismatch)
	}
	defer db.Close() //nolint:errcheck // a reader's Close
	want := src.facts
	got, err := r.Child.Inspect(ctx, db, dbfile.Query{Revision: want.HashRevision, CompactRevision: want.HashCompact, KeysOnly: true})
	if err != nil {
		return fmt.Errorf("check restored folder: %w", err)
	}
	if want.Keys < 0 {
		r.report.Warnings = append(r.report.Warnings, "keys and HashKV are not known of this archive, and were not compared")
		want.Keys, want.HashKV = got.Keys, got.HashKV
	}
	switch {
	case got.Revision != want.Revision+b.by:
		return fmt.Errorf("revision is %d, want %d + %d: %w", got.Revision, want.Revision, b.by, ErrMismatch)
	case got.Keys != want.Keys:
		return fmt.Errorf("keys are %d, the archive has %d: %w", got.Keys, want.Keys, ErrMismatch)
	case got.HashKV != want.HashKV:
		return fmt.Errorf("HashKV at revision %d is %d, the archive has %d: %w", want.HashRevision, got.HashKV, want.HashKV, ErrMismatch)
	}
	r.report.Archive.Revision, r.report.Archive.Keys = want.Revision, want.Keys
	return nil
}

// startLines is how each member of the new cluster is started.
func startLines(p peers, token, dataDir string) []string {
	var out []string
	for _, m := range p.members {
		out = append(out, fmt.Sprintf("etcd --name %s --data-dir %s --initial-cluster %s --initial-cluster-token %s --initial-advertise-peer-urls %s --listen-peer-urls %s",
			m.name, dataDir, p.cluster, token, strings.Join(m.urls, ","), listenURLs(m.urls)))
	}
	return out
}

// listenURLs are where etcd can listen to be reached under urls: it wants addresses, no names.
func listenURLs(urls []string) string {
	var out []string
	for _, text := range urls {
		u, err := url.Parse(text)
		if err == nil && u.Hostname() != "localhost" && net.ParseIP(u.Hostname()) == nil {
			text = u.Scheme + "://0.0.0.0:" + u.Port()
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, ",")
}

// writeDB writes the snapshot with its digest to a file that does not exist yet.
func (r *run) writeDB(raw *unsealed) error {
	if err := raw.proven(); err != nil {
		return err
	}
	err := writeNew(r.DBOnly, r.Owner, io.NewSectionReader(raw.File(), 0, raw.Size()))
	if err == nil {
		r.report.File = r.DBOnly
		r.Log.Info("snapshot written", "bytes", raw.Size(), "stage", "rename")
	}
	return err
}

// fetch copies the sealed archive and its manifest into a folder, checked against the
// manifest. It needs no key.
func (r *run) fetch(ctx context.Context, src *source) error {
	if src.manifest == nil {
		return fmt.Errorf("--fetch-only of a local file: %w", ErrSetting)
	}
	m, text, err := src.store.ManifestText(ctx, src.manifest.ID)
	if err != nil {
		return err
	}
	body, _, err := src.store.OpenArchive(ctx, m.ID, m.Codecs)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // a reader's Close
	file := filepath.Join(r.FetchOnly, filepath.Base(m.Archive.Object))
	manifest := filepath.Join(r.FetchOnly, string(m.ID)+".json")
	if err := absent(manifest); err != nil {
		return err
	}
	if err := writeNew(file, r.Owner, m.Expect().Sealed(body)); err != nil {
		return err
	}
	if err := writeNew(manifest, r.Owner, bytes.NewReader(text)); err != nil {
		return err
	}
	r.report.File = file
	return nil
}

// writeNew writes a file of mode 0600 that must not exist: under a name that begins with a dot
// until it is whole and synced. Only the sync of its folder can fail with the file in place.
func writeNew(path string, owner *Owner, src io.Reader) (err error) {
	if err := absent(path); err != nil {
		return err
	}
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".etcdsafe-*")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, bare(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(part.Name()))
		}
	}()
	_, err = io.Copy(part, src)
	if err == nil {
		err = part.Sync()
	}
	if err = errors.Join(err, part.Close()); err != nil {
		return fmt.Errorf("write %q: %w", path, bare(err))
	}
	if err := owner.give(part.Name()); err != nil {
		return err
	}
	if err := absent(path); err != nil { // rename refuses too, in worse words
		return err
	}
	if err := rename(part.Name(), path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

func absent(path string) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("write %q: it exists: %w", path, ErrRefused)
	}
	return nil
}

func (r *run) draw() (string, error) {
	b := make([]byte, 4)
	if _, err := io.ReadFull(r.Random, b); err != nil {
		return "", fmt.Errorf("draw name: %w", err)
	}
	return hex.EncodeToString(b), nil
}

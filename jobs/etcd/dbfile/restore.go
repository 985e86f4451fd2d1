package dbfile

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// RestoreConfig says what data folder is to be made of a snapshot.
type RestoreConfig struct {
	DataDir        string // must not exist, or be empty
	Name           string
	InitialCluster string
	Token          string
	PeerURLs       []string
	// BumpRevision is added to the last revision, and all before it marked compacted; 0 leaves
	// both alone. etcd's library ignores one without the other, so there is one setting.
	BumpRevision int64
}

// Restore makes a data folder of the snapshot in f, which ends in its digest or, where it was
// proven before, does not: the library copies it, and with a digest reads it twice. A folder
// that an error leaves half-made stays: the caller owns it. Not all is synced: the caller
// does that. The error wraps ErrCrashed or ErrChild, or is the library's.
func (c Child) Restore(ctx context.Context, f *os.File, cfg RestoreConfig) error {
	if _, err := c.ask(ctx, request{Restore: &cfg}, f); err != nil {
		return fmt.Errorf("restore into %q: %w", cfg.DataDir, err)
	}
	return nil
}

// serveRestore runs in the child.
func serveRestore(cfg RestoreConfig) reply {
	err := snapshot.NewV3(errorsOnly()).Restore(snapshot.RestoreConfig{
		SnapshotPath:        fmt.Sprintf("/proc/self/fd/%d", firstFile),
		Name:                cfg.Name,
		OutputDataDir:       cfg.DataDir,
		PeerURLs:            cfg.PeerURLs,
		InitialCluster:      cfg.InitialCluster,
		InitialClusterToken: cfg.Token,
		SkipHashCheck:       true, // proven byte by byte when the archive was opened
		RevisionBump:        uint64(max(0, cfg.BumpRevision)),
		MarkCompacted:       cfg.BumpRevision > 0,
	})
	if err != nil {
		return failed(fmt.Errorf("etcd: %s", strings.Join(strings.Fields(err.Error()), " ")))
	}
	return reply{}
}

// errorsOnly is etcd's logger, silenced but for what it says before it panics or exits.
func errorsOnly() *zap.Logger {
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m"})
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), zapcore.ErrorLevel))
}

package catalog

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// stamp is how every object name tells a time: UTC, fixed width, no colons.
const stamp = "20060102T150405Z"

// ErrBadName marks a cluster name or an id that is not of the form this package writes.
var ErrBadName = errors.New("not a valid name")

var (
	idForm      = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}-[0-9a-f]{8}$`)
	runForm     = regexp.MustCompile(`^([a-z-]+)/([0-9TZ]{16})-[0-9a-f]{4}\.json$`)
	claimForm   = regexp.MustCompile(`^claims/([0-9TZ]{16})-([a-z-]+(?:_[a-z-]+)*)\.json$`)
	clusterForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)
)

// ID names one archive in every store: when its stream was opened, the snapshot's last
// revision, and 8 random hex digits. As text it sorts by age.
type ID string

// NewID makes an id; random yields 4 bytes.
func NewID(opened time.Time, revision int64, random io.Reader) (ID, error) {
	var b [4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("draw id: %w", err)
	}
	return ID(fmt.Sprintf("%s-%016x-%s", opened.UTC().Format(stamp), revision, hex.EncodeToString(b[:]))), nil
}

// ParseID checks s. The error wraps ErrBadName.
func ParseID(s string) (ID, error) {
	if !idForm.MatchString(s) {
		return "", fmt.Errorf("archive id %q: %w: it looks like 20060102T150405Z-<16 hex digits>-<8 hex digits>", s, ErrBadName)
	}
	if _, err := time.Parse(stamp, s[:len(stamp)]); err != nil {
		return "", fmt.Errorf("archive id %q: %w: no such time", s, ErrBadName)
	}
	return ID(s), nil
}

// Time is when the stream was opened, to the second.
func (id ID) Time() time.Time {
	t, _ := time.Parse(stamp, string(id[:len(stamp)])) // ParseID and NewID made sure
	return t
}

// Revision is the snapshot's last revision.
func (id ID) Revision() int64 {
	n, _ := strconv.ParseInt(string(id[len(stamp)+1:len(stamp)+17]), 16, 64)
	return n
}

// CheckCluster says whether name can be a cluster's: it becomes a folder, so it is one segment
// of letters, digits, dots, underscores and dashes. The error wraps ErrBadName.
func CheckCluster(name string) error {
	if !clusterForm.MatchString(name) {
		return fmt.Errorf("cluster name %q: %w: 1 to 63 of A-Z a-z 0-9 . _ -, beginning and ending with a letter or digit", name, ErrBadName)
	}
	return nil
}

// keys builds and parses the object names of one cluster.
type keys struct{ cluster string }

func (k keys) archive(id ID, codecs []string) string {
	return k.cluster + "/" + ArchiveObject(id, codecs)
}

func (k keys) recovery() string { return k.cluster + "/RECOVERY.md" }

func (k keys) manifests() string { return k.cluster + "/manifests/" }

func (k keys) manifest(id ID) string { return k.manifests() + string(id) + ".json" }

// parseManifest is the id of a manifest's object name; other objects there are none of ours.
func (k keys) parseManifest(key string) (ID, bool) {
	name, ok := strings.CutSuffix(strings.TrimPrefix(key, k.manifests()), ".json")
	if !ok {
		return "", false
	}
	id, err := ParseID(name)
	return id, err == nil
}

func (k keys) allReceipts() string { return k.cluster + "/receipts/" }

func (k keys) receipts(id ID) string { return k.allReceipts() + string(id) + "/" }

func (k keys) receipt(r Receipt, suffix string) string {
	return fmt.Sprintf("%s%s-%s-%s.json", k.receipts(r.Archive), r.Finished.UTC().Format(stamp), r.Level, suffix)
}

// parseReceipt is the level in a receipt's object name, and when it was written.
func parseReceipt(key string) (Level, time.Time, bool) {
	at, what, ok := parseNote(key)
	level := Level(what)
	return level, at, ok && level.rank() > 0
}

// parseNote takes the name of a receipt, hold or release apart: CLUSTER/FOLDER/ID/TIME-WHAT-XXXX.json.
func parseNote(key string) (at time.Time, what string, ok bool) {
	folders := strings.SplitN(key, "/", 4)
	name, ok := strings.CutSuffix(folders[len(folders)-1], ".json")
	parts := strings.Split(name, "-")
	if !ok || len(parts) != 3 {
		return time.Time{}, "", false
	}
	at, err := time.Parse(stamp, parts[0])
	return at, parts[1], err == nil
}

func (k keys) runs() string { return k.cluster + "/runs/" }

func (k keys) runsOf(job string) string { return k.runs() + job + "/" }

// run is the name of a run's record. The error wraps ErrBadName where it would not come back by parseRun.
func (k keys) run(r Run, suffix string) (string, error) {
	key := k.runsOf(r.Job) + r.Slot.UTC().Format(stamp) + "-" + suffix + ".json"
	if got, ok := k.parseRun(key); !ok || got.Job != r.Job || !got.Slot.Equal(r.Slot) {
		return "", fmt.Errorf("run of %q at %s, %q: %w", r.Job, r.Slot.UTC().Format(time.RFC3339), suffix, ErrBadName)
	}
	return key, nil
}

// claim is the name of what claims r's slot for r's line, as run does it. Stores take no comma.
func (k keys) claim(r Run) (string, error) {
	key := k.runsOf("claims") + r.Slot.UTC().Format(stamp) + "-" + strings.ReplaceAll(r.Line, ",", "_") + ".json"
	if got, ok := k.parseRun(key); !ok || got.Line != r.Line || !got.Slot.Equal(r.Slot) {
		return "", fmt.Errorf("claim of %q at %s: %w", r.Line, r.Slot.UTC().Format(time.RFC3339), ErrBadName)
	}
	return key, nil
}

// parseRun takes the name of what lies under runs/ apart; other objects there are none of ours.
func (k keys) parseRun(key string) (r Record, ok bool) {
	name, ok := strings.CutPrefix(key, k.runs())
	if !ok {
		return Record{}, false
	}
	var at string
	if m := claimForm.FindStringSubmatch(name); m != nil {
		at, r.Line = m[1], strings.ReplaceAll(m[2], "_", ",")
	} else if m := runForm.FindStringSubmatch(name); m != nil && m[1] != "claims" {
		r.Job, at = m[1], m[2]
	} else {
		return Record{}, false
	}
	slot, err := time.Parse(stamp, at)
	r.Slot = slot
	return r, err == nil
}

// ArchiveObject is an archive's object name within its cluster, as the manifest tells it.
func ArchiveObject(id ID, codecs []string) string {
	name := "archives/" + string(id) + ".db"
	for _, codec := range codecs {
		switch codec {
		case "zstd":
			name += ".zst"
		default:
			name += "." + codec
		}
	}
	return name
}

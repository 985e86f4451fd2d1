package catalog

import (
	"fmt"
	"strings"
	"time"

	"github.com/etcdsafe/etcdsafe/storage/archive"
)

// maxDocument bounds a manifest, a receipt or any other document before memory is taken for it.
const maxDocument = 1 << 20

// Manifest is the commit of one archive, format 1. Fields are only ever added; FORMAT.md in
// storage/archive tells what each one means and where it was read.
type Manifest struct {
	Format int     `json:"format"`
	Kind   string  `json:"kind"`
	Base   *string `json:"base"`
	ID     ID      `json:"id"`
	Tool   Tool    `json:"tool"`
	Runner *Runner `json:"runner,omitempty"` // absent in archives of the first releases

	Cluster Cluster  `json:"cluster"`
	Member  Source   `json:"member"`
	Members []Member `json:"members"`

	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`

	Snapshot Snapshot `json:"snapshot"`
	HashKV   HashKV   `json:"hashKV"`
	Quorum   bool     `json:"quorum"`
	Alarms   []string `json:"alarms"`
	Source   string   `json:"source"`
	Suspect  []string `json:"suspect,omitempty"`

	Archive    Archive  `json:"archive"`
	Codecs     []string `json:"codecs"`
	Recipients []string `json:"recipients"`

	Resources        *string           `json:"resources"`
	Platform         Platform          `json:"platform"`
	EncryptionAtRest string            `json:"encryptionAtRest"`
	Tripwires        []string          `json:"tripwires"`
	CopiedFrom       *string           `json:"copiedFrom"`
	Lock             string            `json:"lock"`
	Reason           string            `json:"reason"`
	Labels           map[string]string `json:"labels"`

	// SHA256 is taken over the document with this field empty. Encode fills it in.
	SHA256 string `json:"sha256"`
}

// Tool is the release that wrote a document.
type Tool struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
}

// Runner is where a run took place, as far as it was told: so an archive is traced to its Job.
type Runner struct {
	Host           string `json:"host"`
	Pod            string `json:"pod,omitempty"` // namespace/name
	Node           string `json:"node,omitempty"`
	ServiceAccount string `json:"serviceAccount,omitempty"`
}

// Cluster is a cluster by the user's name for it and by etcd's own id, in hex.
type Cluster struct {
	Name string `json:"name"`
	ID   string `json:"id"`
}

// Source is the member whose stream the snapshot is.
type Source struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"`
	Version  string `json:"version"`
	Leader   bool   `json:"leader"`
}

// Member is one member of the cluster as MemberList told it.
type Member struct {
	ID         string   `json:"id"`
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"`
	Learner    bool     `json:"learner"`
}

// Snapshot tells of etcd's bytes. All but DBInUseBytes was read from the bytes themselves.
type Snapshot struct {
	Bytes           int64  `json:"bytes"`
	SHA256          string `json:"sha256"`
	Revision        int64  `json:"revision"`
	CompactRevision int64  `json:"compactRevision"`
	ScheduledRev    int64  `json:"scheduledCompactRevision"`
	Term            uint64 `json:"term"`
	Index           uint64 `json:"index"`
	Keys            int64  `json:"keys"`
	Hash            string `json:"hash"`
	DBBytes         int64  `json:"dbBytes"`
	DBInUseBytes    int64  `json:"dbInUseBytes"`
	Kubernetes      bool   `json:"kubernetes"`
}

// Outcome is how a snapshot's HashKV compared with that of live members.
type Outcome string

// The outcomes. Inconclusive and off are no proof, and no fault either.
const (
	Equal        Outcome = "equal"
	Inconclusive Outcome = "inconclusive"
	Unequal      Outcome = "unequal"
	Off          Outcome = "off"
)

// HashKV is the snapshot's own HashKV at Revision, as a member compacted at CompactRevision
// would answer, and how members did answer.
type HashKV struct {
	Outcome         Outcome  `json:"outcome"`
	Why             string   `json:"why,omitempty"`
	Hash            uint32   `json:"hash"`
	Revision        int64    `json:"revision"`
	CompactRevision int64    `json:"compactRevision"`
	Agreed          []string `json:"agreed"`
	Differed        []string `json:"differed"`
}

// Archive is the sealed object.
type Archive struct {
	Object string `json:"object"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Platform is what runs on the cluster, where known.
type Platform struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

// Encode returns the manifest's bytes and sets its SHA256.
func (m *Manifest) Encode() ([]byte, error) {
	m.Format, m.Kind, m.SHA256 = 1, "full", ""
	text, err := encode(m)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", m.ID, err)
	}
	if m.SHA256, err = checkSum(text); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", m.ID, err)
	}
	return text, nil
}

// DecodeManifest reads the manifest of archive id of cluster. It refuses bytes that were
// changed (ErrCorrupt), another format (ErrFormat), a manifest that belongs elsewhere (ErrElsewhere)
// and one that contradicts itself (ErrCorrupt).
func DecodeManifest(text []byte, cluster string, id ID) (Manifest, error) {
	var m Manifest
	if err := decode(text, &m); err != nil {
		return Manifest{}, fmt.Errorf("manifest %s: %w", id, err)
	}
	if whose := m.elsewhere(cluster, id); whose != "" {
		return Manifest{}, fmt.Errorf("manifest %s: it is that of %s: %w", id, whose, ErrElsewhere)
	}
	if fault := m.fault(id); fault != "" {
		return Manifest{}, fmt.Errorf("manifest %s: %s: %w", id, fault, ErrCorrupt)
	}
	return m, nil
}

// Expect is what m promises of its archive's bytes.
func (m *Manifest) Expect() archive.Expect {
	return archive.Expect{
		ArchiveBytes: m.Archive.Bytes, ArchiveSHA256: m.Archive.SHA256,
		SnapshotBytes: m.Snapshot.Bytes, SnapshotSHA256: m.Snapshot.SHA256, Codecs: m.Codecs,
	}
}

// elsewhere is whose m is, if not that archive's of that cluster, or "".
func (m *Manifest) elsewhere(cluster string, id ID) string {
	switch {
	case m.Cluster.Name != cluster:
		return fmt.Sprintf("cluster %q", m.Cluster.Name)
	case m.ID != id:
		return fmt.Sprintf("archive %q", m.ID)
	}
	return ""
}

// fault is the first thing in m that cannot be, or "".
func (m *Manifest) fault(id ID) string {
	switch {
	case m.Kind != "full":
		return fmt.Sprintf("kind %q is not known", m.Kind)
	case m.ID.Revision() != m.Snapshot.Revision:
		return fmt.Sprintf("revision %d is not that of the id", m.Snapshot.Revision)
	case m.HashKV.Revision != m.Snapshot.Revision:
		return fmt.Sprintf("HashKV revision %d is not the snapshot's", m.HashKV.Revision)
	case m.HashKV.CompactRevision != max(m.Snapshot.CompactRevision, m.Snapshot.ScheduledRev):
		return fmt.Sprintf("HashKV compact revision %d is not the snapshot's", m.HashKV.CompactRevision)
	case !m.ID.Time().Equal(m.Started.UTC().Truncate(time.Second)):
		return fmt.Sprintf("start %s is not that of the id", m.Started.Format(time.RFC3339))
	case m.Finished.Before(m.Started):
		return "it finished before it started"
	case m.Archive.Object != ArchiveObject(id, m.Codecs):
		return fmt.Sprintf("archive object %q does not fit codecs %q", m.Archive.Object, m.Codecs)
	case m.Archive.Bytes <= 0 || m.Snapshot.Bytes <= 0:
		return "a size is not positive"
	case len(m.Archive.SHA256) != sumDigits || len(m.Snapshot.SHA256) != sumDigits:
		return "a SHA-256 is not 64 hex digits"
	case len(m.Recipients) == 0 && strings.Contains(m.Archive.Object, ".age"):
		return "it is encrypted to nobody"
	}
	return ""
}

package restore

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

// kubernetesBump is added to the revision of a Kubernetes store: controllers and kubelets that
// cached newer revisions must never meet one of them again (kubernetes/kubernetes#118501). It
// covers a week at 1,500 writes a second.
const kubernetesBump = 1_000_000_000

// Bump says what becomes of the last revision. Either field nil is "as the keys ask for".
// etcd's library ignores one without the other, so they must agree.
type Bump struct {
	By   *int64
	Mark *bool
}

type bump struct {
	by  int64
	why string
}

func (b Bump) resolve(kubernetes bool) (bump, error) {
	switch {
	case b.By == nil && b.Mark == nil && kubernetes:
		return bump{kubernetesBump, "Kubernetes keys lie inside"}, nil
	case b.By == nil && b.Mark == nil:
		return bump{0, "no Kubernetes keys lie inside"}, nil
	case b.By != nil && *b.By < 0:
		return bump{}, fmt.Errorf("--bump-revision %d is negative: %w", *b.By, ErrSetting)
	case b.By != nil && *b.By == 0 && (b.Mark == nil || !*b.Mark):
		return bump{0, "as told"}, nil
	case b.By != nil && *b.By > 0 && b.Mark != nil && *b.Mark:
		return bump{*b.By, "as told"}, nil
	}
	return bump{}, fmt.Errorf("--bump-revision and --mark-compacted go together, etcd ignores one without the other: give both, or --bump-revision 0: %w", ErrSetting)
}

// Peers is the initial cluster, as etcd's flags of the same names tell it.
type Peers struct {
	InitialCluster string // name=url,name=url; this member alone where empty
	Token          string // the archive's own where empty
	AdvertiseURLs  []string
}

// peers is Peers with its defaults, and each member's URLs.
type peers struct {
	cluster   string
	advertise []string
	members   []peer
}

type peer struct {
	name string
	urls []string
}

// resolve fills in the defaults, as etcdutl does, and refuses what etcd's library would refuse
// only after it has copied the database.
func (p Peers) resolve(name string) (peers, error) {
	out := peers{cluster: p.InitialCluster, advertise: p.AdvertiseURLs}
	if strings.Contains(strings.Join(out.advertise, ","), "@") {
		return out, fmt.Errorf("--initial-advertise-peer-urls have a user part, which etcd does not know: %w", ErrSetting)
	}
	if out.cluster == "" {
		if len(out.advertise) == 0 {
			out.advertise = []string{"http://localhost:2380"}
		}
		for _, u := range out.advertise {
			out.cluster += "," + name + "=" + u
		}
		out.cluster = out.cluster[1:]
	}
	if err := out.parse(); err != nil {
		return out, err
	}
	i := slices.IndexFunc(out.members, func(m peer) bool { return m.name == name })
	if i < 0 {
		return out, fmt.Errorf("--initial-cluster %q does not hold --name %q: %w", out.cluster, name, ErrSetting)
	}
	if len(out.advertise) == 0 {
		out.advertise = out.members[i].urls
	}
	if !slices.Equal(slices.Sorted(slices.Values(out.advertise)), slices.Sorted(slices.Values(out.members[i].urls))) {
		return out, fmt.Errorf("--initial-advertise-peer-urls %s are not those of %q in --initial-cluster %q: %w", strings.Join(out.advertise, ","), name, out.cluster, ErrSetting)
	}
	return out, nil
}

func (p *peers) parse() error {
	for _, part := range strings.Split(p.cluster, ",") {
		name, text, ok := strings.Cut(part, "=")
		if strings.Contains(part, "@") {
			return fmt.Errorf("a peer URL of member %q has a user part, which etcd does not know: %w", name, ErrSetting)
		}
		u, err := url.Parse(text)
		if !ok || name == "" || err != nil || u.Host == "" || u.Port() == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return fmt.Errorf("--initial-cluster: %q is not name=http(s)://host:port: %w", part, ErrSetting)
		}
		i := slices.IndexFunc(p.members, func(m peer) bool { return m.name == name })
		if i < 0 {
			p.members = append(p.members, peer{name: name})
			i = len(p.members) - 1
		}
		p.members[i].urls = append(p.members[i].urls, text)
	}
	slices.SortStableFunc(p.members, func(a, b peer) int { return cmp.Compare(a.name, b.name) })
	return nil
}

// Owner is who a restored folder shall belong to.
type Owner struct{ UID, GID int }

// give makes path the owner's.
func (o *Owner) give(path string) error {
	if o == nil {
		return nil
	}
	if err := os.Lchown(path, o.UID, o.GID); err != nil {
		return fmt.Errorf("give %q to %d:%d: %w", path, o.UID, o.GID, bare(err))
	}
	return nil
}

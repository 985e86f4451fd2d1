package catalog

// recoveryText is RECOVERY.md, written once beside the archives for whoever finds them without this
// program.
const recoveryText = `# How to get etcd back from this folder without etcdsafe

An archive is etcd's own snapshot, compressed by zstd and then encrypted by age:

    archives/<id>.db.zst.age     with age
    archives/<id>.db.zst         without encryption
    manifests/<id>.json          proves that the archive is whole; one without it is none

Ids sort by age: the last one under manifests/ is the newest. You need the age identity (the
private key), age, zstd and etcdutl of the same minor version as the cluster or newer.

    sha256sum archives/<id>.db.zst.age          # equals archive.sha256 in the manifest
    age -d -i identity.txt archives/<id>.db.zst.age | zstd -d > snapshot.db
    sha256sum snapshot.db                       # equals snapshot.sha256 in the manifest
    etcdutl snapshot restore snapshot.db --data-dir /var/lib/etcd-new \
        --bump-revision 1000000000 --mark-compacted

The last two flags belong to Kubernetes: without them its controllers keep stale caches. Do not
use an archive whose manifest says "suspect" unless you know why it does. For more than one
member run the last command once for each, with the same snapshot.db and --name,
--initial-cluster, --initial-cluster-token and --initial-advertise-peer-urls.
`

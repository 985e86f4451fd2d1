// Package demo makes what `etcdsafe demo` shows things on: an etcd on loopback, in a folder of
// its own, full of keys shaped like Kubernetes objects. It knows no archive and no store; the
// commands that the demonstration runs are the real ones.
package demo

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/etcdsafe/etcdsafe/jobs/etcd"
	"github.com/etcdsafe/etcdsafe/jobs/etcd/dbfile"
)

// Start runs an etcd on dir, which it makes where it does not exist. Stop it.
func Start(ctx context.Context, child dbfile.Child, dir string) (*dbfile.Server, error) {
	return child.Boot(ctx, dbfile.BootConfig{DataDir: dir, Name: "demo"})
}

// Fill writes n keys shaped like Kubernetes objects.
func Fill(ctx context.Context, endpoint string, n int) error {
	return etcd.Fill(ctx, etcd.Config{Endpoints: []string{endpoint}}, objects(n))
}

// HashKV asks the server for its HashKV at revision.
func HashKV(ctx context.Context, endpoint string, revision int64) (uint32, error) {
	cluster, err := etcd.Discover(ctx, etcd.Config{Endpoints: []string{endpoint}})
	if err != nil {
		return 0, err
	}
	conn, err := cluster.Connect(ctx, cluster.Members[0])
	if err != nil {
		return 0, err
	}
	defer conn.Close() //nolint:errcheck // nothing was written over it
	h, err := conn.HashKV(ctx, revision)
	return h.Hash, err
}

// objects yields the same n keys each time.
func objects(n int) iter.Seq2[string, []byte] {
	kinds := []string{"pods", "configmaps", "secrets", "leases", "events", "services/endpoints"}
	return func(yield func(string, []byte) bool) {
		rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // data for show
		for i := range n {
			kind := kinds[i%len(kinds)]
			key := fmt.Sprintf("/registry/%s/team-%02d/app-%05d", kind, i%40, i)
			if !yield(key, object(rnd, kind, i)) {
				return
			}
		}
	}
}

func object(rnd *rand.Rand, kind string, i int) []byte {
	return fmt.Appendf(nil, "k8s\x00\n\x0c\n\x02v1\x12\x03%s\x12app-%05d\x1a\x00\"\x07team-%02d*\x00\x32$%08x-%04x-4%03x-a%03x-%012x8\x00B\x08\x08%x\x10\x00Z\x0c\n\x03app\x12\x05app-%d"+
		"\xda\x02\x12registry.example.com/app@sha256:%016x%016x\x1a\x0cNodeAffinity: zone-%c, cpu: %dm, memory: %dMi",
		kind, i, i%40, rnd.Uint32(), rnd.IntN(1<<16), rnd.IntN(1<<12), rnd.IntN(1<<12), rnd.Int64N(1<<48), rnd.Uint32(), i, rnd.Uint64(), rnd.Uint64(), 'a'+rune(i%3), 100*(1+i%8), 128*(1+i%16))
}

package data

import (
	"iter"
	"math/rand/v2"
)

// Kubernetes are the first n objects of a control plane: pods, events, replica sets, config
// maps, secrets, leases, endpoint slices and others below /registry/, of 6 to 7 KB in the
// mean. No key comes twice in the first 14 million. A value is the caller's to keep.
func Kubernetes(seed uint64, n int) iter.Seq2[string, []byte] {
	return KubernetesUpdate(seed, 0, n)
}

// KubernetesUpdate has the keys of Kubernetes, each with the value that it has after so many
// updates: status, times and hashes differ, the rest does not.
func KubernetesUpdate(seed, updates uint64, n int) iter.Seq2[string, []byte] {
	return sequence(seed, updates, n, object.kubernetes)
}

// CustomResources are the first n objects of one custom resource, widgets of example.com: JSON
// of 1 to 20 KB.
func CustomResources(seed uint64, n int) iter.Seq2[string, []byte] {
	return CustomResourcesUpdate(seed, 0, n)
}

// CustomResourcesUpdate is to CustomResources what KubernetesUpdate is to Kubernetes.
func CustomResourcesUpdate(seed, updates uint64, n int) iter.Seq2[string, []byte] {
	return sequence(seed, updates, n, object.widget)
}

func sequence(seed, updates uint64, n int, make func(object) (string, []byte)) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		w := newWorld(seed)
		for i := range n {
			if !yield(make(w.object(uint64(i), updates))) {
				return
			}
		}
	}
}

// An object is one to be made: what it is follows from still, what updates change from moving.
type object struct {
	world  *world
	index  uint64
	still  noise
	moving noise
}

func (w *world) object(index, updates uint64) object {
	return object{
		world: w, index: index,
		still:  noise{rand.New(rand.NewPCG(w.seed, index))},
		moving: noise{rand.New(rand.NewPCG(w.seed+1+updates, ^index))},
	}
}

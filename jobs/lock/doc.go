// Package lock lets one run of snapshot or defrag work on a cluster at a time.
//
//	Acquire ─ Take ─▶ Held ─ renewed by itself ─ Prove before each step ─ Release
//	             └ held by another: skip, fail or wait; too long: stuck
//
// The claim lies in etcd itself (a key under a lease), in a Lease of Kubernetes, or nowhere. It is
// taken create-only and carries who, where and since when, so that every refusal can name its holder.
//
// That it is *held* and that it *cannot be taken* are two things. Without a quorum, with NOSPACE or
// CORRUPT etcd gives no lease, which is when bytes are wanted most: ErrCannot leaves it to the job
// whether to go on without.
//
// No lock fences etcd: a process that was stopped in mid-step goes on when it is continued. So
// whoever does what must not happen twice asks Prove just before, and looks at the members besides.
// The package never takes a claim away from a holder that still renews it; `lock break` does, told by a person.
package lock

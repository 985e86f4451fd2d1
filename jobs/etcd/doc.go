// Package etcd is the cluster as jobs see it: its members, and calls to one of them.
//
//	endpoints ─ Discover ─▶ Cluster{Members} ─ Candidates ─▶ order for a snapshot
//	                              ├─ Connect ─▶ Conn ─ Status, HashKV, Snapshot
//	                              │                  └ Defragment, MoveLeader, Compact, Disarm
//	                              └─ Metrics: what a member tells while it serves nobody
//	          └ Keys ─▶ any voter: a lease, a key, their end: what a lock is made of
//
// A Conn is one TCP connection to one member and never becomes another: behind a load balancer
// a second dial could reach somebody else, and a snapshot's response does not say who sent it.
// So the id that a Conn told when it was opened holds until it is closed.
//
// The package is the only importer of etcd's client. It never takes a proxy, never prints a password,
// retries nothing but what Keys does, writes no key outside Prefix, and disarms NOSPACE alone. Fill is
// for clusters that are thrown away.
package etcd

// Package etcd is the cluster as jobs see it: its members, and calls to one of them.
//
//	endpoints ─ Discover ─▶ Cluster{Members} ─ Candidates ─▶ order for a snapshot
//	                              └─ Connect ─▶ Conn ─ Status, HashKV, Snapshot
//
// A Conn is one TCP connection to one member and never becomes another: behind a load balancer
// a second dial could reach somebody else, and a snapshot's response does not say who sent it.
// So the id that a Conn told when it was opened holds until it is closed.
//
// The package is the only importer of etcd's client. It never takes a proxy, never prints a password,
// and changes a cluster by Fill alone, which is for those that are thrown away.
package etcd

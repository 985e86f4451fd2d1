// Package data makes keys and values as etcd holds them in real life, for tests and
// measurements: the objects of a Kubernetes control plane in its storage encoding, and
// custom resources in JSON.
//
//	seed ─▶ world (namespaces, applications, nodes) ─▶ object i ─▶ key, value
//
// Object i depends on the seed and on i alone: the same seed gives the same bytes, today and
// in later versions (a golden digest guards them), and a longer sequence begins with the
// shorter one. A zstd of default level brings a snapshot of the Kubernetes kind to about a
// fifth. Nothing here is read from the environment, the clock or a network, and nothing is secret:
// what looks like a key or a password is the generator's noise.
package data

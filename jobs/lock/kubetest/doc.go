// Package kubetest runs a real kube-apiserver for tests: one process on loopback, over an etcd
// cluster of etcdtest's, with certificates of its own and RBAC as everywhere. No controller and
// no kubelet runs beside it: objects are stored, checked and watched, and nothing acts on them.
//
//	etcdtest.Cluster ◀── kube-apiserver ◀── Server.Admin            the test's own look
//	                                    ◀── Server.ServiceAccount   code under test, with these rights and no others
//
// It needs neither root nor namespaces. The server ends with the test, and with the test binary
// should that be killed. Its binary comes from scripts/tools.sh kube.
package kubetest

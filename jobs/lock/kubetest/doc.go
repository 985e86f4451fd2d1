// Package kubetest runs a real kube-apiserver for tests: one process on loopback, over an etcd
// cluster of etcdtest's, with certificates of its own and RBAC as everywhere. No kubelet runs beside
// it, and no controller but those that a test names: objects are stored, checked and watched.
//
//	etcdtest.Cluster ◀── kube-apiserver ◀── Server.Admin            the test's own look
//	                                    ◀── Server.Controllers      those of kube-controller-manager
//	                                    ◀── Server.ServiceAccount   code under test, with these rights and no others
//
// It needs neither root nor namespaces. The server ends with the test, and with the test binary
// should that be killed. Its binary comes from scripts/tools.sh kube.
package kubetest

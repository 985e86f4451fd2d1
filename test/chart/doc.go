// Package chart tests chart/etcdsafe as its users have it: rendered by helm, checked by kubeconform and by a real
// kube-apiserver. Each file in values is one way to install it; golden holds what comes of it.
package chart

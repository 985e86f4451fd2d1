#!/usr/bin/env bash
# Builds the pinned tools of test/tools/ into a cache outside the tree and prints their folder.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/tools.sh [GROUP...]

Builds the tools that tests need, each pinned by its own module under test/tools/, and
prints the folder that holds the binaries. Without GROUP all are built:

  etcd35 etcd36 etcd37   etcd, etcdctl and etcdutl, named etcd-3.5, etcdctl-3.5, ...
  etcd35fail etcd36fail etcd37fail
                         etcd servers that fail or stall where they are told to, by gofail, named
                         etcd-3.5-fail, ...
  age                    age and age-keygen
  lint                   golangci-lint
  versitygw minio        object stores that speak S3
  fakegcs azurite        object stores that speak like Google's and Azure's; azurite needs node
  toxiproxy              toxiproxy-server, a network that fails on purpose
  restic                 restic, whose buckets are prune's
  kube                   kube-apiserver, kube-controller-manager, kube-scheduler, kubelet, kube-proxy and
                         kubectl: one binary under six names; seven minutes on two cores, once
  containerd             containerd, its shim for runc, and ctr
  helm                   helm, helm-unittest, kubeconform and helm-docs

The folder is $ETCDSAFE_TOOLS, else $XDG_CACHE_HOME/etcdsafe/tools, else
~/.cache/etcdsafe/tools. A group is built again only when the files that pin it change.
USAGE
}

# stamp GROUP: what pins it, in 16 digits.
stamp() {
	(cd "$root/test/tools/$1" && cat -- *) | sha256sum | cut -c1-16
}

# built GROUP: whether the cache holds it as it is pinned now.
built() {
	[[ -f $dir/.$1 && $(cat "$dir/.$1") == "$(stamp "$1")" ]]
}

# build GROUP SUFFIX MODULE... : one binary per tool of the group, NAME+SUFFIX.
build() {
	local group=$1 suffix=$2
	shift 2
	built "$group" && return
	echo "building $group" >&2
	local pair
	for pair in "$@"; do
		(cd "$root/test/tools/$group" &&
			CGO_ENABLED=0 go build -trimpath -ldflags="-s -w ${ldflags:-}" -o "$dir/${pair%%=*}$suffix" "${pair#*=}")
	done
	stamp "$group" >"$dir/.$group"
}

etcd() {
	build "$1" "-$2" etcd=go.etcd.io/etcd/server/v3 etcdctl=go.etcd.io/etcd/etcdctl/v3 etcdutl=go.etcd.io/etcd/etcdutl/v3
}

# etcdfail GROUP MINOR BACKEND: the server alone, with the failpoints of its package BACKEND.
# gofail writes them into the source, so what it works on is a copy.
etcdfail() {
	built "$1" && return
	echo "building $1" >&2
	local server=go.etcd.io/etcd/server/v3 from
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cp "$root/test/tools/$1"/go.* "$work/"
	(
		cd "$work"
		go mod download "$server"
		from=$(go list -m -f '{{.Dir}}' "$server")
		cp -R "$from" server
		chmod -R u+w server
		go build -o gofail go.etcd.io/gofail
		./gofail enable "server/$3" >&2
		go mod edit -replace="$server=./server"
		CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o "$dir/etcd-$2-fail" "$server"
	)
	rm -rf "$work"
	stamp "$1" >"$dir/.$1"
}

# kube is one binary under its programs' names. They tell their clients its version by flags of the linker.
kube() {
	local version major minor name at=k8s.io/component-base/version
	version=$(awk '$1 == "k8s.io/kubernetes" { print $2 }' "$root/test/tools/kube/go.mod")
	IFS=. read -r major minor _ <<<"${version#v}"
	ldflags="-X $at.gitVersion=$version -X $at.gitMajor=$major -X $at.gitMinor=$minor" build kube '' kube=.
	for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do
		[[ $dir/$name -ef $dir/kube ]] || ln -f "$dir/kube" "$dir/$name"
	done
}

containerd() {
	local from=github.com/containerd/containerd/v2/cmd
	build containerd '' containerd=$from/containerd containerd-shim-runc-v2=$from/containerd-shim-runc-v2 ctr=$from/ctr
}

# helm says its version by flags of the linker, and without a cluster that of the Kubernetes it was built with:
# charts ask for both.
helm() {
	local version minor at=helm.sh/helm/v3
	version=$(awk '$1 == "helm.sh/helm/v3" { print $2 }' "$root/test/tools/helm/go.mod")
	minor=$(awk '$1 == "k8s.io/client-go" { split($2, v, "."); print v[2] }' "$root/test/tools/helm/go.mod")
	ldflags="-X $at/internal/version.version=$version -X $at/pkg/chartutil.k8sVersionMajor=1 -X $at/pkg/chartutil.k8sVersionMinor=$minor
		-X $at/pkg/lint/rules.k8sVersionMajor=1 -X $at/pkg/lint/rules.k8sVersionMinor=$minor" \
		build helm '' helm=helm.sh/helm/v3/cmd/helm helm-unittest=github.com/helm-unittest/helm-unittest/cmd/helm-unittest \
		kubeconform=github.com/yannh/kubeconform/cmd/kubeconform helm-docs=github.com/norwoodj/helm-docs/cmd/helm-docs
}

# azurite comes from npm, as its lock file says; node is Debian's where none is there.
azurite() {
	built azurite && return
	echo "installing azurite" >&2
	command -v npm >/dev/null || "$root/scripts/debian.sh" nodejs npm
	mkdir -p "$dir/azurite"
	cp "$root"/test/tools/azurite/package*.json "$dir/azurite/"
	npm ci --prefix "$dir/azurite" --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error >&2
	stamp azurite >"$dir/.azurite"
}

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
	usage
	exit
fi
root=$(cd "$(dirname "$0")/.." && pwd)
dir=${ETCDSAFE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/etcdsafe/tools}
mkdir -p "$dir"
[[ $# -gt 0 ]] || set -- etcd35 etcd36 etcd37 etcd35fail etcd36fail etcd37fail age lint versitygw minio fakegcs azurite toxiproxy restic kube containerd helm
for group in "$@"; do
	case $group in
	etcd35) etcd etcd35 3.5 ;;
	etcd36) etcd etcd36 3.6 ;;
	etcd37) etcd etcd37 3.7 ;;
	etcd35fail) etcdfail etcd35fail 3.5 mvcc/backend ;;
	etcd36fail) etcdfail etcd36fail 3.6 storage/backend ;;
	etcd37fail) etcdfail etcd37fail 3.7 storage/backend ;;
	kube) kube ;;
	helm) helm ;;
	containerd) containerd ;;
	age) build age '' age=filippo.io/age/cmd/age age-keygen=filippo.io/age/cmd/age-keygen ;;
	versitygw) build versitygw '' versitygw=github.com/versity/versitygw/cmd/versitygw ;;
	minio) build minio '' minio=github.com/minio/minio ;;
	fakegcs) build fakegcs '' fake-gcs-server=github.com/fsouza/fake-gcs-server ;;
	azurite) azurite ;;
	toxiproxy) build toxiproxy '' toxiproxy-server=github.com/Shopify/toxiproxy/v2/cmd/server ;;
	restic) build restic '' restic=github.com/restic/restic/cmd/restic ;;
	lint) build lint '' golangci-lint=github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
	*)
		echo "tools.sh: unknown group \"$group\"" >&2
		usage >&2
		exit 2
		;;
	esac
done
echo "$dir"

#!/usr/bin/env bash
# Brings up a real Kubernetes from nothing and tests on it what users install and run.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/e2e.sh [test flags]      e.g. -test.run TestRestore -test.v

Installs what it needs of Debian's packages, builds the pinned tools into a cache outside the tree, the
image and the tests, and runs these in scripts/sandbox.sh, on a node of their own (test/node says how it
is made). Each stage says how long it took. Needs root, on Linux. Nothing is left but the cache, also
after a signal, SIGKILL included. From the environment:

  ETCDSAFE_IMAGE_TAR  take this image, named node.local/etcdsafe:e2e in its archive, instead of building it
  TMPDIR              where some 3 GB fit meanwhile, on a disk (default /var/tmp)

Network policies are not enforced on that node: its network plugin knows nothing of them.
USAGE
}

packages=(runc containernetworking-plugins nftables conntrack iproute2 iptables ethtool socat zstd)

main() {
	[[ ${1:-} == -h || ${1:-} == --help ]] && { usage; exit; }
	[[ $(id -u) -eq 0 ]] || { echo 'e2e.sh: needs root' >&2; exit 2; }
	cd "$(dirname "$0")/.."
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/etcdsafe-e2e.XXXXXX")
	sweep
	trap end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	stage packages scripts/debian.sh "${packages[@]}"
	stage tools build_tools
	stage image build_image
	stage tests-built build_tests
	echo 'e2e: network policies are stored on this node, and not enforced'
	stage node-and-tests run "$@"
}

stage() {
	local name=$1 began=$SECONDS
	shift
	"$@"
	printf 'e2e: %s: %d min %02d s\n' "$name" $(((SECONDS - began) / 60)) $(((SECONDS - began) % 60))
}

build_tools() {
	ETCDSAFE_TOOLS=$(scripts/tools.sh etcd36 versitygw kube containerd helm)
	export ETCDSAFE_TOOLS
}

build_image() {
	export E2E_IMAGE=${ETCDSAFE_IMAGE_TAR:-}
	[[ -z $E2E_IMAGE ]] || return 0
	mkdir "$work/image"
	IMAGE=node.local/etcdsafe VERSION=e2e OUT=$work/image scripts/image.sh
	E2E_IMAGE=$(echo "$work"/image/*.tar)
}

build_tests() {
	make -s build "BIN=$work/bin/etcdsafe"
	CGO_ENABLED=0 go build -trimpath -o "$work/bin/pause" ./test/node/pause
	CGO_ENABLED=0 go test -tags e2e -c -o "$work/node.test" ./test/node
	export E2E_BIN=$work/bin
}

# run ends the sandbox with this process, by whatever that ends.
run() {
	mkdir "$work/sandbox"
	cd test/node
	setpriv --pdeathsig KILL ../../scripts/sandbox.sh "$work/sandbox" "$work/node.test" -test.timeout 40m "$@" &
	sandbox=$!
	wait "$sandbox"
	sandbox=
}

end() {
	[[ -z ${sandbox:-} ]] || { kill -KILL "$sandbox" && wait "$sandbox"; } 2>/dev/null || true
	until rm -rf "$work" 2>/dev/null; do sleep 0.2; done
}

# sweep removes the folder where this process cannot: after SIGKILL.
sweep() {
	# shellcheck disable=SC2016 # the inner shell's variables
	setsid -f bash -c '
		tail -s 0.2 --pid="$1" -f /dev/null
		for _ in {1..100}; do rm -rf "$2" 2>/dev/null && exit; sleep 0.2; done' sweep $$ "$work" </dev/null >/dev/null 2>&1
}

main "$@"

#!/usr/bin/env bash
# Tests the image under a docker daemon of its own.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/imagetest.sh [-test.run REGEXP...]

Builds the image by scripts/image.sh, unless ETCDSAFE_IMAGE names an archive, and runs test/image
against it: each command line as a user types it, README's among them. docker's daemon (Debian's,
installed where missing) runs as root in namespaces of its own, without a network but loopback, with
its data in a temporary folder; all of it ends with this script.
USAGE
}

main() {
	[[ ${1:-} == -h || ${1:-} == --help ]] && { usage; exit; }
	[[ ${1:-} == --inside ]] && { shift; inside "$@"; exit; }
	cd "$(dirname "$0")/.."
	if ! command -v dockerd docker >/dev/null; then
		scripts/debian.sh docker.io
	fi
	scripts/debian.sh iproute2 jq
	if [[ -z ${ETCDSAFE_IMAGE:-} ]]; then
		scripts/image.sh
		ETCDSAFE_IMAGE=$PWD/bin/etcdsafe-$(go env GOHOSTARCH).image.tar
	fi
	ETCDSAFE_TOOLS=$(scripts/tools.sh etcd36)
	export ETCDSAFE_IMAGE ETCDSAFE_TOOLS
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/etcdsafe-imagetest.XXXXXX")
	group=etcdsafe-imagetest-$$
	trap clean EXIT
	go test -c -tags e2e -o "$work/image.test" ./test/image
	unshare --mount --net --pid --fork --kill-child --mount-proc "$PWD/scripts/imagetest.sh" --inside "$work" "$group" "$PWD/test/image" "$@"
}

# clean removes the daemon's data, and the control groups that it made in the kernel's one tree.
clean() {
	find /sys/fs/cgroup -depth -type d \( -name "$group" -o -path "*/$group/*" \) -exec rmdir {} + 2>/dev/null || true
	rm -rf "$work"
}

# inside WORK GROUP DIR ARGS...: what runs in the namespaces, as the first process of them.
inside() {
	local work=$1 group=$2 dir=$3 daemon i
	shift 3
	export PATH=$PATH:/usr/sbin:/sbin DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$work/config
	mount --make-rprivate /
	mount -t tmpfs tmpfs /run
	ip link set lo up
	dockerd --data-root "$work/data" --exec-root /run/docker --pidfile /run/docker.pid --host "$DOCKER_HOST" --cgroup-parent "/$group" \
		--bridge none --iptables=false --ip-forward=false --ip-masq=false >"$work/dockerd.log" 2>&1 &
	daemon=$!
	for ((i = 0; i < 600; i++)); do
		docker version >/dev/null 2>&1 && break
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.1
	done
	if ! docker version >/dev/null; then
		tail -20 "$work/dockerd.log" >&2
		exit 1
	fi
	docker load -q -i "$ETCDSAFE_IMAGE" >&2
	local status=0
	(cd "$dir" && "$work/image.test" -test.v -test.timeout 10m "$@") || status=$?
	kill "$daemon"
	wait "$daemon" || true
	return "$status"
}

main "$@"

#!/usr/bin/env bash
# Tests the image under a docker daemon of its own.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/imagetest.sh [test flags]      e.g. -test.run Readme

Builds the image by scripts/image.sh, unless ETCDSAFE_IMAGE names an archive, and runs test/image
against it: each command line as a user types it, README's among them. docker's daemon (Debian's,
installed where missing) runs as root in scripts/sandbox.sh, with its data in a temporary folder, and
ends with this script.
USAGE
}

main() {
	[[ ${1:-} == -h || ${1:-} == --help ]] && { usage; exit; }
	[[ ${1:-} == --inside ]] && { shift; inside "$@"; exit; }
	cd "$(dirname "$0")/.."
	if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
		scripts/debian.sh docker.io
	fi
	scripts/debian.sh iproute2 nftables jq
	if [[ -z ${ETCDSAFE_IMAGE:-} ]]; then
		scripts/image.sh
		ETCDSAFE_IMAGE=$PWD/bin/etcdsafe-$(go env GOHOSTARCH).image.tar
	fi
	ETCDSAFE_TOOLS=$(scripts/tools.sh etcd36)
	export ETCDSAFE_IMAGE ETCDSAFE_TOOLS
	work=$(mktemp -d "${TMPDIR:-/var/tmp}/etcdsafe-imagetest.XXXXXX")
	trap end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	go test -c -tags e2e -o "$work/image.test" ./test/image
	mkdir "$work/sandbox"
	setpriv --pdeathsig KILL scripts/sandbox.sh "$work/sandbox" "$PWD/scripts/imagetest.sh" --inside "$work" "$PWD/test/image" "$@" &
	sandbox=$!
	wait "$sandbox"
	sandbox=
}

end() {
	[[ -z ${sandbox:-} ]] || { kill -KILL "$sandbox" && wait "$sandbox"; } 2>/dev/null || true
	until rm -rf "$work" 2>/dev/null; do sleep 0.2; done
}

# inside WORK DIR FLAGS...: what runs in the sandbox.
inside() {
	local work=$1 dir=$2 daemon i status=0
	shift 2
	export PATH=$PATH:/usr/sbin:/sbin DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$work/config
	dockerd --data-root "$work/data" --exec-root /run/docker --pidfile /run/docker.pid --host "$DOCKER_HOST" \
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
	(cd "$dir" && "$work/image.test" -test.v -test.timeout 10m "$@") || status=$?
	kill "$daemon"
	wait "$daemon" || true
	return "$status"
}

main "$@"

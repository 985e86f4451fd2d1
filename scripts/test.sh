#!/usr/bin/env bash
# Runs the tests, and fails on one that was skipped.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/test.sh [go test flags] [packages]

Builds the real servers of the tests into a cache outside the tree, then runs go test.
Without packages all are tested. A skipped test is a failure, except with -short. Where at most
three tests failed, each is run once more by itself; one that passes then is told as unsteady.
USAGE
}

[[ ${1:-} == -h || ${1:-} == --help ]] && {
	usage
	exit
}
cd "$(dirname "$0")/.."
scripts/debian.sh zstd
ETCDSAFE_TOOLS=$(scripts/tools.sh etcd35 etcd36 etcd37 etcd35fail etcd36fail etcd37fail age lint versitygw minio fakegcs azurite toxiproxy restic kube helm)
export ETCDSAFE_TOOLS
packages=(./...)
skips=refused
flags=()
for a in "$@"; do
	[[ $a == -short ]] && skips=allowed
	if [[ $a == ./* ]]; then packages=(); else flags+=("$a"); fi
done
# -count=1: some tests run a binary that the cache knows nothing of. report settles what a failure means.
{ go test -json -count=1 -timeout 30m "$@" "${packages[@]}" 2>&1 || true; } | go run ./test/report -skips "$skips" -again 3 -- "${flags[@]}"

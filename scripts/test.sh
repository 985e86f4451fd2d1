#!/usr/bin/env bash
# Runs the tests, and fails on one that was skipped.
set -euo pipefail

usage() {
	cat <<'USAGE'
usage: scripts/test.sh [go test flags] [packages]

Builds the real servers of the tests into a cache outside the tree, then runs go test.
Without packages all are tested. A skipped test is a failure, except with -short.
USAGE
}

[[ ${1:-} == -h || ${1:-} == --help ]] && { usage; exit; }
cd "$(dirname "$0")/.."
scripts/debian.sh zstd
ETCDSAFE_TOOLS=$(scripts/tools.sh etcd35 etcd36 etcd37 age lint)
export ETCDSAFE_TOOLS
packages=(./...)
for a in "$@"; do
	[[ $a == ./* ]] && packages=()
done
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# -v, so that a skip is seen; the quiet lines are not printed.
go test -v -timeout 30m "$@" "${packages[@]}" 2>&1 | tee "$log" |
	grep -Ev '^(=== |\s*--- PASS|PASS$|\?\s)' || true
if grep -q '^\s*--- SKIP' "$log" && [[ " $* " != *" -short "* ]]; then
	echo 'test.sh: skipped tests:' >&2
	grep '^\s*--- SKIP' "$log" >&2
	exit 1
fi
passed=$(grep -c '^\s*--- PASS' "$log" || true)
failed=$(grep -c '^\s*--- FAIL' "$log" || true)
echo "$passed passed, $failed failed"
# A package that does not build, or dies, has no line of its own.
if [[ $failed -gt 0 ]] || grep -Eq '^(FAIL|panic:)' "$log"; then
	exit 1
fi
